import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inventedHeader } from './documented.ts';

/** How an upstream handles a request. */
export type Behavior =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Headers;
      readonly body?: string;
      readonly delayMs?: number;
    }
  /** Answers before the body is read; then reads on, or closes with the rest unread. */
  | { readonly kind: 'early'; readonly status: number; readonly after: 'reads on' | 'closes' }
  | { readonly kind: 'silent' }
  /** Reads the headers and nothing of the body, like a stopped process. */
  | { readonly kind: 'unread' }
  /** Resets the connection: after the request's headers, or after its body. */
  | { readonly kind: 'reset'; readonly when: 'before body' | 'after body' }
  /** Sends half of an answer, then ends the connection. */
  | { readonly kind: 'truncated' }
  /** Answers with an invalid header line. */
  | { readonly kind: 'garbled' }
  /** Resets every connection on its second request, like a stale kept one. */
  | { readonly kind: 'stale' };

type Headers = Readonly<Record<string, string>>;

/** A request as it arrived at an upstream. */
export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Bytes and SHA-256 of the body, or of the part that had arrived when the behavior did not wait for all of it. */
  readonly bytes: number;
  readonly sha256: string;
}

export interface Upstream {
  readonly name: string;
  readonly port: number;
  /** Every request since the last `behave`, in order of their ends. */
  readonly received: Received[];
  /** Sets the behavior and clears `received`. */
  behave(behavior: Behavior): void;
  /** Closes the port: connections are refused until `open`. */
  refuse(): Promise<void>;
  open(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a tier that misbehaves on request, on a loopback port that it keeps. */
export async function startUpstream(name: string): Promise<Upstream> {
  let behavior: Behavior = answer(200);
  const received: Received[] = [];
  const served = new WeakSet<object>();

  const server = createServer((request, response) => {
    const now = behavior;
    if (now.kind === 'early') return answerEarly(request, response, now);
    if (now.kind === 'unread') return void received.push(record(request, []));
    if (now.kind === 'reset' && now.when === 'before body') {
      received.push(record(request, []));
      return void request.socket.resetAndDestroy();
    }
    if (now.kind === 'stale' && served.has(request.socket)) return void request.socket.resetAndDestroy();
    served.add(request.socket);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => {
      received.push(record(request, chunks));
      finish(now, name, request, response);
    });
  });
  server.keepAliveTimeout = 90_000;

  function answerEarly(request: IncomingMessage, response: ServerResponse, early: Behavior & { kind: 'early' }): void {
    received.push(record(request, []));
    request.resume();
    response.writeHead(early.status, { 'content-type': 'application/json', [inventedHeader]: '1' });
    response.end('{}', () => early.after === 'closes' && request.socket.destroy());
  }

  const listen = (port: number): Promise<void> => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });

  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    name,
    port,
    received,
    behave: (next) => {
      behavior = next;
      received.length = 0;
    },
    refuse: close,
    open: () => listen(port),
    close,
  };
}

/** An answer with these headers; without a body, the one of a function. */
export function answer(status: number, headers?: Headers, body?: string): Behavior & { kind: 'answer' } {
  return { kind: 'answer', status, ...(headers && { headers }), ...(body !== undefined && { body }) };
}

function finish(behavior: Behavior, name: string, request: IncomingMessage, response: ServerResponse): void {
  switch (behavior.kind) {
    case 'silent':
      return;
    case 'reset':
      return void request.socket.resetAndDestroy();
    case 'garbled':
      return void request.socket.end('HTTP/1.1 200 OK\r\n\0\r\n\r\n');
    case 'truncated':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"model":');
      return void setTimeout(() => request.socket.destroy(), 50);
    case 'answer': {
      const own = behavior.headers ?? {
        'content-type': 'application/json',
        'x-model': name === 'primary' ? 'wide-resnet' : 'mobilenet',
        'x-tier': name,
        'x-request-id': 'set-by-the-function',
      };
      const headers = { ...own, [inventedHeader]: '1' };
      const send = (): void =>
        void response.writeHead(behavior.status, headers).end(behavior.body ?? JSON.stringify({ tier: name }));
      return void (behavior.delayMs ? setTimeout(send, behavior.delayMs) : send());
    }
    default:
      response
        .writeHead(200, { 'content-type': 'application/json', 'x-tier': name, [inventedHeader]: '1' })
        .end(JSON.stringify({ tier: name }));
  }
}

function record(request: IncomingMessage, chunks: readonly Buffer[]): Received {
  const body = Buffer.concat(chunks);
  return {
    method: request.method ?? '',
    url: request.url ?? '',
    headers: request.headers,
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
  };
}
