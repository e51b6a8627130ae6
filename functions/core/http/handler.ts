import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Answer,
  busy,
  classify,
  deadlineExceeded,
  refuseHopeless,
  starting,
  type Trace,
} from '../chain/answer.ts';
import type { Service } from '../chain/lanes.ts';
import { createShadow } from '../chain/shadow.ts';
import type { Wake } from '../chain/wake.ts';
import type { Config } from '../config.ts';
import type { Log, Severity } from '../observe/log.ts';
import type { Metrics, Stage } from '../observe/metrics.ts';
import { asProblem, type Problem, toProblemJson } from '../problem.ts';
import { describeState } from './probes.ts';
import { receiveBody } from './receive.ts';
import {
  type RequestParameters,
  type Route,
  readParameters,
  readRequestId,
  readRoute,
  readStampAge,
} from './request.ts';
import { createSkew } from './skew.ts';
import { judgeUploadHeaders, maxBodyBytes, readUpload } from './upload.ts';

/**
 * A request as the framework and our server hand it over; `rawBody` is its whole body. `deadlineMs` is when the client's patience
 * ends where that runs while the body arrives, on the clock of `performance.now()`.
 */
export type FunctionRequest = IncomingMessage & { rawBody?: Buffer; deadlineMs?: number };

export interface Handler {
  /** Judges what needs no body: route, parameters, upload headers, room. Answers a problem itself and returns false then. */
  admit(request: FunctionRequest, response: ServerResponse): boolean;
  /** Answers a fault that was met after `admit`, while the body arrived. */
  refuse(request: FunctionRequest, response: ServerResponse, fault: unknown): void;
  /** The function: answers one request whose body is complete, and never rejects. */
  handle(request: FunctionRequest, response: ServerResponse): Promise<void>;
}

export interface HandlerOptions {
  readonly service: Service;
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told of every answer that says something about the leading model; absent where there is nobody to wake. */
  readonly wake: Wake | undefined;
}

/** A request from its arrival to its log line; what is absent was not reached. */
interface Exchange {
  readonly requestId: string;
  readonly arrivedMs: number;
  readonly trace: Trace;
  route?: Route;
  parameters?: RequestParameters;
  markArrived?: (() => void) | undefined;
  uploadMs?: number;
  bytes?: number;
  answer?: Answer;
  problem?: Problem;
}

/** Uploads held at a time for each worker: more than any deadline lets it answer ... */
const uploadsPerWorker = 64;
/** ... and their bytes, as so many of the largest upload: 84 MB are the most that they can take of a core's memory. */
const largestUploadsPerWorker = 8;

