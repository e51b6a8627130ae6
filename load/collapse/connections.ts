import { connect, type Socket } from 'node:net';
import { judgeResponse, readResponse, type Verdict } from './response.ts';

/** Result of a request. */
export interface Outcome {
  /** Milliseconds from the moment at which the request was due to its result. */
  readonly ms: number;
  /** How much later than due it was sent; undefined when it never was, since all connections were in use. */
  readonly lateMs: number | undefined;
  readonly verdict: Verdict;
}

/** A client without an answer by then gives up. */
const patienceMs = 10_000;
/** More connections than any server here should need; beyond them requests wait. */
const mostSockets = 4000;
/** Some servers close a connection that is unused for some seconds. */
const idleMs = 2000;
const sweepMs = 50;

interface Pending {
  readonly request: Buffer;
  readonly dueMs: number;
  readonly settle: (outcome: Outcome) => void;
  sentMs?: number;
  socket?: Socket;
  text: string;
  isDone: boolean;
}

/** Kept connections to one server, and the requests that wait for one. */
export class Client {
  readonly #idle: Socket[] = [];
  readonly #busy = new Map<Socket, Pending>();
  readonly #waiting: Pending[] = [];
  /** In the order in which they are due. */
  readonly #all: Pending[] = [];
  readonly #timer = setInterval(() => this.#giveUp(), sweepMs);
  readonly #address: { readonly host: string; readonly port: number };
  #sockets = 0;

  constructor({ hostname, port }: URL) {
    this.#address = { host: hostname, port: Number(port || 80) };
  }

  /** Sends a request as soon as a connection is free. `dueMs` is on the clock of `performance.now()`. */
  ask(request: Buffer, dueMs: number): Promise<Outcome> {
    return new Promise((settle) => {
      const pending: Pending = { request, dueMs, settle, text: '', isDone: false };
      this.#all.push(pending);
      this.#send(pending);
    });
  }

  close(): void {
    clearInterval(this.#timer);
    for (const socket of this.#idle) socket.destroy();
  }

  #open(): Socket {
    const socket = connect({ ...this.#address, noDelay: true, timeout: idleMs });
    let fault = 'connection closed';
    this.#sockets += 1;
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => this.#receive(socket, String(chunk), false));
    socket.on('end', () => this.#receive(socket, '', true));
    socket.on('timeout', () => this.#busy.has(socket) || socket.destroy());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      fault = error.code ?? error.message;
    });
    socket.on('close', () => {
      this.#sockets -= 1;
      if (this.#idle.includes(socket)) this.#idle.splice(this.#idle.indexOf(socket), 1);
      const pending = this.#busy.get(socket);
      if (pending !== undefined) this.#finish(pending, { kind: 'broken', fault, status: 0 });
      this.#sendNext();
    });
    return socket;
  }

  #send(pending: Pending): void {
    let socket = this.#idle.pop();
    while (socket?.destroyed) socket = this.#idle.pop(); // its `close` comes later
    socket ??= this.#sockets < mostSockets ? this.#open() : undefined;
    if (socket === undefined) return void this.#waiting.push(pending);
    pending.socket = socket;
    pending.sentMs = performance.now();
    this.#busy.set(socket, pending);
    socket.write(pending.request);
  }

  #sendNext(): void {
    let next = this.#waiting.shift();
    while (next?.isDone) next = this.#waiting.shift();
    if (next !== undefined) this.#send(next);
  }

  #receive(socket: Socket, chunk: string, isOver: boolean): void {
    const pending = this.#busy.get(socket);
    if (pending === undefined) return;
    pending.text += chunk;
    const response = readResponse(pending.text, isOver);
    if (response === undefined) return;
    this.#finish(pending, judgeResponse(response));
    // After an early answer the rest of the request is not sent, so the connection is of no use.
    if (response.closes || isOver || socket.writableLength > 0) return void socket.destroy();
    this.#idle.push(socket);
    this.#sendNext();
  }

  #finish(pending: Pending, verdict: Verdict): void {
    const { dueMs, sentMs, socket } = pending;
    if (socket !== undefined) this.#busy.delete(socket);
    pending.isDone = true;
    const lateMs = sentMs === undefined ? undefined : sentMs - dueMs;
    pending.settle({ ms: performance.now() - dueMs, lateMs, verdict });
  }

  #giveUp(): void {
    for (let first = this.#all[0]; first !== undefined; first = this.#all[0]) {
      if (!first.isDone && performance.now() < first.dueMs + patienceMs) return;
      this.#all.shift();
      if (first.isDone) continue;
      const fault = first.sentMs === undefined ? 'never sent' : 'time-out';
      this.#finish(first, { kind: 'broken', fault, status: 0 });
      first.socket?.destroy();
    }
  }
}
