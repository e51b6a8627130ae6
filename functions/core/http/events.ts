import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { Problem } from '../problem.ts';
import { type Exchange, openExchange } from './exchange.ts';
import type { EventListener } from './framework.ts';
import type { FunctionRequest, Handler } from './handler.ts';
import { refuse } from './refuse.ts';
import { readRoute, readUrl } from './request.ts';
import { type Sender, send } from './send.ts';

/** What became of an event that is done with. */
export interface Received {
  /** Fields of the log line. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** Why it can never be processed, for an operator. */
  readonly dead?: string | undefined;
}

export interface EventsOptions extends Sender {
  readonly name: string;
  /** @throws Problem of a 5xx for an event that is to come again */
  receive(event: unknown, headers: IncomingHttpHeaders): Promise<Received>;
  /** Names of tasks whose models cannot answer yet. */
  starting(): readonly string[];
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What our server needs of a CloudEvent function, and what the framework needs. */
export interface Events {
  readonly handler: Handler;
  readonly listener: EventListener;
}

/** Tells a consumer that it is not to bring the event again, though nothing came of it. */
const deadHeader = 'x-dead-letter';

/** The HTTP boundary of a function that takes events. */
export function createEvents(options: EventsOptions): Events {
  function admit(request: FunctionRequest, response: ServerResponse): boolean {
    const exchange = openExchange(request);
    request.exchange = exchange;
    response.once('close', () => record(options, exchange, response));
    try {
      const { pathname } = readUrl(request);
      // Events are POSTed to the path that is a probe to others.
      exchange.route = readRoute(request.method ?? '', pathname, request.method === 'POST' ? '/' : '');
      if (exchange.route.name === 'task') judgeHeaders(request);
      return true;
    } catch (fault) {
      refuse(options, request, response, fault);
      return false;
    }
  }

  return {
    handler: {
      admit,
      prepare: parseBody,
      refuse: (request, response, fault) => refuse(options, request, response, fault),
      handle: (request, response) =>
        answerProbe(options, request, response).catch((fault) => refuse(options, request, response, fault)),
    },
    listener: {
      async receive(event, exchange) {
        const { request, response } = exchange ?? {};
        const { facts, dead } = await options.receive(event, request?.headers ?? {});
        Object.assign((request as FunctionRequest | undefined)?.exchange ?? {}, { facts: { ...facts, dead } });
        if (dead !== undefined) response?.setHeader(deadHeader, dead);
      },
      refuse: ({ request, response }, fault) => refuse(options, request, response, fault),
    },
  };
}

function record({ name, log, metrics }: EventsOptions, exchange: Exchange, response: ServerResponse): void {
  const { requestId, route, problem, facts } = exchange as Exchange & { facts?: Received['facts'] };
  const isEvent = route?.name === 'task' || problem !== undefined;
  const status = response.writableFinished ? response.statusCode : 499;
  if (isEvent) metrics.countRequest({ status, code: problem?.code ?? '', tier: 'primary', model: '', reason: '' });
  log(!isEvent ? 'debug' : status >= 500 ? 'warn' : 'info', 'event', {
    requestId,
    function: name,
    ...facts,
    status,
    code: problem?.code,
    cause: problem?.cause,
    totalMs: Math.round((performance.now() - exchange.arrivedMs) * 10) / 10,
  });
}

async function answerProbe(options: EventsOptions, request: FunctionRequest, response: ServerResponse): Promise<void> {
  const { route, requestId = '' } = request.exchange ?? {};
  const headers = { 'x-request-id': requestId, 'cache-control': 'no-store' };
  if (route?.name === 'metrics') {
    const { contentType, text } = await options.metrics.expose();
    send(options, response, 200, contentType, text, headers);
    return;
  }
  const { status, body } = describe(options, route?.name);
  send(options, response, status, 'application/json', JSON.stringify(body), headers);
}

/** JSON alone: the data of an event in binary mode, or a whole event in structured mode. @throws Problem */
function judgeHeaders({ headers }: FunctionRequest): void {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  const isJson = type === 'application/json' || type === 'application/cloudevents+json';
  if (isJson && headers['content-encoding'] === undefined) return;
  const detail = 'Expected application/json or application/cloudevents+json for Content-Type but received another';
  throw new Problem('UPLOAD_UNSUPPORTED', detail);
}

/** The framework leaves a body alone that has arrived. @throws Problem UPLOAD_MALFORMED */
function parseBody(request: FunctionRequest & { body?: unknown }): void {
  if (request.exchange?.route?.name !== 'task') return;
  try {
    request.body = JSON.parse(String(request.rawBody));
    if (typeof request.body === 'object' && request.body !== null) return;
  } catch {
    // told below
  }
  throw new Problem('UPLOAD_MALFORMED', 'Expected a JSON object for request body but received something else');
}

function describe({ name, starting, service }: EventsOptions, route: string | undefined) {
  const missing = starting();
  const state = service.isDraining() ? 'draining' : missing.length > 0 ? 'starting' : 'ready';
  const status = state === 'ready' ? 200 : 503;
  switch (route) {
    case 'home':
    case 'readyz':
      return { status, body: { status: state, ...(state === 'starting' && { missing }) } };
    case 'livez':
      return { status: 200, body: { status: 'alive' } };
    case 'live':
      return { status: 200, body: { live: true } };
    case 'ready':
      return { status, body: { ready: status === 200 } };
    case 'server':
      return { status: 200, body: { name: `understudy-${name}`, version: '1', extensions: [] } };
    default:
      throw new Problem('ROUTE_NOT_FOUND', 'Expected a model of this function for path but received another');
  }
}
