import type { Log } from '../observe/log.ts';
import { readTimeKey, timeKey } from './due.ts';
import type { Queue } from './queue.ts';
import type { Runner } from './runner.ts';
import type { Store } from './store.ts';

/** A queue in the store itself, for the processes of one machine. */
export interface Spool extends Queue {
  /** Runs the jobs of a task one after another, the oldest first, until the spool is closed. Never rejects. */
  work(task: string, runner: Runner): Promise<void>;
}

export interface SpoolOptions {
  readonly store: Store;
  readonly log: Log;
  /** How often the store is asked for jobs of other processes, and how old a count of them may be. @default 1000 */
  readonly lookMs?: number;
}

/** Taken at a time: the store is listed once for so many. */
const batchSize = 256;

/** A job that could not be read or written is left alone for so long. */
const faultPauseMs = 5000;

/**
 * A marker for each job that waits or runs, named after the time when it was accepted. It goes when its job has ended: one that is left
 * by a process that was killed brings its job to the next one.
 */
export function createSpool({ store, log, lookMs = 1000 }: SpoolOptions): Spool {
  const closing = new AbortController();
  const counts = createCounts(store, lookMs);
  let wake = () => {};

  /** What it returns settles after a pause, or as soon as a job has come since or the spool is closed. */
  function listen(): (pauseMs: number) => Promise<void> {
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    return (pauseMs) => {
      const timer = setTimeout(() => wake(), pauseMs).unref();
      return woken.finally(() => clearTimeout(timer));
    };
  }

  async function work(task: string, runner: Runner): Promise<void> {
    const { signal } = closing;
    const postponed = new Map<string, number>(); // in this process alone: a restart asks again, and no clock is in it
    const postpone = (key: string, ms: number) => postponed.set(key, performance.now() + ms);
    /** Until the next look: at the first that is due after the last one. */
    const pauseAfter = (lookedMs: number) => {
      let nextMs = performance.now() + lookMs;
      for (const ms of postponed.values()) if (ms > lookedMs && ms < nextMs) nextMs = ms;
      return Math.max(0, nextMs - performance.now());
    };
    const isPostponed = (key: string) => (postponed.get(key) ?? 0) > performance.now();

    /** Whether it is done with. */
    async function deliver(key: string): Promise<boolean> {
      const outcome = await runner.run(readTimeKey(key).id, signal);
      if (outcome.status === 'later') {
        postpone(key, outcome.afterMs);
        return false;
      }
      postponed.delete(key);
      await store.delete(key);
      counts.add(task, -1);
      return true;
    }

    let current = ''; // each has its turn, or those that are put back would come before all others again
    while (!signal.aborted) {
      const untilWoken = listen(); // before the look, so that nothing comes unseen
      const lookedMs = performance.now();
      let done = 0;
      try {
        const keys = await next(store, task, current, isPostponed);
        for (const key of keys) {
          current = key;
          if (await deliver(key)) done += 1;
          if (signal.aborted) return;
        }
        if (keys.length < batchSize) current = '';
      } catch (error) {
        if (signal.aborted) return;
        done = 0;
        postpone(current, faultPauseMs); // others come first: it may be this one that cannot be read
        log('error', 'job not delivered', { task, key: current, error });
      }
      if (done === 0) await untilWoken(pauseAfter(lookedMs));
    }
  }

  return {
    async send(event) {
      const { task } = event.data;
      const key = `${prefixOf(task)}${timeKey(Date.parse(event.time))}-${event.id}`;
      const isNew = await store.put(key, Buffer.from(JSON.stringify(event)), 'absent');
      if (isNew) counts.add(task, 1);
      wake();
    },
    backlog: counts.read,
    async close() {
      closing.abort(new Error('the function ends'));
      wake();
    },
    work,
  };
}

/** The first jobs behind a key that are not postponed. */
async function next(
  store: Store,
  task: string,
  after: string,
  isPostponed: (key: string) => boolean,
): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const key of store.list(prefixOf(task))) {
    if (key > after && !isPostponed(key)) keys.push(key);
    if (keys.length === batchSize) break;
  }
  return keys;
}

function prefixOf(task: string): string {
  return `waiting/${task}/`;
}

/** How many wait, from the last look at the store and what this process has done since. */
function createCounts(store: Store, lookMs: number) {
  const known = new Map<string, { count: number; readonly oldestAt: number | undefined; readonly lookedMs: number }>();
  return {
    add(task: string, change: number) {
      const counted = known.get(task);
      if (counted) counted.count = Math.max(0, counted.count + change);
    },
    async read(task: string) {
      const counted = known.get(task);
      if (counted && performance.now() - counted.lookedMs < lookMs) return counted;
      const lookedMs = performance.now();
      let count = 0;
      let oldestAt: number | undefined;
      for await (const key of store.list(prefixOf(task))) {
        count += 1;
        oldestAt ??= readTimeKey(key).at;
      }
      const next = { count, oldestAt, lookedMs };
      known.set(task, next);
      return next;
    },
  };
}
