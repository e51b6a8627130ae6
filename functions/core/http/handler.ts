import type { IncomingMessage, ServerResponse } from 'node:http';
import { retryAfter } from '../chain/decide.ts';
import { serverTiming } from '../chain/encode.ts';
import { refuseHopeless, waitsOf } from '../chain/hopeless.ts';
import { deadlineExceeded, starting } from '../chain/refusal.ts';
import type { Service } from '../chain/service.ts';
import { createShadow } from '../chain/shadow.ts';
import type { Wake } from '../chain/wake.ts';
import type { Config } from '../config.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Traces } from '../observe/traces.ts';
import { asProblem } from '../problem.ts';
import type { Task } from '../task.ts';
import { type Admission, createAdmission } from './admission.ts';
import { answerUploads } from './answers.ts';
import { doorOf, readImages, rulesFor, takesJobs } from './door.ts';
import { createRecorder, type Exchange, openExchange, stagesOf } from './exchange.ts';
import { acceptJob, answerJob, type JobExchange, prefersAsync, readForm, readJobRoute, readPatience } from './jobs.ts';
import { createRefusalPacer } from './pacer.ts';
import { answerProbe } from './probes.ts';
import { receiveBody } from './receive.ts';
import { refuse as refuseWith } from './refuse.ts';
import { type Route, readParameters, readRoute, readStampAge, readUrl } from './request.ts';
import { send } from './send.ts';
import { createSkew, type Skew } from './skew.ts';
import { judgeUploadHeaders, maxBodyBytes, type UploadRules } from './upload.ts';

/** A request as the framework and our server hand it over: `rawBody` is its whole body, `exchange` what is known of it once admitted. */
export type FunctionRequest = IncomingMessage & { rawBody?: Buffer | undefined; exchange?: Exchange };

export interface Handler {
  /** Judges what needs no body: route, parameters, upload headers, room. Answers a problem itself and returns false then. */
  admit(request: FunctionRequest, response: ServerResponse): boolean;
  /** Judges a body that has arrived, before the framework has it. @throws Problem */
  prepare?(request: FunctionRequest): void;
  /** Answers a fault that was met after `admit`, while the body arrived. */
  refuse(request: FunctionRequest, response: ServerResponse, fault: unknown): void;
  /** The function: answers one request whose body is complete, and never rejects. */
  handle(request: FunctionRequest, response: ServerResponse): Promise<void>;
}

export interface HandlerOptions {
  /** Of the function. */
  readonly name: string;
  readonly task: Task;
  readonly service: Service;
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Absent without a collector. */
  readonly traces: Traces | undefined;
  /** Told of every answer that says something about the lead model; absent where no fallback can be woken. */
  readonly wake: Wake | undefined;
  /** Absent where no job is taken. */
  readonly jobs: Jobs | undefined;
}

interface State extends HandlerOptions {
  readonly rules: UploadRules;
  readonly admission: Admission;
  readonly skew: Skew;
  readonly pace: ReturnType<typeof createRefusalPacer>;
  record(exchange: Exchange, response: ServerResponse): void;
}

/** The HTTP boundary of a function: `req` and `res` go no further than http/, and every answer is logged and counted once. */
export function createHandler(options: HandlerOptions): Handler {
  const { task, service, config, metrics } = options;
  const admission = createAdmission(config.workers, config.maxUploadBytes);
  const skew = createSkew();
  metrics.watchStampAge(() => skew.smallestAgeMs(performance.now()));
  const isIdle = () => admission.isEmpty() && service.isIdle();
  const shadow = createShadow({ share: config.shadowShare, isIdle, onEnd: metrics.countShadow });
  const rules = { mediaTypes: task.mediaTypes, maxUploadBytes: config.maxUploadBytes };
  const state: State = {
    ...options,
    rules,
    admission,
    skew,
    pace: createRefusalPacer(),
    record: createRecorder({ ...options, shadow }),
  };
  return {
    admit: (request, response) => admit(state, request, response),
    refuse: (request, response, fault) => refuse(state, request, response, fault),
    handle: (request, response) => handle(state, request, response),
  };
}

function admit(state: State, request: FunctionRequest, response: ServerResponse): boolean {
  const exchange = openExchange(request);
  request.exchange = exchange;
  response.once('close', () => state.record(exchange, response));
  try {
    const url = readUrl(request);
    const method = request.method ?? '';
    const jobRoute = state.jobs && readJobRoute(method, url.pathname);
    exchange.route = jobRoute ?? readRoute(method, url.pathname, state.task.path, state.task.doors);
    if (exchange.route.name === 'task') admitUpload(state, request, response, exchange, url.searchParams);
    return true;
  } catch (fault) {
    refuse(state, request, response, fault);
    return false;
  }
}

