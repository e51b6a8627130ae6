import { once } from 'node:events';
import { WebSocket } from 'ws';

/** Node's inspector of another process: it evaluates expressions on that process' own threads. */
export interface Inspector {
  /** Evaluates on the main thread. @throws Error when the expression raises or the process ends first */
  evaluate(expression: string): Promise<void>;
  /** Evaluates on each worker thread; settles when each has done it or has ended. @throws Error when the expression raises */
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

/** Connects to the address that a process prints after SIGUSR1, `ws://127.0.0.1:PORT/ID`; an aborted signal disconnects. */
export async function connectInspector(address: string, signal: AbortSignal): Promise<Inspector> {
  const socket = new WebSocket(address, { perMessageDeflate: false });
  await once(socket, 'open', { signal });
  const close = () => socket.terminate();
  signal.addEventListener('abort', close, { once: true });
  socket.on('error', () => {}); // 'close' follows
  const waiting = new Map<string, (message: Message | undefined) => void>();
  const sessions: string[] = [];
  let lastId = 0;

  function settle(key: string, message: Message | undefined): void {
    waiting.get(key)?.(message);
    waiting.delete(key);
  }
  function call(method: string, params: object): Promise<Message | undefined> {
    const id = ++lastId;
    socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => waiting.set(`main ${id}`, resolve));
  }
  socket.on('message', (data) => {
    const message = JSON.parse(String(data)) as Message;
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
  });
  socket.once('close', () => {
    for (const key of waiting.keys()) settle(key, undefined);
  });

  const method = 'Runtime.evaluate';
  const paramsOf = (expression: string) => ({ expression, includeCommandLineAPI: true }); // with `require`
  return {
    async evaluate(expression) {
      const message = await call(method, paramsOf(expression));
      const fault = message?.error ?? message?.result?.exceptionDetails;
      if (message === undefined || fault)
        throw new Error(`Expected an end of ${expression} but received ${JSON.stringify(fault)}`);
    },
    async evaluateInWorkers(expression) {
      if (sessions.length === 0) await call('NodeWorker.enable', { waitForDebuggerOnStart: false });
      const done = sessions.splice(0).map((sessionId) => {
        const id = ++lastId;
        const message = JSON.stringify({ id, method, params: paramsOf(expression) });
        void call('NodeWorker.sendMessageToWorker', { sessionId, message });
        return new Promise<Message | undefined>((resolve) => waiting.set(`${sessionId} ${id}`, resolve));
      });
      const messages = await Promise.all(done);
      await call('NodeWorker.disable', {});
      const fault = messages.map((message) => message?.error ?? message?.result?.exceptionDetails).find(Boolean);
      if (fault) throw new Error(`Expected an end of ${expression} but received ${JSON.stringify(fault)}`);
    },
    close,
  };
}
