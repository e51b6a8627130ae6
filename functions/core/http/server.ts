import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHolds } from '../chain/holds.ts';
import type { Service } from '../chain/service.ts';
import { type Config, ConfigError } from '../config.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { Log } from '../observe/log.ts';
import type { Traces } from '../observe/traces.ts';
import { Problem } from '../problem.ts';
import { createConnections } from './connections.ts';
import { frameworkListener } from './framework.ts';
import type { FunctionRequest, Handler } from './handler.ts';
import { discardBody, receiveBody } from './receive.ts';
import { createRounds } from './rounds.ts';
import { maxBodyBytes } from './upload.ts';

/** Longer than the 90 s for which Knative's queue-proxy keeps idle connections: it must never reuse one that we close. */
const keepAliveMs = 100_000;
/** Headers come in one packet; ten seconds are patience for a lost one, not for a client that dribbles. */
const headersTimeoutMs = 10_000;
/** Node's own limit on a whole request, far above the 15 s that `receiveBody` grants, which answers and does not cut. */
const requestTimeoutMs = 60_000;
/** How often Node checks these limits; its default of 30 s turns ten seconds into up to forty. */
const checkMs = 1000;
/** More than the 60 kB of headers that Envoy lets pass, of which Kourier is one; Node's own limit is 16 kB. */
const maxHeaderBytes = 64 * 1024;
/** How long a draining function still takes connections: a balancer that probes each second has seen the 503 by then. */
const lameDuckMs = 1000;
/** How long the last spans may take to their collector: it answers in milliseconds, or is gone. */
const maxFlushMs = 2000;

/** A registered function with all that serves it. */
export interface ServedFunction {
  readonly name: string;
  readonly config: Pick<Config, 'maxUploadBytes' | 'workers' | 'drainMs'>;
  readonly log: Log;
  readonly service: Pick<Service, 'beginDrain' | 'close' | 'reload' | 'lost'>;
  readonly handler: Handler;
  readonly traces: Traces | undefined;
  /** Absent where no job is taken. */
  readonly jobs: Pick<Jobs, 'stop'> | undefined;
}

/** A function that listens. */
export interface RunningFunction {
  /** The port it got. */
  readonly port: number;
  /** Ends the function: not ready, answers what is in flight, ends the workers; at most DRAIN_MS long. */
  drain(): Promise<void>;
}

/**
 * Serves a function through the framework, behind a listener of our own: uploads are judged before they are buffered, connections
 * outlive Knative's pool, SIGTERM and SIGINT finish what is in flight. Refusals, probes and metrics do not pass through the framework.
 * Listens at once; the function is ready when a model is.
 * @throws ConfigError when the port is taken, else the system's error
 */
export async function startServer(served: ServedFunction, port: number): Promise<RunningFunction> {
  const { name, config, log, handler } = served;
  const framework = frameworkListener(name);
  const options = {
    keepAliveTimeout: keepAliveMs,
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: checkMs,
    maxHeaderSize: maxHeaderBytes,
    requireHostHeader: false, // judged below: Node's own answer is no problem document
  };
  const server = createServer(options, (request, response) => serve(request, response, 'none'));
  const connections = createConnections(server, handler.refuse);
  const unanswered = createHolds();
  const untilRound = createRounds();
  server.on('checkContinue', (request, response) => serve(request, response, 'continue'));
  server.on('checkExpectation', (request, response) => serve(request, response, 'another'));

  async function serve(request: FunctionRequest, response: ServerResponse, expects: Expectation): Promise<void> {
    connections.add(request, response);
    response.once('close', unanswered.take());
    if (!(await receive(served, request, response, expects))) discardBody(request);
    else if (request.exchange?.route?.name === 'task') {
      await untilRound();
      request.url = '/'; // Express would route by the target as it was sent, and the route is known
      (await framework)(request, response);
    } else await handler.handle(request, response);
  }

  await listen(server, port, log);
  const address = server.address() as AddressInfo;
  log('info', 'listening', { function: name, port: address.port, workers: config.workers });
  let draining: Promise<void> | undefined;
  return {
    port: address.port,
    drain: () => {
      draining ??= drain(served, server, unanswered.untilNone);
      return draining;
    },
  };
}

/** Judges a request and receives its body; false for one that has been refused. */
async function receive(
  { handler, config }: ServedFunction,
  request: FunctionRequest,
  response: ServerResponse,
  expects: Expectation,
): Promise<boolean> {
  if (!handler.admit(request, response)) return false;
  try {
    judgeMessage(request, expects);
    if (expects === 'continue') response.writeContinue();
    if (request.method === 'POST' || request.method === 'PUT') {
      const deadlineMs = request.exchange?.uploadDeadlineMs ?? Number.POSITIVE_INFINITY;
      const maxBytes = maxBodyBytes(request.headers, request.exchange?.rules ?? config);
      request.rawBody = await receiveBody(request, maxBytes, { deadlineMs });
      handler.prepare?.(request);
    }
    return true;
  } catch (fault) {
    handler.refuse(request, response, fault);
    return false;
  }
}

async function drain(
  { config, log, service, traces, jobs }: ServedFunction,
  server: Server,
  untilNoneOpen: () => Promise<void>,
): Promise<void> {
  log('info', 'drain begins');
  service.beginDrain();
  const deadlineMs = performance.now() + config.drainMs;
  const jobsStopped = jobs?.stop();
  const deadline = setTimeout(() => {
    log('error', 'drain took too long', { drainMs: config.drainMs });
    process.kill(process.pid, 'SIGKILL'); // an exit while a session runs would abort with a core dump instead
  }, config.drainMs);
  await new Promise((resolve) => setTimeout(resolve, Math.min(lameDuckMs, config.drainMs / 2)));
  const closed = new Promise((resolve) => server.close(resolve));
  await untilNoneOpen();
  server.closeAllConnections(); // what is left never began a request
  await closed;
  await jobsStopped;
  await service.close();
  await traces?.close(Math.min(maxFlushMs, (deadlineMs - performance.now()) / 2));
  clearTimeout(deadline);
  log('info', 'drain ends');
}

/**
 * Settles when the server listens. What goes wrong later, such as a connection that cannot be accepted, is logged.
 * @throws ConfigError when the port is taken, else the system's error
 */
export async function listen(server: Server, port: number, log: Log): Promise<void> {
  server.listen(port);
  await once(server, 'listening').catch((fault: NodeJS.ErrnoException) => {
    const text = `Expected a free port for PORT but received ${port}: another program listens there`;
    throw fault.code === 'EADDRINUSE' ? new ConfigError(text, { cause: fault }) : fault;
  });
  server.on('error', (error) => log('error', 'server failed', { error }));
}

type Expectation = 'none' | 'continue' | 'another';

/**
 * What HTTP/1.1 asks of every request beside its syntax (RFC 9112 3.2, RFC 9110 10.1.1).
 * @throws Problem UPLOAD_MALFORMED | PARAMETER_INVALID
 */
function judgeMessage(request: FunctionRequest, expects: Expectation): void {
  const hosts = request.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts > 1 || (hosts === 0 && request.httpVersion === '1.1')) {
    throw new Problem('UPLOAD_MALFORMED', `Expected one Host header for request but received ${hosts}`);
  }
  if (expects === 'another') {
    throw new Problem('PARAMETER_INVALID', 'Expected 100-continue or none for Expect but received another');
  }
}
