import { connect, type Socket } from 'node:net';
import { judgeResponse, readResponse, type Verdict } from './response.ts';

/** What came of a request. Its time counts from the moment at which it was due, not from when it could be sent. */
export interface Outcome {
  readonly ms: number;
  /** How long after that moment it was sent; undefined when it never was, as all connections were in use. */
  readonly lateMs: number | undefined;
  readonly verdict: Verdict;
}

/** A client without an answer by then gives up. */
const patienceMs = 10_000;
/** More connections than any server here should need; who needs them all has its clients wait. */
const mostSockets = 4000;
/** A server may hang up on a connection that nobody used for some seconds. */
const idleMs = 2000;

interface Pending {
  readonly request: Buffer;
  readonly dueMs: number;
  readonly settle: (outcome: Outcome) => void;
  sentMs?: number;
  socket?: Socket;
  text: string;
  isDone: boolean;
}

/** Connections to one server, and who waits for one. */
export function openClient({ hostname, port }: URL) {
  const idle: Socket[] = [];
  const busy = new Map<Socket, Pending>();
  const waiting: Pending[] = [];
  const all: Pending[] = []; // in the order in which they are due
  let sockets = 0;

  function open(): Socket {
    const socket = connect({ host: hostname, port: Number(port || 80), noDelay: true, timeout: idleMs });
    let fault = 'connection closed';
    sockets += 1;
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => receive(socket, String(chunk), false));
    socket.on('end', () => receive(socket, '', true));
    socket.on('timeout', () => busy.has(socket) || socket.destroy());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      fault = error.code ?? error.message;
    });
    socket.on('close', () => {
      sockets -= 1;
      if (idle.includes(socket)) idle.splice(idle.indexOf(socket), 1);
      const pending = busy.get(socket);
      if (pending !== undefined) finish(pending, { kind: 'broken', fault, status: 0 });
      sendNext();
    });
    return socket;
  }

  function send(pending: Pending): void {
    let socket = idle.pop();
    while (socket?.destroyed) socket = idle.pop(); // its `close` comes later
    socket ??= sockets < mostSockets ? open() : undefined;
    if (socket === undefined) return void waiting.push(pending);
    pending.socket = socket;
    pending.sentMs = performance.now();
    busy.set(socket, pending);
    socket.write(pending.request);
  }

  function sendNext(): void {
    let next = waiting.shift();
    while (next?.isDone) next = waiting.shift();
    if (next !== undefined) send(next);
  }

  function receive(socket: Socket, chunk: string, isOver: boolean): void {
    const pending = busy.get(socket);
    if (pending === undefined) return;
    pending.text += chunk;
    const response = readResponse(pending.text, isOver);
    if (response === undefined) return;
    finish(pending, judgeResponse(response));
    // Who is answered before all is sent does not send the rest.
    if (response.closes || isOver || socket.writableLength > 0) return void socket.destroy();
    idle.push(socket);
    sendNext();
  }

  function finish(pending: Pending, verdict: Verdict): void {
    const { dueMs, sentMs, socket } = pending;
    if (socket !== undefined) busy.delete(socket);
    pending.isDone = true;
    const lateMs = sentMs === undefined ? undefined : sentMs - dueMs;
    pending.settle({ ms: performance.now() - dueMs, lateMs, verdict });
  }

  const patience = setInterval(() => {
    for (let first = all[0]; first !== undefined; first = all[0]) {
      if (!first.isDone && performance.now() < first.dueMs + patienceMs) return;
      all.shift();
      if (first.isDone) continue;
      const fault = first.sentMs === undefined ? 'never sent' : 'time-out';
      finish(first, { kind: 'broken', fault, status: 0 });
      first.socket?.destroy();
    }
  }, 50);

  return {
    ask: (request: Buffer, dueMs: number) =>
      new Promise<Outcome>((settle) => {
        const pending: Pending = { request, dueMs, settle, text: '', isDone: false };
        all.push(pending);
        send(pending);
      }),
    close: () => {
      clearInterval(patience);
      for (const socket of idle) socket.destroy();
    },
  };
}
