import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '../chain/service.ts';
import type { Log } from '../observe/log.ts';
import type { JobsState, Metrics } from '../observe/metrics.ts';
import { Problem } from '../problem.ts';
import type { Task, Tier } from '../task.ts';
import { call } from './callback.ts';
import { createCallbacks } from './callbacks.ts';
import { createDesk, type Desk, unavailable } from './desk.ts';
import { createDue } from './due.ts';
import { deadPrefix, hasEnded, type Job } from './job.ts';
import { createJournal } from './journal.ts';
import { openQueue, openStore } from './open.ts';
import { jobProblems } from './problems.ts';
import type { Backlog, Queue } from './queue.ts';
import { createRecords, type Kept } from './records.ts';
import type { Runner } from './runner.ts';
import type { JobsConfig } from './settings.ts';
import type { Store } from './store.ts';
import { createTurns, type Turns } from './turns.ts';
import { createRunner } from './work.ts';

/** The jobs of a function: it takes those of its task, and tells of all. */
export interface Jobs extends Desk {
  /** Where synchronous requests are counted. */
  readonly turns: Turns;
  /** How long a job can be asked for once it has ended. */
  readonly retentionMs: number;
  /** Hosts that may be told of the end of a job. */
  readonly callbackHosts: readonly string[];
  /** @throws Problem JOB_NOT_FOUND | JOB_EXPIRED | JOBS_UNAVAILABLE */
  find(id: string): Promise<Kept<Job>>;
  /** Ends a job that has not begun; one that was canceled stays so. @throws Problem like `find`, and JOB_NOT_WAITING */
  cancel(id: string): Promise<Kept<Job>>;
  /** The body of the answer of a job that succeeded. @throws Problem JOB_EXPIRED | JOBS_UNAVAILABLE */
  readResult(job: Job): Promise<Uint8Array>;
  /** What runs the jobs of the task, where this tier does; for whoever brings them. */
  readonly runner: Runner | undefined;
  /** The jobs of the function's task that wait or run. @throws Problem JOBS_UNAVAILABLE */
  backlog(): Promise<Backlog>;
  /** Takes no further job up, and puts the present one back. */
  stop(): Promise<void>;
}

export interface JobsOptions {
  readonly tier: Tier;
  readonly task: Task;
  readonly service: Service;
  readonly workers: number;
  readonly config: JobsConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Whether jobs are brought to `runner` by others, so that the queue is not looked at. @default false */
  readonly isFed?: boolean;
}

/** How often the store is searched for what is due, at the most. */
const sweepMs = 60_000;

/** How often the store is asked for calls to make. */
const callMs = 1000;

