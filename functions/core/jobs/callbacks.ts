import type { Log } from '../observe/log.ts';
import { readTimeKey, timeKey } from './due.ts';
import { hasEnded, type Job } from './job.ts';
import type { Records } from './records.ts';
import type { Store } from './store.ts';

/** Calls that are to be made, apart from the jobs: a host that does not answer holds up no job, and a restart forgets no call. */
export interface Callbacks {
  /** Before a job ends; the call is made once it has. */
  add(job: Job): Promise<void>;
  /** Makes the calls of a task that are due. */
  send(task: string, records: Records, signal: AbortSignal, now?: number): Promise<void>;
}

export interface CallbacksOptions {
  readonly store: Store;
  readonly log: Log;
  /** Rejects when the call has failed. */
  readonly call: (job: Job) => Promise<void>;
}

/** Pauses before further tries: 21 hours in all, while the record is kept; then it is given up. */
const pausesMs = [10_000, 60_000, 600_000, 3_600_000, 4 * 3_600_000, 16 * 3_600_000];

export function createCallbacks({ store, log, call }: CallbacksOptions): Callbacks {
  const mark = async (task: string, id: string, at: number, tries: number) => {
    await store.put(`callbacks/${task}/${timeKey(at)}-${id}`, Buffer.from(String(tries)));
  };
  return {
    async add({ task, id, callbackUrl, createdAt }) {
      if (callbackUrl !== undefined) await mark(task, id, createdAt, 0); // the same marker, whoever ends the job
    },
    async send(task, records, signal, now = Date.now()) {
      for await (const key of store.list(`callbacks/${task}/`)) {
        const { at, id } = readTimeKey(key);
        if (at > now || signal.aborted) return;
        const kept = await records.read(id);
        if (kept && !hasEnded(kept.record)) continue; // its end has not come to pass yet
        const marker = await store.get(key);
        if (!marker) continue; // another process was faster
        const tries = Number(Buffer.from(marker.bytes).toString());
        if (kept && kept.record.state !== 'gone') {
          const fault = await call(kept.record as Job).then(
            () => undefined,
            (error: unknown) => error,
          );
          const pauseMs = pausesMs[tries];
          if (fault) log('warn', 'callback failed', { job: id, tries: tries + 1, isGivenUp: !pauseMs, error: fault });
          if (fault && pauseMs) await mark(task, id, now + pauseMs, tries + 1);
        }
        await store.delete(key);
      }
    },
  };
}