/** @throws Problem */
function admitUpload(
  state: State,
  { headers }: FunctionRequest,
  response: ServerResponse,
  exchange: Exchange,
  query: URLSearchParams,
): void {
  const { task, service, config, admission, skew, jobs } = state;
  const rules = rulesFor(exchange, headers, query, state);
  exchange.rules = rules;
  judgeUploadHeaders(headers, rules);
  const bytes = Number(headers['content-length'] ?? maxBodyBytes(headers, rules));
  const heldBytes = rules.envelope ? 2 * bytes : bytes; // the body, and what was in it
  const hold = () => admission.hold(heldBytes, response, () => retryAfter(waitsOf(service.chain)));
  if (jobs && prefersAsync(headers) && takesJobs(exchange)) {
    const parameters = readPatience(headers);
    exchange.parameters = parameters;
    exchange.ask = task.parse(query, headers);
    if (service.chain.isPrimaryServed) task.check?.(exchange.ask, service.chain.models[0].spec.details);
    const { requestId } = exchange;
    const { callbackHosts } = jobs;
    const door = doorOf(exchange);
    exchange.form = readForm(headers, query, { task: task.name, door, rules, parameters, requestId, callbackHosts });
    exchange.markArrived = hold();
    return;
  }
  const ageMs = readStampAge(headers, Date.now());
  const spentMs = ageMs === undefined ? undefined : skew.spentMs(ageMs, exchange.arrivedMs);
  exchange.parameters = readParameters(headers, config.deadlineMs, spentMs);
  exchange.ask = task.parse(query, headers);
  const { patienceMs, isTicking } = exchange.parameters;
  const strict = exchange.parameters.strict || task.needsPrimary?.(exchange.ask) === true;
  exchange.isStrict = strict;
  const deadlineMs = exchange.arrivedMs + patienceMs;
  if (isTicking) exchange.uploadDeadlineMs = deadlineMs;
  if (!service.canAnswer()) throw starting();
  if (service.chain.isPrimaryServed) task.check?.(exchange.ask, service.chain.models[0].spec.details);
  refuseHopeless(service.chain, { strict, deadlineMs, arriving: admission.arriving() });
  exchange.markArrived = hold();
  if (jobs) response.once('close', jobs.turns.arrive());
}

function refuse(state: State, request: FunctionRequest, response: ServerResponse, fault: unknown): void {
  const problem = asProblem(fault);
  const isLate = problem.code === 'DEADLINE_EXCEEDED';
  const isOfClient = request.exchange?.parameters?.namesDeadline === true;
  const further = {
    // Without it the ingress takes the 504 for an outage, which it is when the patience was our own.
    ...(isLate && isOfClient && { 'x-reason': 'deadline' }),
    'x-tier': state.service.chain.tier,
  };
  const waitMs = state.pace(problem.code, request.exchange, performance.now());
  refuseWith(state, request, response, problem, further, waitMs);
}

async function handle(state: State, request: FunctionRequest, response: ServerResponse): Promise<void> {
  if (!request.exchange && !admit(state, request, response)) return;
  const exchange = request.exchange as Exchange;
  try {
    if (exchange.route?.name === 'task') await answerTask(state, request, response, exchange);
    else if (state.jobs && exchange.route && 'id' in exchange.route) {
      exchange.job = exchange.route.id;
      await answerJob(exchange.route, jobExchange(state, state.jobs, request, response));
    } else await answerProbe(state, response, exchange.route as Route, exchange.requestId);
  } catch (fault) {
    refuse(state, request, response, fault);
  }
}

async function answerTask(
  state: State,
  request: FunctionRequest,
  response: ServerResponse,
  exchange: Exchange,
): Promise<void> {
  const { task, service } = state;
  const { headers } = request;
  const { strict: prefersStrict = false, patienceMs = 0 } = exchange.parameters ?? {};
  const { isStrict: strict = false, rules = state.rules } = exchange;
  // Google's framework reads no body that has no Content-Type.
  const body = request.rawBody ?? (await receiveBody(request, maxBodyBytes(headers, rules)));
  const files = await readImages(exchange, headers, body, rules);
  request.rawBody = undefined; // the framework keeps the last request
  exchange.markArrived?.();
  exchange.bytes = files.reduce((sum, { length }) => sum + length, 0);
  exchange.uploadMs = performance.now() - exchange.arrivedMs;
  if (state.jobs && exchange.form) {
    exchange.job = await acceptJob(
      { ...exchange.form, bytes: files[0] as Buffer },
      jobExchange(state, state.jobs, request, response),
    );
    return;
  }
  const deadlineMs = exchange.uploadDeadlineMs ?? performance.now() + patienceMs;
  const leaving = new AbortController();
  const timer = setTimeout(() => leaving.abort(deadlineExceeded()), deadlineMs - performance.now());
  response.once('close', () => {
    if (!response.writableFinished) leaving.abort(deadlineExceeded('the client went away'));
  });
  const asked = { ask: exchange.ask, strict, deadlineMs, signal: leaving.signal };
  const lanes = 2 * state.config.workers; // one decodes while the other runs
  const answered = await answerUploads(files, asked, { task, service, exchange, lanes }).finally(() =>
    clearTimeout(timer),
  );
  send(state, response, 200, answered.contentType, answered.body, {
    ...answered.headers,
    'x-request-id': exchange.requestId,
    'server-timing': serverTiming(stagesOf(exchange)),
    ...(prefersStrict && { 'preference-applied': 'handling=strict' }),
  });
}

/** What the answers to requests for jobs need. */
function jobExchange(state: State, jobs: Jobs, request: FunctionRequest, response: ServerResponse): JobExchange {
  const requestId = request.exchange?.requestId ?? '';
  const runMs = () => Math.max(1, ...state.service.chain.models.slice(0, 1).map(({ pool }) => pool.meanMs()));
  return {
    jobs,
    request,
    response,
    requestId,
    reply: (status, contentType, body, headers) => send(state, response, status, contentType, body, headers),
    retryAfter: (waiting) => retryAfter([waiting * runMs()]),
    isLeaving: state.service.isDraining,
  };
}
