import { Worker } from 'node:worker_threads';
import type { TensorPixels, TensorRecipe } from '../../tasks/classify/tensor.ts';
import { type Estimate, placeAfter } from './estimate.ts';

/** What a worker loads, and the golden case that it must pass before it serves. */
export interface Load {
  readonly path: string;
  readonly input: TensorRecipe & { readonly name: string };
  readonly output: { readonly name: string };
  readonly optimizedBy: string | null;
  readonly golden: { readonly pixels: TensorPixels; readonly logits: readonly number[]; readonly tolerance: number };
  /** By how much the scheduler prefers everyone else on a crowded core, 0 to 19. */
  readonly niceness: number;
}

export type ToWorker = { readonly type: 'run'; readonly pixels: TensorPixels } | { readonly type: 'quit' };

export type FromWorker =
  | { readonly type: 'ready'; readonly modelMs: number }
  | { readonly type: 'refused'; readonly error: string; readonly isFinal: boolean }
  /** With the pixels that it was given, to be filled anew. */
  | { readonly type: 'done'; readonly logits: Float32Array; readonly modelMs: number; readonly pixels: TensorPixels }
  | { readonly type: 'raised'; readonly error: string };

/** How a run ended: with logits, or with the reason why another model must answer. */
export type Run =
  | { readonly status: 'done'; readonly logits: Float32Array; readonly queueMs: number; readonly modelMs: number }
  | {
      readonly status: 'error' | 'timeout' | 'overload' | 'warming';
      readonly cause: string;
      /** Whether it ran for more than half of its time, so that it is the model that was too slow and not the queue. */
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
  /** Busy with runs nobody waits for any more. */
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
  /**
   * Milliseconds after which a run that came in `afterMs` would have ended, on the safe side; Infinity while not ready. A run
   * that overstays is expected to take as long again.
   */
  predictMs(afterMs?: number): number;
  /** Milliseconds that a run takes on average, waiting not included; 0 before the first one. */
  meanMs(): number;
  /** Starts the workers, once and not after `close`; settles when the first of them can serve or is lost, or at `close`. */
  start(): Promise<void>;
  /**
   * Runs the pixels within `timeoutMs`, waiting included; a signal that is aborted ends the wait, too. Never rejects. The
   * pixels are copied, not taken.
   */
  run(pixels: TensorPixels, timeoutMs: number, signal?: AbortSignal): Promise<Run>;
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
  readonly pixels: TensorPixels;
  readonly enteredMs: number;
  startedMs: number;
  settle: ((run: Run) => void) | undefined;
  timer: NodeJS.Timeout | undefined;
}

interface Slot {
  readonly worker: Worker;
  ready: boolean;
  job: Job | undefined;
  /** What the last run left, to carry the next pixels: new memory each time would lie in the worker until it collects garbage. */
  spare: TensorPixels | undefined;
}

const firstDelayMs = 50; // a worker that dies once is back before most clients notice
const longestDelayMs = 10_000; // one that keeps dying costs one start every ten seconds
const staleMs = 1000; // one run a second is what it costs to find out that a slow model is fast again

/**
 * A model's inference threads, one session each, and the queue before them.
 *
 * A run cannot be interrupted. One that overstays is abandoned: its request is told `timeout` at once, its worker stays
 * busy until the run ends.
 */
