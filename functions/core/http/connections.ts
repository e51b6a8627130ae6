import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { Problem, toProblemJson } from '../problem.ts';

/** How long a client that we have no more to say to may take to close its side. */
const lingerMs = 2000;

/** Longer than most answers take, so that few clients ever see what is sent to find out whether they are there. */
const probeMs = 250;

type Refuse = (request: IncomingMessage, response: ServerResponse, problem: Problem) => void;

/**
 * Ends a server's connections so that no answer is lost: what cannot be parsed is answered when the answers before it have been,
 * and a client that has sent all it will send is answered, too.
 * @param refuse answers a request that was parsed but for its body
 */
export function createConnections(server: Server, refuse: Refuse) {
  const underWay = new WeakMap<Duplex, Set<ServerResponse>>();
  const failed = new WeakSet<Duplex>();
  // Node knows it and its documentation does not: without it, the end of what a client sends ends what it is sent.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on('clientError', fail);

  /** Keeps a request in mind until its answer is sent. */
  function add(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const responses = underWay.get(socket) ?? new Set();
    underWay.set(socket, responses.add(response));
    const watch = () => watchGone(request, response);
    socket.once('end', watch);
    response.once('close', () => {
      responses.delete(response);
      socket.off('end', watch);
    });
  }

  function fail(fault: NodeJS.ErrnoException, socket: Duplex): void {
    if (!socket.writable || fault.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    if (failed.has(socket)) return; // the parser complains of every packet from now on
    failed.add(socket);
    const problem = problemOf(fault);
    const last = [...(underWay.get(socket) ?? [])].at(-1);
    if (last === undefined) {
      end(socket, problem);
    } else if (last.req.complete) {
      last.once('close', () => end(socket, problem));
    } else {
      last.once('close', () => end(socket));
      last.shouldKeepAlive = false;
      refuse(last.req, last, problem);
    }
  }

  return { add };
}

/**
 * A client that has closed its sending side may still read. A 102 tells: HTTP/1.1 clients skip it, and one that has gone resets the
 * connection, so that the request is dropped.
 */
function watchGone(request: IncomingMessage, response: ServerResponse): void {
  if (request.httpVersion !== '1.1') return;
  const timer = setInterval(() => {
    if (!response.headersSent && response.socket) response.writeProcessing();
  }, probeMs);
  response.once('close', () => clearInterval(timer));
}

/** What a parser's complaint becomes. */
function problemOf({ code }: NodeJS.ErrnoException): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem('UPLOAD_TIMEOUT', 'Expected a whole request in time but received a part of it');
    case 'HPE_INVALID_EOF_STATE':
      return new Problem('UPLOAD_MALFORMED', 'Expected a whole request but received a part of it');
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('PARAMETER_INVALID', 'Expected at most 64 kB for all headers but received more');
    default:
      return new Problem('UPLOAD_MALFORMED', 'Expected an HTTP request but received something else');
  }
}

/** Ends a connection, with a problem for which there is no request that could be answered, if any. */
function end(socket: Duplex, problem?: Problem): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(timer));
  if (problem === undefined || !socket.writable) {
    socket.end();
    return;
  }
  const requestId = randomUUID();
  const body = JSON.stringify(toProblemJson(problem, requestId));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'content-type: application/problem+json',
    `x-request-id: ${requestId}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
