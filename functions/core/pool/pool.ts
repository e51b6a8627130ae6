import type { TaskInput } from '../task.ts';
import type { Estimate } from './estimate.ts';
import { forecast } from './forecast.ts';
import type { Load, RunMessage } from './message.ts';
import { createThreads, type Thread, type Threads } from './threads.ts';

/** How a run ended: with an output, or with the reason why another model must answer. */
export type Run =
  | { readonly status: 'done'; readonly output: unknown; readonly queueMs: number; readonly modelMs: number }
  | {
      readonly status: 'error' | 'timeout' | 'overload' | 'warming';
      readonly cause: string;
      /** Whether it ran for more than half of its time, so that the model was too slow and not the queue. */
      readonly overstayed?: boolean;
    };

/** A model without a worker: still loading, or its workers are lost. */
export interface Absence {
  readonly status: 'error' | 'warming';
  readonly cause: string;
}

export interface PoolCounts {
  readonly workers: number;
  readonly busy: number;
  /** Running jobs whose caller timed out. */
  readonly abandoned: number;
  readonly queued: number;
  /** Seconds for which the workers have been busy, all together and since the start. */
  readonly busySeconds: number;
}

export interface Pool {
  /** Whether a run could start now or after those before it. */
  isReady(): boolean;
  /** Why no run could start now or after those before it, undefined where one could. */
  absence(): Absence | undefined;
  /** Whether a run would start at once. */
  isIdle(): boolean;
  /** Whether it is idle and has learned nothing for a second or at all, so that what it predicts may be wrong. */
  isStale(): boolean;
  /** Milliseconds after which a run that came in `afterMs` would have ended, on the safe side; Infinity while not ready. */
  predictMs(afterMs?: number): number;
  /** Milliseconds that a run takes on average, waiting not included; 0 before the first one. */
  meanMs(): number;
  /** Starts the workers, once and not after `close`; settles when the first of them can serve or is lost, or at `close`. */
  start(): Promise<void>;
  /** Runs the model within `timeoutMs`, waiting included; an aborted signal ends the wait, too. Never rejects. The input stays usable. */
  run(input: TaskInput, timeoutMs: number, signal?: AbortSignal): Promise<Run>;
  /** Why the file was refused for good, so that no new worker is started; undefined where it was not. */
  refusal(): string | undefined;
  counts(): PoolCounts;
  /** Lets every worker end its run and itself; a session is never torn down while it runs, that would abort the process. */
  close(): Promise<void>;
}

