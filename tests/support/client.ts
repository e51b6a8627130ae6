import { once } from 'node:events';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expectDocumented } from './documented.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly bytes: Buffer;
  /** From the first byte sent to the last byte received. */
  readonly ms: number;
}

export interface Sent {
  /** @default 'POST' */
  readonly method?: string;
  /** @default '/classify' */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: Buffer;
  /** Without Content-Length. */
  readonly chunked?: boolean;
  /** Waits this long in the middle of the body. */
  readonly pauseMs?: number;
  /** Asks a listener that no client of the API can reach. @default false */
  readonly inside?: boolean;
}

/**
 * One request on a connection of its own.
 * @throws the socket's error, also when the answer ends too soon; Error for an answer that functions/openapi.yaml does not have
 */
export async function send(origin: string, sent: Sent = {}): Promise<Answer> {
  const { method = 'POST', path = '/classify', body = Buffer.alloc(0), chunked = false, pauseMs = 0 } = sent;
  const started = performance.now();
  const framing = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(body.length) };
  const outgoing = request(`${origin}${path}`, {
    method,
    agent: false,
    headers: { 'content-type': 'application/octet-stream', ...framing, ...sent.headers },
  });
  const answered = once(outgoing, 'response');
  outgoing.on('error', () => undefined); // reported by `once`, unless the answer is already here
  const half = body.length >> 1;
  if (pauseMs > 0) {
    outgoing.write(body.subarray(0, half));
    await sleep(pauseMs);
    outgoing.end(body.subarray(half));
  } else if (chunked) {
    outgoing.write(body.subarray(0, half));
    outgoing.end(body.subarray(half));
  } else {
    outgoing.end(body);
  }
  const [response] = await answered;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const ms = performance.now() - started;
  const bytes = Buffer.concat(chunks);
  const { statusCode: status, headers } = response;
  if (!sent.inside) expectDocumented({ method, path, status, headers, body: bytes });
  return { status, headers, text: bytes.toString(), bytes, ms };
}

/** Sends these bytes as they are and returns what comes back before the other side closes, or `waitMs` are over. */
export async function sendRaw(port: number, bytes: string | Buffer, waitMs = 5_000): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('error', () => undefined);
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  const timer = setTimeout(() => socket.destroy(), waitMs);
  socket.write(bytes);
  await once(socket, 'close');
  clearTimeout(timer);
  return text;
}