export function createPool(options: PoolOptions): Pool {
  const { script, load, workers, maxQueued, estimate, onEvent, now = () => performance.now() } = options;
  const slots = new Set<Slot>();
  const queue: Job[] = [];
  let fault: string | undefined; // why the last worker was lost, until one is ready again
  let refusal: string | undefined;
  let hasServed = false;
  let begun = false;
  let closing = false;
  let deaths = 0;
  let busyMs = 0; // of runs that have ended
  let learnedMs = Number.NEGATIVE_INFINITY; // when the last of them ended well
  let markStarted: () => void = () => {};
  const started = new Promise<void>((resolve) => {
    markStarted = resolve;
  });

  function spawn(): void {
    const worker = new Worker(script, { workerData: load });
    const slot: Slot = { worker, ready: false, job: undefined, spare: undefined };
    slots.add(slot);
    worker.on('message', (message: FromWorker) => receive(slot, message));
    worker.on('error', (fault) => bury(slot, String(fault)));
    worker.on('exit', (code) => bury(slot, `exit code ${code}`));
  }

  function receive(slot: Slot, message: FromWorker): void {
    if (message.type === 'refused') {
      bury(slot, message.error, message);
      return;
    }
    if (message.type === 'ready') {
      slot.ready = true;
      hasServed = true;
      fault = undefined;
      // The first run of a session, amid the start of everything else, tells little of those to come.
      estimate.presume(message.modelMs);
      onEvent('info', 'worker ready', { path: load.path });
      markStarted();
    } else {
      const job = slot.job;
      slot.job = undefined;
      if (message.type === 'done') {
        deaths = 0;
        slot.spare = message.pixels;
      }
      if (job) {
        busyMs += now() - job.startedMs;
        finish(job, message);
      }
    }
    if (closing) slot.worker.postMessage({ type: 'quit' } satisfies ToWorker);
    else dispatch();
  }

  function finish(job: Job, message: Extract<FromWorker, { type: 'done' | 'raised' }>): void {
    if (message.type === 'raised') settle(job, { status: 'error', cause: message.error });
    else {
      learnedMs = now();
      estimate.observe(learnedMs - job.startedMs); // how fast a model raises says nothing about an answer
      const queueMs = job.startedMs - job.enteredMs;
      settle(job, { status: 'done', logits: message.logits, queueMs, modelMs: message.modelMs });
    }
  }

  /**
   * Takes a lost worker out and starts another, unless the loss is final: a file that was refused always will be. Where the file has
   * been served before, what is wrong is no fault of its own and may pass.
   */
  function bury(slot: Slot, cause: string, { isFinal } = { isFinal: false }): void {
    if (!slots.delete(slot)) return;
    if (slot.job) settle(slot.job, { status: 'error', cause });
    if (isFinal && !hasServed) refusal = cause;
    if (closing) return;
    if (!isReady()) {
      fault = cause;
      failAll(cause);
    }
    onEvent('error', 'worker lost', { path: load.path, cause });
    markStarted();
    if (refusal !== undefined) return;
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** deaths);
    deaths += 1;
    setTimeout(() => !closing && spawn(), delayMs).unref();
  }

  function failAll(cause: string): void {
    for (const job of queue.splice(0)) settle(job, { status: 'error', cause });
  }

  function settle(job: Job, run: Run): void {
    clearTimeout(job.timer);
    job.settle?.(run);
    job.settle = undefined;
  }

  function dispatch(): void {
    for (const slot of slots) {
      if (!slot.ready || slot.job) continue;
      const job = queue.shift();
      if (!job) return;
      job.startedMs = now();
      slot.job = job;
      const pixels = copyInto(slot.spare, job.pixels);
      slot.spare = undefined;
      slot.worker.postMessage({ type: 'run', pixels } satisfies ToWorker, [pixels.data.buffer as ArrayBuffer]);
    }
  }

  function isReady(): boolean {
    return !closing && [...slots].some((slot) => slot.ready);
  }

  function absence(): Absence | undefined {
    if (isReady()) return undefined;
    return fault === undefined
      ? { status: 'warming', cause: 'the model is still loading' }
      : { status: 'error', cause: fault };
  }

  function isIdle(): boolean {
    return queue.length === 0 && [...slots].some((slot) => slot.ready && !slot.job);
  }

  function remainingMs({ job }: Slot): number {
    if (!job) return 0;
    const ranMs = now() - job.startedMs;
    return ranMs <= estimate.highMs() ? Math.max(0, estimate.meanMs() - ranMs) : ranMs;
  }

  function predictMs(afterMs = 0): number {
    if (!isReady()) return Number.POSITIVE_INFINITY;
    const lines = [...slots].filter(({ ready }) => ready).map(remainingMs);
    const { ms, before } = placeAfter(lines, queue.length, estimate.meanMs());
    const runs = before + (isIdle() ? 1 : 2);
    // The deviations of independent runs add up by their squares.
    const spreadMs = (estimate.highMs() - estimate.meanMs()) * Math.sqrt(runs);
    return Math.max(afterMs, ms) + estimate.meanMs() + spreadMs;
  }

  return {
    isReady,
    absence,
    isIdle,
    isStale: () => isIdle() && now() - learnedMs >= staleMs,
    predictMs,
    meanMs: estimate.meanMs,
    refusal: () => refusal,
    start() {
      for (let i = 0; i < workers && !begun && !closing; i += 1) spawn();
      begun = true;
      return started;
    },
    run(pixels, timeoutMs, signal) {
      const reason = absence();
      if (reason) return Promise.resolve(reason);
      if (timeoutMs <= 0 || signal?.aborted) return Promise.resolve({ status: 'timeout', cause: 'no time was left' });
      if (!isIdle() && queue.length >= maxQueued) {
        return Promise.resolve({ status: 'overload', cause: `${maxQueued} runs wait already` });
      }
      return new Promise((resolve) => {
        const job: Job = { pixels, enteredMs: now(), startedMs: 0, settle: resolve, timer: undefined };
        const leave = (cause: string) => {
          const place = queue.indexOf(job);
          if (place !== -1) queue.splice(place, 1);
          const ranMs = job.startedMs > 0 ? now() - job.startedMs : 0;
          settle(job, { status: 'timeout', cause, overstayed: ranMs > timeoutMs / 2 && !signal?.aborted });
        };
        job.timer = setTimeout(() => leave(`no answer within ${Math.round(timeoutMs)} ms`), timeoutMs);
        signal?.addEventListener('abort', () => leave('nobody waits any more'), { once: true });
        queue.push(job);
        dispatch();
      });
    },
    counts() {
      const busy = [...slots].filter((slot) => slot.job);
      return {
        workers: [...slots].filter((slot) => slot.ready).length,
        busy: busy.length,
        abandoned: busy.filter((slot) => !slot.job?.settle).length,
        queued: queue.length,
        busySeconds: busy.reduce((sum, { job }) => sum + now() - (job as Job).startedMs, busyMs) / 1000,
      };
    },
    async close() {
      closing = true;
      markStarted(); // whoever waits for a worker waits no longer
      failAll('its workers are being stopped');
      const ends = [...slots].map((slot) => new Promise((resolve) => slot.worker.once('exit', resolve)));
      for (const slot of slots) {
        if (slot.ready && !slot.job) slot.worker.postMessage({ type: 'quit' } satisfies ToWorker);
      }
      await Promise.all(ends);
    },
  };
}

/** The pixels in memory that may be transferred; the spare ones' where there are such. All images of a pool are of one size. */
function copyInto(spare: TensorPixels | undefined, pixels: TensorPixels): TensorPixels {
  if (spare === undefined) return { ...pixels, data: pixels.data.slice() };
  spare.data.set(pixels.data);
  return spare;
}