export interface PoolOptions {
  /** The worker's script. */
  readonly script: URL;
  readonly load: Load;
  readonly workers: number;
  /** Most runs that wait; the next one is told `overload`. */
  readonly maxQueued: number;
  /** Learns how long a run holds its worker. */
  readonly estimate: Estimate;
  /** Milliseconds of a clock that stands still with the process. @default performance.now */
  readonly now?: () => number;
  readonly onEvent: (severity: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
}

interface Job {
  readonly input: TaskInput;
  readonly enteredMs: number;
  startedMs: number;
  settle: ((run: Run) => void) | undefined;
  timer: NodeJS.Timeout | undefined;
}

interface State extends Required<PoolOptions> {
  readonly threads: Threads;
  readonly queue: Job[];
  readonly running: Map<Thread, Job>;
  /** Memory of a thread's last input, for the next one: new memory each time would lie in the worker until it collects garbage. */
  readonly spares: WeakMap<Thread, TaskInput>;
  /** Why the last worker was lost, until one is ready again. */
  fault: string | undefined;
  isClosing: boolean;
  /** Of runs that have ended. */
  busyMs: number;
  /** When the last run ended well. */
  learnedMs: number;
  markStarted(): void;
}

const staleMs = 1000; // one run a second is what it costs to find out that a slow model is fast again

/**
 * A model's inference threads, one session each, and the queue before them. A run cannot be interrupted: the caller of one that overstays
 * is told `timeout` at once, and the worker stays busy until the run ends.
 */
export function createPool(options: PoolOptions): Pool {
  const { script, load, workers: count, estimate, now = () => performance.now() } = options;
  const started = deferred();
  const threads = createThreads({
    script,
    load,
    count,
    onReady: (thread, modelMs) => welcome(state, thread, modelMs),
    onEnd: (thread, message) => finish(state, thread, message),
    onLost: (thread, cause) => lose(state, thread, cause),
  });
  const state: State = {
    ...options,
    now,
    threads,
    queue: [],
    running: new Map(),
    spares: new WeakMap(),
    fault: undefined,
    isClosing: false,
    busyMs: 0,
    learnedMs: Number.NEGATIVE_INFINITY,
    markStarted: started.resolve,
  };
  return {
    isReady: () => isReady(state),
    absence: () => absence(state),
    isIdle: () => isIdle(state),
    isStale: () => isIdle(state) && now() - state.learnedMs >= staleMs,
    predictMs: (afterMs) => predictMs(state, afterMs),
    meanMs: estimate.meanMs,
    refusal: threads.refusal,
    start() {
      threads.start();
      return started.promise;
    },
    run: (input, timeoutMs, signal) => enter(state, input, timeoutMs, signal),
    counts: () => counts(state),
    async close() {
      state.isClosing = true;
      started.resolve(); // whoever waits for a worker waits no longer
      failAll(state, 'its workers are being stopped');
      const closed = threads.close();
      for (const thread of threads.ready()) if (!state.running.has(thread)) threads.quit(thread);
      await closed;
    },
  };
}

function deferred() {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function isReady({ isClosing, threads }: State): boolean {
  return !isClosing && threads.ready().length > 0;
}

function absence(state: State): Absence | undefined {
  if (isReady(state)) return undefined;
  return state.fault === undefined
    ? { status: 'warming', cause: 'the model is still loading' }
    : { status: 'error', cause: state.fault };
}

function isIdle({ queue, threads, running }: State): boolean {
  return queue.length === 0 && threads.ready().some((thread) => !running.has(thread));
}

function predictMs(state: State, afterMs?: number): number {
  if (state.isClosing) return Number.POSITIVE_INFINITY;
  const ranMs = state.threads.ready().map((thread) => {
    const job = state.running.get(thread);
    return job && state.now() - job.startedMs;
  });
  return forecast({ ranMs, waiting: state.queue.length }, state.estimate, afterMs);
}

function enter(state: State, input: TaskInput, timeoutMs: number, signal?: AbortSignal): Promise<Run> {
  const { queue, maxQueued, now } = state;
  const reason = absence(state);
  if (reason) return Promise.resolve(reason);
  if (timeoutMs <= 0 || signal?.aborted) return Promise.resolve({ status: 'timeout', cause: 'no time was left' });
  if (!isIdle(state) && queue.length >= maxQueued) {
    return Promise.resolve({ status: 'overload', cause: `${maxQueued} runs wait already` });
  }
  return new Promise((resolve) => {
    const job: Job = { input, enteredMs: now(), startedMs: 0, settle: resolve, timer: undefined };
    const leave = (cause: string) => {
      const place = queue.indexOf(job);
      if (place !== -1) queue.splice(place, 1);
      const ranMs = job.startedMs > 0 ? now() - job.startedMs : 0;
      settle(job, { status: 'timeout', cause, overstayed: ranMs > timeoutMs / 2 && !signal?.aborted });
    };
    job.timer = setTimeout(() => leave(`no answer within ${Math.round(timeoutMs)} ms`), timeoutMs);
    signal?.addEventListener('abort', () => leave('the caller has left'), { once: true });
    queue.push(job);
    dispatch(state);
  });
}

function dispatch({ threads, queue, running, spares, now }: State): void {
  for (const thread of threads.ready()) {
    if (running.has(thread)) continue;
    const job = queue.shift();
    if (!job) return;
    job.startedMs = now();
    running.set(thread, job);
    threads.run(thread, copyInto(spares.get(thread), job.input));
    spares.delete(thread);
  }
}

/** The input in memory that may be transferred: the spare one's where it is as long. What is in shared memory is not copied. */
function copyInto(spare: TaskInput | undefined, input: TaskInput): TaskInput {
  if (!(input.data.buffer instanceof ArrayBuffer)) return input;
  if (spare?.data.length !== input.data.length) return { ...input, data: input.data.slice() };
  spare.data.set(input.data);
  return { ...input, data: spare.data };
}

function welcome(state: State, thread: Thread, modelMs: number): void {
  state.fault = undefined;
  // The first run of a session, amid the start of everything else, tells little of those to come.
  state.estimate.presume(modelMs);
  state.onEvent('info', 'worker ready', { path: state.load.path });
  state.markStarted();
  goOn(state, thread);
}

function finish(state: State, thread: Thread, message: RunMessage): void {
  const { running, estimate, spares, now } = state;
  const job = running.get(thread);
  running.delete(thread);
  if (message.type === 'done') spares.set(thread, message.input);
  if (job) {
    const ranMs = now() - job.startedMs;
    state.busyMs += ranMs;
    if (message.type === 'done') {
      state.learnedMs = now();
      estimate.observe(ranMs); // how fast a model raises says nothing about an answer
      const { output, modelMs } = message;
      settle(job, { status: 'done', output, queueMs: job.startedMs - job.enteredMs, modelMs });
    } else settle(job, { status: 'error', cause: message.error });
  }
  goOn(state, thread);
}

function goOn(state: State, thread: Thread): void {
  if (state.isClosing) state.threads.quit(thread);
  else dispatch(state);
}

function lose(state: State, thread: Thread, cause: string): void {
  const job = state.running.get(thread);
  state.running.delete(thread);
  if (job) settle(job, { status: 'error', cause });
  if (state.isClosing) return;
  if (!isReady(state)) {
    state.fault = cause;
    failAll(state, cause);
  }
  state.onEvent('error', 'worker lost', { path: state.load.path, cause });
  state.markStarted();
}

function failAll({ queue }: State, cause: string): void {
  for (const job of queue.splice(0)) settle(job, { status: 'error', cause });
}

function settle(job: Job, run: Run): void {
  clearTimeout(job.timer);
  job.settle?.(run);
  job.settle = undefined;
}

function counts({ threads, running, queue, busyMs, now }: State): PoolCounts {
  const jobs = [...running.values()];
  return {
    workers: threads.ready().length,
    busy: jobs.length,
    abandoned: jobs.filter(({ settle }) => !settle).length,
    queued: queue.length,
    busySeconds: jobs.reduce((sum, { startedMs }) => sum + now() - startedMs, busyMs) / 1000,
  };
}
