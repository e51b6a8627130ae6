import { randomUUID } from 'node:crypto';
import { createServer, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { ConfigError } from './config.ts';
import type { UnderstudyFunction } from './function.ts';
import type { FunctionRequest } from './handler.ts';
import { Problem, toProblemJson } from './problem.ts';
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
 * Serves a function in place of the framework's server: uploads are judged before they are buffered, connections outlive
 * Knative's pool, SIGTERM and SIGINT finish what is in flight. Express, five body parsers and the async hooks of `domain` would take
 * 0.5 to 0.9 ms of each photo, too (load/README.md). An exception that nobody catches ends the process. Listens at once; the function
 * is ready when a model is.
 * @throws ConfigError when the port is taken, else the system's error
 */
export async function startServer(served: UnderstudyFunction, port: number): Promise<RunningFunction> {
  const { name, config, log, service, handler } = served;
  const options = { keepAliveTimeout: keepAliveMs, headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs };
  const server = createServer(options, serve);
  server.on('clientError', answerUnparsable);
  server.on('checkContinue', (request: FunctionRequest, response: ServerResponse) => serve(request, response, true));

  let open = 0;
  let markIdle: (() => void) | undefined;
  const untilIdle = () =>
    new Promise<void>((resolve) => {
      markIdle = resolve;
      if (open === 0) resolve();
    });

  async function serve(request: FunctionRequest, response: ServerResponse, expectsContinue = false): Promise<void> {
    open += 1;
    response.once('close', () => {
      open -= 1;
      if (open === 0) markIdle?.();
    });
    if (!handler.admit(request, response)) {
      discardBody(request);
      return;
    }
    if (request.method === 'POST') {
      if (expectsContinue) response.writeContinue();
      try {
        request.rawBody = await receiveBody(request, maxBodyBytes(request.headers, config.maxUploadBytes));
      } catch (fault) {
        handler.refuse(request, response, fault);
        discardBody(request);
        return;
      }
    }
    await handler.handle(request, response);
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
    const closed = new Promise((resolve) => server.close(resolve));
    await untilIdle();
    server.closeAllConnections(); // what is left never began a request
    await closed;
    await service.close();
    clearTimeout(deadline);
    log('info', 'drain ends');
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', (fault: NodeJS.ErrnoException) => {
      const text = `Expected a free port for PORT but received ${port}: another program listens there`;
      reject(fault.code === 'EADDRINUSE' ? new ConfigError(text, { cause: fault }) : fault);
    });
    server.listen(port, resolve);
  });
  const address = server.address() as AddressInfo;
  log('info', 'listening', { function: name, port: address.port, workers: config.workers });
  return {
    port: address.port,
    drain: () => {
      draining ??= drain();
      return draining;
    },
  };
}

/** What a parser's complaint becomes: it comes before there is a request to answer, so the connection ends with it. */
function answerUnparsable(fault: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || fault.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const problem =
    fault.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new Problem('UPLOAD_TIMEOUT', 'Expected a whole request in time but received a part of it')
      : new Problem('UPLOAD_MALFORMED', 'Expected an HTTP request but received something else');
  const body = JSON.stringify(toProblemJson(problem, randomUUID()));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