/** The HTTP boundary of a function: `req` and `res` go no further than here, and every answer is logged and counted once. */
export function createHandler({ service, config, log, metrics, wake }: HandlerOptions): Handler {
  const exchanges = new WeakMap<FunctionRequest, Exchange>();
  const { tier } = service.chain;
  const maxHeld = config.workers * uploadsPerWorker;
  const maxHeldBytes = config.workers * largestUploadsPerWorker * config.maxUploadBytes;
  const skew = createSkew();
  metrics.watchStampAge(() => skew.smallestAgeMs(performance.now()));
  let held = 0;
  let arriving = 0; // of those held: not yet whole, so no decoder knows of them
  let heldBytes = 0;
  const shadow = createShadow({
    share: config.shadowShare,
    isIdle: () => held === 0 && service.isIdle(),
    onEnd: metrics.countShadow,
  });

  function admit(request: FunctionRequest, response: ServerResponse): boolean {
    const exchange: Exchange = {
      requestId: readRequestId(request.headers),
      arrivedMs: performance.now(),
      trace: { misses: [] },
    };
    exchanges.set(request, exchange);
    response.once('close', () => record(exchange, response));
    try {
      const url = readUrl(request);
      exchange.route = readRoute(request.method ?? '', url.pathname);
      if (exchange.route.name !== 'classify') return true;
      judgeUploadHeaders(request.headers, config.maxUploadBytes);
      const ageMs = readStampAge(request.headers, Date.now());
      const spentMs = ageMs === undefined ? undefined : skew.spentMs(ageMs, exchange.arrivedMs);
      const parameters = readParameters(url.searchParams, request.headers, config.deadlineMs, spentMs);
      exchange.parameters = parameters;
      const deadlineMs = exchange.arrivedMs + parameters.patienceMs;
      if (parameters.isTicking) request.deadlineMs = deadlineMs;
      if (!service.canAnswer()) throw starting();
      refuseHopeless(service.chain, { strict: parameters.strict, deadlineMs, arriving });
      hold(request, response, exchange);
      return true;
    } catch (fault) {
      refuse(request, response, fault);
      return false;
    }
  }

  /** Takes the upload's share of memory until its answer is sent. @throws Problem BUSY */
  function hold(request: FunctionRequest, response: ServerResponse, exchange: Exchange): void {
    const bytes = Number(request.headers['content-length'] ?? maxBodyBytes(request.headers, config.maxUploadBytes));
    if (held >= maxHeld) throw busy(`${maxHeld} uploads are held already`, '1');
    if (heldBytes + bytes > maxHeldBytes) throw busy(`${heldBytes} bytes of uploads are held already`, '1');
    held += 1;
    heldBytes += bytes;
    arriving += 1;
    exchange.markArrived = () => {
      arriving -= 1;
      exchange.markArrived = undefined;
    };
    response.once('close', () => {
      held -= 1;
      heldBytes -= bytes;
      exchange.markArrived?.();
    });
  }

  function refuse(request: FunctionRequest, response: ServerResponse, fault: unknown): void {
    const problem = asProblem(fault);
    const exchange = exchanges.get(request);
    if (exchange) exchange.problem = problem;
    if (response.headersSent || response.destroyed) return;
    const requestId = exchange?.requestId ?? '';
    send(response, problem.status, 'application/problem+json', JSON.stringify(toProblemJson(problem, requestId)), {
      ...problem.headers,
      // Without it the ingress takes the 504 for an outage, which it is when the patience was our own.
      ...(problem.code === 'DEADLINE_EXCEEDED' && exchange?.parameters?.namesDeadline && { 'x-reason': 'deadline' }),
      'x-request-id': requestId,
      'x-tier': tier,
    });
  }

  async function handle(request: FunctionRequest, response: ServerResponse): Promise<void> {
    if (!exchanges.has(request) && !admit(request, response)) return;
    const exchange = exchanges.get(request) as Exchange;
    try {
      if (exchange.parameters) await answerClassify(request, response, exchange, exchange.parameters);
      else await answerRoute(response, exchange.route as Route, exchange.requestId);
    } catch (fault) {
      refuse(request, response, fault);
    }
  }

  async function answerClassify(
    request: FunctionRequest,
    response: ServerResponse,
    exchange: Exchange,
    parameters: RequestParameters,
  ) {
    // Google's framework reads no body that has no Content-Type.
    const body = request.rawBody ?? (await receiveBody(request, maxBodyBytes(request.headers, config.maxUploadBytes)));
    const { bytes } = await readUpload(request.headers, body, config.maxUploadBytes);
    exchange.markArrived?.();
    exchange.bytes = bytes.length;
    exchange.uploadMs = performance.now() - exchange.arrivedMs;
    const leaving = new AbortController();
    const deadlineMs = request.deadlineMs ?? performance.now() + parameters.patienceMs;
    const timer = setTimeout(() => leaving.abort(deadlineExceeded()), deadlineMs - performance.now());
    response.once('close', () => leaving.abort(deadlineExceeded('the client went away')));
    const { top, strict } = parameters;
    const classification = { bytes, top, strict, deadlineMs, signal: leaving.signal };
    const answer = await classify(classification, service.chain, exchange.trace).finally(() => clearTimeout(timer));
    exchange.answer = answer;
    send(response, 200, 'application/json', JSON.stringify(answer), {
      'x-model': answer.model,
      'x-tier': answer.tier,
      'x-request-id': exchange.requestId,
      'server-timing': stagesOf(exchange)
        .map(([stage, ms]) => `${stage};dur=${ms.toFixed(1)}`)
        .join(', '),
      ...(answer.reason && { 'x-degraded': answer.reason }),
      ...(strict && { 'preference-applied': 'handling=strict' }),
    });
  }

  async function answerRoute(response: ServerResponse, route: Route, requestId: string): Promise<void> {
    const headers = { 'x-request-id': requestId, 'cache-control': 'no-store' };
    if (route.name === 'metrics') {
      const { contentType, text } = await metrics.expose();
      send(response, 200, contentType, text, headers);
      return;
    }
    const { status, body } = describeState(route, service);
    const reason = status === 503 && { 'x-reason': 'starting' };
    send(response, status, 'application/json', JSON.stringify(body), { ...headers, ...reason });
  }

  /** Whether the client left the leading model less than its budget: what became of that says nothing about the model. */
  function isHasty({ parameters }: Exchange): boolean {
    return parameters?.namesDeadline === true && parameters.patienceMs < config.primaryBudgetMs;
  }

  function send(
    response: ServerResponse,
    status: number,
    contentType: string,
    body: string,
    headers: Readonly<Record<string, string>>,
  ): void {
    response.writeHead(status, {
      'content-type': contentType,
      'content-length': Buffer.byteLength(body),
      ...(service.isDraining() && { connection: 'close' }),
      ...(config.revision && { 'x-revision': config.revision }),
      ...headers,
    });
    response.end(body);
  }

  /** One log line and one count for each request, when its answer is sent or its client gone. */
  function record(exchange: Exchange, response: ServerResponse): void {
    const { answer, problem, trace, route } = exchange;
    const status = response.writableFinished ? response.statusCode : 499; // nginx' number for a client that went away
    if (route?.name === 'classify' || problem) {
      const labels = {
        status,
        code: problem?.code ?? '',
        tier,
        model: answer?.model ?? '',
        reason: answer?.reason ?? '',
      };
      metrics.countRequest(labels);
      if (!isHasty(exchange)) wake?.answered(labels);
    }
    if (answer && !answer.degraded) {
      shadow.answered(String(answer.predictions[0]?.class), () => service.askUnderstudy(trace));
    }
    for (const [stage, ms] of stagesOf(exchange)) metrics.observeStage(stage, ms);
    const isProbe = route !== undefined && route.name !== 'classify' && !problem;
    log(isProbe ? 'debug' : severityOf(status), 'request', {
      requestId: exchange.requestId,
      function: tier,
      route: route?.name,
      status,
      code: problem?.code,
      model: answer?.model,
      version: answer?.version,
      reason: answer?.reason ?? undefined,
      bytes: exchange.bytes,
      width: trace.sourceWidth,
      height: trace.sourceHeight,
      stages: Object.fromEntries(stagesOf(exchange).map(([stage, ms]) => [`${stage}Ms`, round(ms)])),
      totalMs: round(performance.now() - exchange.arrivedMs),
      misses: trace.misses.length > 0 ? trace.misses : undefined,
      error: problem && problem.status >= 500 ? problem.cause : undefined,
    });
  }

  return { admit, refuse, handle };
}

/** A target is a path or, to a proxy, a whole URL, of which the path counts (RFC 9112 3.2). */
function readUrl({ url = '' }: FunctionRequest): URL {
  try {
    return new URL(/^https?:/i.test(url) ? url : `http://localhost${url}`);
  } catch {
    return new URL('http://localhost/unreadable');
  }
}

function stagesOf({ uploadMs, trace }: Exchange): [Stage, number][] {
  const stages = { upload: uploadMs, decode: trace.decodeMs, queue: trace.queueMs, model: trace.modelMs };
  return Object.entries(stages).filter((entry): entry is [Stage, number] => entry[1] !== undefined);
}

function severityOf(status: number): Severity {
  return status >= 500 ? 'error' : status >= 400 ? 'warn' : 'info';
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
