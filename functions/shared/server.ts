import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { frameworkListener } from './framework.ts';
import type { UnderstudyFunction } from './function.ts';
import type { FunctionRequest } from './handler.ts';
import { discardBody, receiveBody } from './receive.ts';
import { maxBodyBytes } from './upload.ts';

/** Longer than the 90 s for which Knative's queue-proxy keeps idle connections: it must never reuse one that we close. */
const keepAliveMs = 100_000;
/** Headers come in one packet; ten seconds are patience for a lost one, not for a client that dribbles. */
const headersTimeoutMs = 10_000;
/** Node's own limit on a whole request, far above the 15 s that `receiveBody` grants, which answers and does not cut. */
const requestTimeoutMs = 60_000;
/** How long a draining function still takes connections: a balancer that probes each second has seen the 503 by then. */
const lameDuckMs = 1000;

/** A function that listens. */
export interface RunningFunction {
  /** The port it got. */
  readonly port: number;
  /** Ends the function: not ready, answers what is in flight, ends the workers; at most DRAIN_MS long. */
  drain(): Promise<void>;
}

/**
 * Serves a function through the framework, with what the framework's own server lacks: uploads are judged before they are
 * buffered, connections outlive Knative's pool, SIGTERM and SIGINT finish what is in flight. Listens at once; the function
 * is ready when a model is.
 * @throws the system's error when the port cannot be had
 */
export async function startServer(served: UnderstudyFunction, port: number): Promise<RunningFunction> {
  const { name, config, log, service, handler } = served;
  const listener = frameworkListener(name);
  const options = { keepAliveTimeout: keepAliveMs, headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs };
  const server = createServer(options, serve);
  server.on('checkContinue', (request: FunctionRequest, response: ServerResponse) => serve(request, response, true));

  async function serve(request: FunctionRequest, response: ServerResponse, expectsContinue = false): Promise<void> {
    if (!handler.admit(request, response)) {
      discardBody(request);
      return;
    }
    if (request.method !== 'POST') return handler.handle(request, response); // probes wait for no body and no framework
    if (expectsContinue) response.writeContinue();
    try {
      request.rawBody = await receiveBody(request, maxBodyBytes(request.headers, config.maxUploadBytes));
    } catch (fault) {
      handler.refuse(request, response, fault);
      discardBody(request);
      return;
    }
    listener(request as IncomingMessage, response);
  }

  let draining: Promise<void> | undefined;
  async function drain(): Promise<void> {
    log('info', 'drain begins');
    service.beginDrain();
    const deadline = setTimeout(() => {
      log('error', 'drain took too long', { drainMs: config.drainMs });
      process.kill(process.pid, 'SIGKILL'); // an exit while a session runs would abort with a core dump instead
    }, config.drainMs);
    await new Promise((resolve) => setTimeout(resolve, Math.min(lameDuckMs, config.drainMs / 2)));
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeIdleConnections();
    });
    await service.close();
    clearTimeout(deadline);
    log('info', 'drain ends');
  }
  const drainOnce = () => (draining ??= drain());

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, resolve);
  });
  const address = server.address() as AddressInfo;
  log('info', 'listening', { function: name, port: address.port, workers: config.workers });
  return { port: address.port, drain: drainOnce };
}
