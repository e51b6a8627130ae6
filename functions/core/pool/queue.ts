import { Problem } from '../problem.ts';
import type { TaskInput } from '../task.ts';
import type { Estimate } from './estimate.ts';
import { type Forecast, forecast } from './forecast.ts';
import type { Load, RunMessage } from './message.ts';
import type { Thread, Threads } from './threads.ts';

/** How a run ended: with an output, or with the reason why another model must answer. */
export type Run =
  | {
      readonly status: 'done';
      readonly output: unknown;
      readonly queueMs: number;
      /** What the worker took to decode the input, where that is its part. */
      readonly prepareMs: number;
      readonly modelMs: number;
    }
  /** The task found in the worker that the input is at fault. */
  | { readonly status: 'unfit'; readonly problem: Problem }
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

export interface Job {
  readonly input: TaskInput;
  /** Whether it runs in the background. */
  readonly isBackground: boolean;
  readonly enteredMs: number;
  startedMs: number;
  settle: ((run: Run) => void) | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** The runs of a pool: those that wait, and one at most for each thread. */
export interface Queue {
  readonly load: Load;
  readonly maxQueued: number;
  readonly estimate: Estimate;
  readonly now: () => number;
  readonly onEvent: (severity: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly threads: Threads;
  readonly waiting: Job[];
  readonly running: Map<Thread, Job>;
  /** Memory of a thread's last input, for the next one: new memory each time would lie in the worker until it collects garbage. */
  readonly spares: WeakMap<Thread, TaskInput>;
  /** Why the last worker was lost, until one is ready again. */
  fault: string | undefined;
  isClosing: boolean;
  /** Of runs that have ended. */
  busyMs: number;
  /** When the first run ended well. */
  firstLearnedMs: number;
  /** When the last run ended well. */
  learnedMs: number;
}

export function isReady({ isClosing, threads }: Queue): boolean {
  return !isClosing && threads.ready().length > 0;
}

export function absence(queue: Queue): Absence | undefined {
  if (isReady(queue)) return undefined;
  return queue.fault === undefined
    ? { status: 'warming', cause: 'the model is still loading' }
    : { status: 'error', cause: queue.fault };
}

export function isIdle(queue: Queue): boolean {
  return queue.waiting.length === 0 && queue.threads.ready().some((thread) => loadMs(queue, thread) === undefined);
}

/** Whether a run would begin now. */
function hasIdleThread({ waiting, threads, running }: Queue): boolean {
  return waiting.length === 0 && threads.ready().some((thread) => !running.has(thread));
}

/** For how long a thread has had its run; undefined for one that is idle, or has a background run that does not overstay. */
function loadMs({ running, estimate, now }: Queue, thread: Thread): number | undefined {
  const job = running.get(thread);
  if (!job) return undefined;
  const ranMs = now() - job.startedMs;
  return job.isBackground && ranMs <= estimate.highMs() ? undefined : ranMs;
}

export function backgroundMs(queue: Queue): number {
  if (hasIdleThread(queue)) return 0;
  const jobs = [...queue.running.values()].filter(({ isBackground }) => isBackground);
  const remaining = jobs.map(({ startedMs }) => queue.estimate.highMs() - (queue.now() - startedMs));
  return remaining.length === 0 ? 0 : Math.max(0, Math.min(...remaining));
}

export function predict(queue: Queue, afterMs = 0, coming = 0): Forecast {
  const ranMs = queue.isClosing ? [] : queue.threads.ready().map((thread) => loadMs(queue, thread));
  return forecast({ ranMs, waiting: queue.waiting.length + coming }, queue.estimate, afterMs);
}

export function enter(
  queue: Queue,
  input: TaskInput,
  timeoutMs: number,
  signal?: AbortSignal,
  isBackground = false,
): Promise<Run> {
  const { waiting, maxQueued, now } = queue;
  const reason = absence(queue);
  if (reason) return Promise.resolve(reason);
  if (timeoutMs <= 0 || signal?.aborted) return Promise.resolve({ status: 'timeout', cause: 'no time was left' });
  if (isBackground && !hasIdleThread(queue)) return Promise.resolve({ status: 'overload', cause: 'no worker is idle' });
  if (!hasIdleThread(queue) && waiting.length >= maxQueued) {
    return Promise.resolve({ status: 'overload', cause: `${maxQueued} runs wait already` });
  }
  return new Promise((resolve) => {
    const job: Job = { input, isBackground, enteredMs: now(), startedMs: 0, settle: resolve, timer: undefined };
    const leave = (cause: string) => {
      const place = waiting.indexOf(job);
      if (place !== -1) waiting.splice(place, 1);
      const ranMs = job.startedMs > 0 ? now() - job.startedMs : 0;
      settle(job, { status: 'timeout', cause, overstayed: ranMs > timeoutMs / 2 && !signal?.aborted });
    };
    job.timer = setTimeout(() => leave(`no answer within ${Math.round(timeoutMs)} ms`), timeoutMs);
    signal?.addEventListener('abort', () => leave('the caller has left'), { once: true });
    waiting.push(job);
    dispatch(queue);
  });
}

function dispatch(queue: Queue): void {
  for (const thread of queue.threads.ready()) {
    while (!queue.running.has(thread)) {
      const job = queue.waiting.shift();
      if (!job) return;
      send(queue, thread, job);
    }
  }
}

function send({ threads, running, spares, now }: Queue, thread: Thread, job: Job): void {
  job.startedMs = now();
  running.set(thread, job);
  const spare = spares.get(thread);
  spares.delete(thread);
  try {
    threads.run(thread, copyInto(spare, job.input));
  } catch (fault) {
    running.delete(thread);
    settle(job, { status: 'error', cause: String(fault) }); // an input that cannot be sent
  }
}

/** The input in memory that may be transferred: the spare one's where there is room. What is in shared memory is not copied. */
function copyInto(spare: TaskInput | undefined, input: TaskInput): TaskInput {
  if (!(input.data.buffer instanceof ArrayBuffer)) return input;
  const room = spare?.data.buffer;
  if (room === undefined || room.byteLength < input.data.length) return { ...input, data: new Uint8Array(input.data) };
  const data = new Uint8Array(room, 0, input.data.length);
  data.set(input.data);
  return { ...input, data };
}

export function welcome(queue: Queue, thread: Thread, modelMs: number): void {
  queue.fault = undefined;
  // The first run of a session, amid the start of everything else, tells little of those to come.
  queue.estimate.presume(modelMs);
  queue.onEvent('info', 'worker ready', { path: queue.load.path });
  goOn(queue, thread);
}

export function finish(queue: Queue, thread: Thread, message: RunMessage): void {
  const { running, estimate, spares, now } = queue;
  const job = running.get(thread);
  running.delete(thread);
  if (message.type === 'done' && message.input.data.buffer instanceof ArrayBuffer) spares.set(thread, message.input);
  if (job) {
    const ranMs = now() - job.startedMs;
    queue.busyMs += ranMs;
    if (message.type === 'done') {
      queue.learnedMs = now();
      queue.firstLearnedMs = Math.min(queue.firstLearnedMs, queue.learnedMs);
      estimate.observe(ranMs); // how fast a model raises says nothing about an answer
      const { output, prepareMs, modelMs } = message;
      settle(job, { status: 'done', output, queueMs: job.startedMs - job.enteredMs, prepareMs, modelMs });
    } else if (message.type === 'unfit')
      settle(job, { status: 'unfit', problem: new Problem(message.kind, message.detail) });
    else settle(job, { status: 'error', cause: message.error });
  }
  goOn(queue, thread);
}

function goOn(queue: Queue, thread: Thread): void {
  if (queue.isClosing) queue.threads.quit(thread);
  else dispatch(queue);
}

export function lose(queue: Queue, thread: Thread, cause: string): void {
  const job = queue.running.get(thread);
  queue.running.delete(thread);
  if (job) settle(job, { status: 'error', cause });
  if (queue.isClosing) return;
  if (!isReady(queue)) {
    queue.fault = cause;
    failAll(queue, cause);
  }
  queue.onEvent('error', 'worker lost', { path: queue.load.path, cause });
}

export function failAll({ waiting }: Queue, cause: string): void {
  for (const job of waiting.splice(0)) settle(job, { status: 'error', cause });
}

function settle(job: Job, run: Run): void {
  clearTimeout(job.timer);
  job.settle?.(run);
  job.settle = undefined;
}
