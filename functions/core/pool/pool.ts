import type { TaskInput } from '../task.ts';
import type { Estimate } from './estimate.ts';
import type { Load } from './message.ts';
import {
  type Absence,
  absence,
  backgroundMs,
  enter,
  failAll,
  finish,
  isIdle,
  isReady,
  lose,
  predict,
  type Queue,
  type Run,
  welcome,
} from './queue.ts';
import { createThreads } from './threads.ts';

export interface PoolCounts {
  readonly workers: number;
  readonly busy: number;
  /** Running jobs whose caller timed out. */
  readonly abandoned: number;
  /** Running background jobs. */
  readonly background: number;
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
  /** Whether enough runs have ended, over two seconds, that what it predicts is more than a guess, and holds for requests to come. */
  isSettled(): boolean;
  /** Milliseconds after which a run that came in `afterMs` would have ended, on the safe side; Infinity while not ready. */
  predictMs(afterMs?: number): number;
  /** The same on average, after `coming` others. */
  expectMs(afterMs?: number, coming?: number): number;
  /** Milliseconds that a run takes on average, waiting not included; 0 before the first one. */
  meanMs(): number;
  /** Starts the workers, once and not after `close`; settles when the first of them can serve or is lost, or at `close`. */
  start(): Promise<void>;
  /** Settles when all of the workers can serve, or with the cause when one of them is lost before, or at `close`. */
  untilWhole(): Promise<string | undefined>;
  /** Milliseconds until a worker is free of a background run; 0 where one is idle, or none has such a run. */
  backgroundMs(): number;
  /**
   * Runs the model within `timeoutMs`, waiting included; an aborted signal ends the wait, too. Never rejects. The input stays usable.
   * A background run begins at once or ends with `overload`; other runs are judged as if it were none, unless it overstays.
   */
  run(input: TaskInput, timeoutMs: number, signal?: AbortSignal, isBackground?: boolean): Promise<Run>;
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
  /** Most runs that wait; the next one ends with `overload`. */
  readonly maxQueued: number;
  /** Learns how long a run holds its worker. */
  readonly estimate: Estimate;
  /** Milliseconds of a clock that stands still with the process. @default performance.now */
  readonly now?: () => number;
  readonly onEvent: (severity: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
}

const burstMs = 2000; // what waited for this function to start comes all at once and is answered by then
const staleMs = 1000; // one run a second is what it costs to find out that a slow model is fast again

/**
 * A model's inference threads, one session each, and the queue before them. A run cannot be interrupted: the caller of one that overstays
 * gets `timeout` at once, and the worker stays busy until the run ends.
 */
export function createPool(options: PoolOptions): Pool {
  const { script, load, workers: count, estimate, now = () => performance.now() } = options;
  const started = deferred();
  const whole = deferred<string>();
  let closed: Promise<void> | undefined;
  const threads = createThreads({
    script,
    load,
    count,
    onReady: (thread, modelMs) => {
      welcome(queue, thread, modelMs);
      started.resolve();
      if (threads.ready().length === count) whole.resolve();
    },
    onEnd: (thread, message) => finish(queue, thread, message),
    onLost: (thread, cause) => {
      lose(queue, thread, cause);
      started.resolve();
      whole.resolve(cause);
    },
  });
  const queue: Queue = {
    ...options,
    now,
    threads,
    waiting: [],
    running: new Map(),
    spares: new WeakMap(),
    fault: undefined,
    isClosing: false,
    busyMs: 0,
    firstLearnedMs: Number.POSITIVE_INFINITY,
    learnedMs: Number.NEGATIVE_INFINITY,
  };
  async function close(): Promise<void> {
    queue.isClosing = true;
    started.resolve();
    whole.resolve();
    failAll(queue, 'its workers are being stopped');
    const ended = threads.close();
    for (const thread of threads.ready()) if (!queue.running.has(thread)) threads.quit(thread);
    await ended;
  }
  return {
    isReady: () => isReady(queue),
    absence: () => absence(queue),
    isIdle: () => isIdle(queue),
    isStale: () => isIdle(queue) && now() - queue.learnedMs >= staleMs,
    isSettled: () => estimate.isSettled() && now() - queue.firstLearnedMs >= burstMs,
    predictMs: (afterMs) => predict(queue, afterMs).highMs,
    expectMs: (afterMs, coming) => predict(queue, afterMs, coming).meanMs,
    meanMs: estimate.meanMs,
    refusal: threads.refusal,
    start() {
      threads.start();
      return started.promise;
    },
    untilWhole: () => whole.promise,
    backgroundMs: () => backgroundMs(queue),
    run: (input, timeoutMs, signal, isBackground) => enter(queue, input, timeoutMs, signal, isBackground),
    counts: () => counts(queue),
    close() {
      closed ??= close();
      return closed;
    },
  };
}

function deferred<T = void>() {
  let resolve: (value?: T) => void = () => {};
  const promise = new Promise<T | undefined>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function counts({ threads, running, waiting, busyMs, now }: Queue): PoolCounts {
  const jobs = [...running.values()];
  return {
    workers: threads.ready().length,
    busy: jobs.length,
    abandoned: jobs.filter(({ settle }) => !settle).length,
    background: jobs.filter(({ isBackground }) => isBackground).length,
    queued: waiting.length,
    busySeconds: jobs.reduce((sum, { startedMs }) => sum + now() - startedMs, busyMs) / 1000,
  };
}
