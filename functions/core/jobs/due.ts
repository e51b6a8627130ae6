import { deadKey, encodeRecord, type Job, recordKey, resultsPrefix, type Tombstone } from './job.ts';
import type { Kept, Records } from './records.ts';
import type { Store } from './store.ts';

/** Digits of a time in milliseconds, until the year 2286. */
const timeDigits = 13;

/** As a part of a key: such parts have the order of the times. */
export function timeKey(at: number): string {
  return String(Math.max(0, Math.round(at))).padStart(timeDigits, '0');
}

/** The time in a key that ends in TIME-ID, and the id. */
export function readTimeKey(key: string): { readonly at: number; readonly id: string } {
  const [time = '', id = ''] = (key.split('/').at(-1) ?? '').split('-');
  return { at: Number(time), id };
}

export interface DueOptions {
  readonly store: Store;
  readonly retentionMs: number;
  readonly photoRetentionMs: number;
}

/** When a job must be looked at, at the latest: markers in the store, in the order of their times. */
export interface Due {
  /** Before anything of a job is stored: whatever becomes of it, its upload goes by then. */
  open(job: Pick<Job, 'task' | 'id' | 'deadlineAt' | 'photo'>): Promise<void>;
  /** Before a job ends, whether that comes to pass or not. */
  ending(job: Job): Promise<void>;
  /** Once it has ended. */
  end(job: Job): Promise<void>;
  /** Looks at all jobs of a task that are due; stops between two of them when the signal is aborted. */
  sweep(task: string, records: Records, signal: AbortSignal, now?: number): Promise<void>;
}

/**
 * Erases uploads, then results and records. What is to be done follows from the record alone, so that several processes may do it at a
 * time, and again after one was killed amid it.
 */
export function createDue({ store, retentionMs, photoRetentionMs }: DueOptions): Due {
  const mark = async (task: string, at: number, { id, photoKey }: { id: string; photoKey: string }) => {
    await store.put(dueKey(task, at, id), Buffer.from(photoKey));
  };
  const keptMs = Math.min(photoRetentionMs, retentionMs);

  /** When to look again; undefined for what is gone, or has markers of its own. */
  async function look(id: string, photoKey: string, records: Records, now: number): Promise<number | undefined> {
    const kept = await records.read(id);
    const { record } = kept ?? {};
    if (!kept || !record || record.state === 'gone' || record.photo.key !== photoKey) {
      await store.delete(photoKey); // no job was made of it, or that is gone
      return record?.state === 'gone' ? bury(kept as Kept<Tombstone>, now) : undefined;
    }
    if (record.endedAt === undefined) return record.deadlineAt;
    if (record.endedAt + keptMs > now) return record.endedAt + keptMs;
    await store.delete(photoKey);
    return record.endedAt + retentionMs;
  }

  /** Leaves nothing of a job but that it was there, for a while. */
  async function bury({ record, etag }: Kept<Tombstone>, now: number): Promise<number | undefined> {
    const { id, goneAt } = record;
    if (goneAt + retentionMs > now) {
      await eraseResult(store, record);
      await store.put(recordKey(id), encodeRecord(record), { etag });
      return goneAt + retentionMs;
    }
    await store.delete(recordKey(id));
    return undefined;
  }

  return {
    open: ({ task, id, deadlineAt, photo }) => mark(task, deadlineAt, { id, photoKey: photo.key }),
    ending: ({ task, id, endedAt = 0, photo }) => mark(task, endedAt + keptMs, { id, photoKey: photo.key }),
    async end({ task, id, deadlineAt, endedAt = 0, isDead }) {
      if (isDead) await store.put(deadKey({ task, id }), Buffer.from(''));
      if (deadlineAt > endedAt + keptMs) await store.delete(dueKey(task, deadlineAt, id));
    },
    async sweep(task, records, signal, now = Date.now()) {
      for await (const key of store.list(`due/${task}/`)) {
        const { at, id } = readTimeKey(key);
        if (at > now || signal.aborted) return;
        const marker = await store.get(key);
        if (!marker) continue; // another process was faster
        const photoKey = Buffer.from(marker.bytes).toString();
        const nextAt = await look(id, photoKey, records, now);
        if (nextAt !== undefined) await mark(task, Math.max(nextAt, now + 1), { id, photoKey });
        await store.delete(key);
      }
    },
  };
}

/** What is kept of how a job ended, beside its record. */
export async function eraseResult(store: Store, job: Pick<Job, 'id' | 'task'>): Promise<void> {
  for await (const key of store.list(resultsPrefix(job.id))) await store.delete(key);
  await store.delete(deadKey(job));
}

/** Folders of a quarter of an hour: whoever looks for what is due reads no others. */
function dueKey(task: string, at: number, id: string): string {
  const time = timeKey(at);
  return `due/${task}/${time.slice(0, -6)}/${time}-${id}`;
}
