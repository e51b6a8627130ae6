import { Worker } from 'node:worker_threads';
import type { TaskInput } from '../task.ts';
import type { FromWorker, Load, RunMessage, ToWorker } from './message.ts';

/** A worker thread with one session. */
export interface Thread {
  readonly worker: Worker;
  /** Whether the session has passed its golden case. */
  isReady: boolean;
}

export interface ThreadsOptions {
  /** The worker's script. */
  readonly script: URL;
  readonly load: Load;
  readonly count: number;
  /** A thread can run its model now; `modelMs` is what the golden case took. */
  readonly onReady: (thread: Thread, modelMs: number) => void;
  /** A run has ended. */
  readonly onEnd: (thread: Thread, message: RunMessage) => void;
  /** A thread is gone, and with it its run. */
  readonly onLost: (thread: Thread, cause: string) => void;
}

/** Worker threads from start to end: one that is lost is replaced, unless its file was refused for good. */
export interface Threads {
  /** Starts them, once and not after `close`. */
  start(): void;
  ready(): readonly Thread[];
  /** Has the thread run its model. What is not in shared memory is transferred. */
  run(thread: Thread, input: TaskInput): void;
  /** Ends a thread that has nothing to do. */
  quit(thread: Thread): void;
  /** Why the file was refused for good, so that no new thread is started; undefined where it was not. */
  refusal(): string | undefined;
  /** Starts no more; settles when the last thread has ended. */
  close(): Promise<void>;
}

const firstDelayMs = 50; // a worker that dies once is back before most clients notice
const longestDelayMs = 10_000; // one that keeps dying costs one start every ten seconds

interface State {
  readonly options: ThreadsOptions;
  readonly threads: Set<Thread>;
  /** Losses since the last run that ended well. */
  losses: number;
  hasServed: boolean;
  isStarted: boolean;
  isClosing: boolean;
  refusal: string | undefined;
}

export function createThreads(options: ThreadsOptions): Threads {
  const threads = new Set<Thread>();
  const state: State = {
    options,
    threads,
    losses: 0,
    hasServed: false,
    isStarted: false,
    isClosing: false,
    refusal: undefined,
  };
  return {
    start() {
      for (let i = 0; i < options.count && !state.isStarted && !state.isClosing; i += 1) startThread(state);
      state.isStarted = true;
    },
    ready: () => [...threads].filter(({ isReady }) => isReady),
    run({ worker }, input) {
      const { buffer } = input.data;
      const run: ToWorker = { type: 'run', input };
      worker.postMessage(run, buffer instanceof ArrayBuffer ? [buffer] : []);
    },
    quit: ({ worker }) => worker.postMessage({ type: 'quit' } satisfies ToWorker),
    refusal: () => state.refusal,
    async close() {
      state.isClosing = true;
      await Promise.all([...threads].map(({ worker }) => new Promise((resolve) => worker.once('exit', resolve))));
    },
  };
}

function startThread(state: State): void {
  const { script, load } = state.options;
  const thread: Thread = { worker: new Worker(script, { workerData: load }), isReady: false };
  state.threads.add(thread);
  thread.worker.on('message', (message: FromWorker) => receive(state, thread, message));
  thread.worker.on('error', (fault) => removeThread(state, thread, String(fault)));
  thread.worker.on('exit', (code) => removeThread(state, thread, `exit code ${code}`));
}

function receive(state: State, thread: Thread, message: FromWorker): void {
  const { onReady, onEnd } = state.options;
  switch (message.type) {
    case 'refused':
      removeThread(state, thread, message.error, message.isFinal);
      break;
    case 'ready':
      thread.isReady = true;
      state.hasServed = true;
      onReady(thread, message.modelMs);
      break;
    default:
      if (message.type === 'done') state.losses = 0;
      onEnd(thread, message);
  }
}

/**
 * Starts another thread after a while, unless the loss is final: a file that was refused always will be. Where the file has been served
 * before, what is wrong is no fault of its own and may pass.
 */
function removeThread(state: State, thread: Thread, cause: string, isFinal = false): void {
  if (!state.threads.delete(thread)) return;
  if (isFinal && !state.hasServed) state.refusal = cause;
  state.options.onLost(thread, cause);
  if (state.isClosing || state.refusal !== undefined) return;
  const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** state.losses);
  state.losses += 1;
  setTimeout(() => !state.isClosing && startThread(state), delayMs).unref();
}
