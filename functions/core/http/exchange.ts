import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Progress, Result } from '../chain/answer.ts';
import { sumStages } from '../chain/encode.ts';
import type { Service } from '../chain/service.ts';
import type { Shadow } from '../chain/shadow.ts';
import type { Wake } from '../chain/wake.ts';
import type { Config } from '../config.ts';
import type { Log, Severity } from '../observe/log.ts';
import type { Metrics, Stage } from '../observe/metrics.ts';
import { beginTrace, readTraceparent, type TraceContext } from '../observe/trace.ts';
import type { Traces } from '../observe/traces.ts';
import type { Problem } from '../problem.ts';
import type { Task } from '../task.ts';
import type { Form } from './jobs.ts';
import { type RequestParameters, type Route, readRequestId } from './request.ts';
import { spansOf } from './spans.ts';
import type { UploadRules } from './upload.ts';

/** A request from its arrival to its log line; what is absent was not reached. */
export interface Exchange {
  readonly requestId: string;
  readonly method: string;
  /** The trace that the sender named. */
  readonly trace: TraceContext | undefined;
  readonly arrivedMs: number;
  route?: Route;
  parameters?: RequestParameters;
  /** Of the body. */
  rules?: UploadRules;
  /** What the client chose, as the task reads it. */
  ask?: unknown;
  /** Whether only the primary model will do, by the client's word or by what it asks for. */
  isStrict?: boolean;
  /** When the client's patience ends where that runs while the body arrives, on the clock of `performance.now()`. */
  uploadDeadlineMs?: number;
  /** Of a request for a job. */
  form?: Form;
  /** The id of a job that was asked for or accepted. */
  job?: string;
  markArrived?: () => void;
  uploadMs?: number;
  bytes?: number;
  progress?: Progress;
  result?: Result;
  problem?: Problem;
}

export function openExchange({ headers, method = '' }: IncomingMessage): Exchange {
  const trace = readTraceparent(headers.traceparent);
  return { requestId: readRequestId(headers), method, trace, arrivedMs: performance.now() };
}

/** Milliseconds of each stage that was reached; what a model took that did not answer is in none. */
export function stagesOf({ uploadMs, progress }: Exchange): readonly (readonly [Stage, number])[] {
  const upload = uploadMs === undefined ? [] : [['upload', uploadMs] as const];
  return [...upload, ...sumStages(progress?.steps ?? [])];
}

export interface RecorderOptions {
  readonly name: string;
  readonly task: Task;
  readonly service: Service;
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Absent without a collector. */
  readonly traces: Traces | undefined;
  readonly shadow: Shadow;
  readonly wake: Wake | undefined;
}

/** Writes one log line and counts each request once, when its answer is sent or its client gone. */
export function createRecorder(options: RecorderOptions): (exchange: Exchange, response: ServerResponse) => void {
  const { name, task, service, config, log, metrics, traces, shadow, wake } = options;
  const { tier } = service.chain;
  const { revision } = config;
  return (exchange, response) => {
    const { problem, route, progress, result } = exchange;
    const status = response.writableFinished ? response.statusCode : 499; // nginx' number for a client that went away
    const trace = exchange.trace ?? (traces && beginTrace());
    if (route?.name === 'task' || problem) {
      if (trace?.isSampled) traces?.add(spansOf(exchange, status, trace, { path: task.path, tier, revision }));
      const { model = '', reason } = result?.answer ?? {};
      const labels = { status, code: problem?.code ?? '', tier, model, reason: reason ?? '' };
      metrics.countRequest(labels);
      if (!exchange.form && !hasShortDeadline(exchange, config)) wake?.answered(labels);
    }
    if (result && !result.answer.degraded) shadow.answered(() => service.compareStandby(result));
    for (const [stage, ms] of stagesOf(exchange)) metrics.observeStage(stage, ms);
    const isProbe = route !== undefined && route.name !== 'task' && !problem;
    log(isProbe ? 'debug' : severityOf(status), 'request', {
      ...progress?.facts,
      requestId: exchange.requestId,
      trace: trace?.traceId,
      function: name,
      route: route?.name === 'task' ? task.name : route?.name,
      door: route?.name === 'task' ? route.door?.name : undefined,
      status,
      job: exchange.job,
      code: problem?.code,
      model: result?.answer.model,
      version: result?.answer.version,
      reason: result?.answer.reason ?? undefined,
      bytes: exchange.bytes,
      stages: Object.fromEntries(stagesOf(exchange).map(([stage, ms]) => [`${stage}Ms`, round(ms)])),
      totalMs: round(performance.now() - exchange.arrivedMs),
      misses: progress?.misses.length ? progress.misses : undefined,
      error: problem && problem.status >= 500 ? problem.cause : undefined,
    });
    delete exchange.result; // the framework keeps the last request, and this holds the decoded inputs
    delete exchange.progress;
  };
}

/** Whether the client left the lead model less than its budget: what became of that says nothing about the model. */
function hasShortDeadline({ parameters }: Exchange, { primaryBudgetMs }: Config): boolean {
  return parameters?.namesDeadline === true && parameters.patienceMs < primaryBudgetMs;
}

function severityOf(status: number): Severity {
  return status >= 500 ? 'error' : status >= 400 ? 'warn' : 'info';
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
