import { once } from 'node:events';
import { request } from 'node:http';
import type { Duplex } from 'node:stream';

/** Node's own inspector in another process: what it evaluates there runs on that process' thread, as its own code would. */
export interface Inspector {
  /** Evaluates on the main thread; settles when that is done. @throws Error when it raises or the process ends first */
  evaluate(expression: string): Promise<void>;
  /** Evaluates on each worker thread, which does it when it is idle; settles when each has done it or has ended. */
  evaluateInWorkers(expression: string): Promise<void>;
  close(): void;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly sessionId: string; readonly message: string };
  readonly result?: { readonly exceptionDetails?: object };
  readonly error?: object;
}

/** Connects to the address that a process prints after SIGUSR1, `ws://127.0.0.1:PORT/ID`; a signal that is aborted closes it. */
export async function connectInspector(address: string, signal: AbortSignal): Promise<Inspector> {
  const socket = await openWebSocket(address, signal);
  signal.addEventListener('abort', () => socket.destroy(), { once: true });
  const waiting = new Map<string, (message: Message | undefined) => void>();
  const sessions: string[] = [];
  let lastId = 0;

  function ask(key: string, send: () => void): Promise<Message | undefined> {
    return new Promise((resolve) => {
      waiting.set(key, resolve);
      send();
    });
  }
  function settle(key: string, message: Message | undefined): void {
    waiting.get(key)?.(message);
    waiting.delete(key);
  }
  function receive(text: string): void {
    const message = JSON.parse(text) as Message;
    const session = message.params?.sessionId;
    if (message.id !== undefined) settle(`main ${message.id}`, message);
    else if (session === undefined) return;
    else if (message.method === 'NodeWorker.attachedToWorker') sessions.push(session);
    else if (message.method === 'NodeWorker.detachedFromWorker') {
      for (const key of waiting.keys()) if (key.startsWith(`${session} `)) settle(key, undefined);
    } else if (message.method === 'NodeWorker.receivedMessageFromWorker') {
      const inner = JSON.parse((message.params as { message: string }).message) as Message;
      settle(`${session} ${inner.id}`, inner);
    }
  }
  function call(method: string, params: object): Promise<Message | undefined> {
    const id = ++lastId;
    return ask(`main ${id}`, () => socket.write(textFrame(JSON.stringify({ id, method, params }))));
  }
  readFrames(socket, receive);
  socket.once('close', () => {
    for (const key of waiting.keys()) settle(key, undefined);
  });

  const evaluation = (expression: string) => ({
    method: 'Runtime.evaluate',
    params: { expression, includeCommandLineAPI: true }, // with `require`
  });
  return {
    async evaluate(expression) {
      const { method, params } = evaluation(expression);
      const message = await call(method, params);
      const fault = message?.error ?? message?.result?.exceptionDetails;
      if (message === undefined || fault)
        throw new Error(`Expected an end of ${expression} but received ${JSON.stringify(fault)}`);
    },
    async evaluateInWorkers(expression) {
      if (sessions.length === 0) await call('NodeWorker.enable', { waitForDebuggerOnStart: false });
      const done = sessions.splice(0).map((sessionId) => {
        const id = ++lastId;
        const message = JSON.stringify({ id, ...evaluation(expression) });
        return ask(`${sessionId} ${id}`, () => {
          void call('NodeWorker.sendMessageToWorker', { sessionId, message });
        });
      });
      await Promise.all(done);
      await call('NodeWorker.disable', {});
    },
    close: () => void socket.destroy(),
  };
}

async function openWebSocket(address: string, signal: AbortSignal): Promise<Duplex> {
  const key = Buffer.alloc(16, 'understudy').toString('base64');
  const outgoing = request(address.replace('ws:', 'http:'), {
    headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': key },
  });
  outgoing.end();
  const [, socket] = (await once(outgoing, 'upgrade', { signal })) as [unknown, Duplex];
  socket.on('error', () => {}); // 'close' follows
  return socket;
}

/** RFC 6455: a whole text message; a client's frames are masked, here with zeros. */
function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(payload.length);
  return Buffer.concat([Buffer.of(0x81, 0x80 | 126), length, Buffer.alloc(4), payload]);
}

/** Hands on every text message; the inspector sends each in one frame without a mask. */
function readFrames(socket: Duplex, receive: (text: string) => void): void {
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let frame = firstFrame(rest); frame !== undefined; frame = firstFrame(rest)) {
      rest = rest.subarray(frame.end);
      if (frame.opcode === 1) receive(frame.payload.toString());
    }
  });
}

function firstFrame(bytes: Buffer): { opcode: number; payload: Buffer; end: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = (bytes[1] as number) & 0x7f;
  const start = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (bytes.length < start) return undefined;
  const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  const end = start + length;
  if (bytes.length < end) return undefined;
  return { opcode: (bytes[0] as number) & 0x0f, payload: bytes.subarray(start, end), end };
}