/** Opens the store, and has the primary tier work through what waits there. */
export function createJobs(options: JobsOptions): Jobs {
  const { tier, task, service, workers, config, log, metrics, isFed = false } = options;
  const { onRun, onEnd } = createJournal(log, metrics);
  const store = openStore(config);
  // One that is fed sends nothing: it needs no connection to brokers, whose library takes 12 MiB and 0.3 s of its start.
  const queue = openQueue(isFed ? { ...config, kafka: undefined } : config, store, log);
  const due = createDue({ ...config, store });
  const callbacks = createCallbacks({ store, log, call: (job) => call(job, { secret: config.callbackSecret }) });
  const records = createRecords({
    store,
    retentionMs: config.retentionMs,
    onEnding: async (job) => void (await Promise.all([callbacks.add(job), due.ending(job)])),
    onEnd(job) {
      onEnd(job);
      return due.end(job);
    },
  });
  const turns = createTurns(workers);
  const ending = new AbortController();
  let working: Promise<unknown> = Promise.resolve();
  let runner: Runner | undefined;
  if (tier === 'primary') {
    const now = { running: 0 };
    const onBegin = (isRunning: boolean) => {
      now.running = Number(isRunning);
    };
    runner = createRunner({ task, service, store, records, turns, onBegin, onRun });
    const sweep = () => due.sweep(task.name, records, ending.signal);
    const work = isFed ? undefined : queue.work?.(task.name, runner);
    const calls = () => callbacks.send(task.name, records, ending.signal);
    working = Promise.all([
      work,
      repeat(sweep, sweepPauseMs(config), ending.signal, log),
      // A function that is fed may sleep, and those that take jobs do not.
      !isFed && config.callbackHosts.length > 0 && repeat(calls, callMs, ending.signal, log),
    ]);
    if (!isFed) metrics.watchJobs(task.name, () => countJobs(task.name, { queue, store, ...now }));
    logPlace(options);
  }

  async function find(id: string): Promise<Kept<Job>> {
    const kept = await guard(records.read(id));
    if (!kept) throw new Problem(jobProblems.JOB_NOT_FOUND, 'Expected the id of a job for path but received another');
    if (kept.record.state === 'gone') throw expired();
    return kept as Kept<Job>;
  }

  return {
    ...createDesk({ store, queue, records, due, max: config.max }),
    turns,
    runner,
    retentionMs: config.retentionMs,
    callbackHosts: config.callbackHosts,
    find,
    async cancel(id) {
      for (;;) {
        const kept = await find(id);
        if (kept.record.state === 'canceled') return kept;
        if (kept.record.state !== 'waiting') throw notWaiting(kept.record);
        const canceled = await guard(records.endAsRead(kept, { state: 'canceled' }));
        if (canceled) return canceled; // else it has begun, or ended
      }
    },
    async readResult({ result }) {
      const stored = result && (await guard(store.get(result.key)));
      if (!stored) throw expired();
      return stored.bytes;
    },
    backlog: () => guard(queue.backlog(task.name)),
    async stop() {
      ending.abort(new Error('the function ends'));
      await queue.close();
      await working;
    },
  };
}

/** Says where jobs wait. */
function logPlace({ task, config, log, isFed }: JobsOptions): void {
  if (isFed) log('info', 'jobs are brought by events', { task: task.name });
  else if (config.kafka) log('info', 'jobs wait in Kafka, for other programs', { ...config.kafka });
  else log('info', 'jobs wait in a spool, for the functions of one machine', { store: config.store });
}

interface Counted {
  readonly queue: Queue;
  readonly store: Store;
  /** By this process. */
  readonly running: number;
}

async function countJobs(task: string, { queue, store, running }: Counted): Promise<JobsState> {
  const { count, oldestAt } = await queue.backlog(task);
  let dead = 0;
  for await (const _ of store.list(deadPrefix(task))) dead += 1;
  const oldestS = oldestAt === undefined ? 0 : Math.max(0, Date.now() - oldestAt) / 1000;
  return { waiting: Math.max(0, count - running), running, dead, oldestS };
}

/** @throws Problem JOBS_UNAVAILABLE for a fault of the store */
function guard<T>(done: Promise<T>): Promise<T> {
  return done.catch((fault) => {
    throw unavailable(fault);
  });
}

function expired(): Problem {
  return new Problem(jobProblems.JOB_EXPIRED, 'Expected a job whose retention lasts but received one that is gone');
}

function notWaiting(job: Job): Problem {
  const received = hasEnded(job) ? 'one that has ended' : 'one that has begun';
  return new Problem(jobProblems.JOB_NOT_WAITING, `Expected a job that waits but received ${received}`);
}

/** Often enough that nothing stays for a quarter longer than it is kept. */
function sweepPauseMs({ retentionMs, photoRetentionMs }: JobsConfig): number {
  return Math.max(100, Math.min(sweepMs, retentionMs / 4, photoRetentionMs / 4));
}

async function repeat(task: () => Promise<void>, pauseMs: number, signal: AbortSignal, log: Log): Promise<void> {
  while (!signal.aborted) {
    await task().catch((error) => log('error', 'store failed', { error }));
    await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {}); // aborted: the loop ends
  }
}
