import { decodeRecord, type EndState, encodeRecord, hasEnded, type Job, type JobRecord, recordKey } from './job.ts';
import type { Store } from './store.ts';

/** A record with the version that was read. */
export interface Kept<Record extends JobRecord = JobRecord> {
  readonly record: Record;
  readonly etag: string;
}

/** What the end of a job adds to it. */
export type Ending = Pick<Job, 'result' | 'problem' | 'isDead'> & { readonly state: EndState };

/** The records of all jobs: what has become of each, decided by one conditional write after another. */
export interface Records {
  /** The record as of now: one whose deadline or retention has passed says so, whether anybody has noticed before or not. */
  read(id: string): Promise<Kept | undefined>;
  /** False where the id is taken, but for one that is `gone`. */
  create(job: Job, gone?: Kept): Promise<boolean>;
  /** Undefined where the record has changed since it was read. */
  change(kept: Kept<Job>, changes: Partial<Job>): Promise<Kept<Job> | undefined>;
  /** Ends a job as it was read; undefined where the record has changed since. */
  endAsRead(kept: Kept<Job>, ending: Ending): Promise<Kept<Job> | undefined>;
  /** Ends a job whatever has happened to it meanwhile, unless it has ended: then as that says. Undefined where it is gone. */
  end(id: string, ending: Ending): Promise<Kept<Job> | undefined>;
}

export interface RecordsOptions {
  readonly store: Store;
  /** How long a job is told of once it has ended, in milliseconds. */
  readonly retentionMs: number;
  /**
   * Called before the record says that a job has ended, so that what must follow is not lost with a process that is killed in between.
   * Another process may be faster, and the job end otherwise. @default does nothing
   */
  readonly onEnding?: (job: Job) => Promise<void>;
  /** Called once for each job that has ended, by whoever has ended it. */
  readonly onEnd: (job: Job) => Promise<void>;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** A record as it was written last. */
export async function readRecord(store: Store, id: string): Promise<Kept | undefined> {
  const stored = await store.get(recordKey(id));
  return stored && { record: decodeRecord(stored.bytes), etag: stored.etag };
}

export function createRecords(options: RecordsOptions): Records {
  const { store, retentionMs, onEnding, onEnd, now = Date.now } = options;

  const readAsIs = (id: string) => readRecord(store, id);

  async function write(id: string, record: JobRecord, condition: 'absent' | { readonly etag: string }) {
    return store.put(recordKey(id), encodeRecord(record), condition);
  }

  async function read(id: string): Promise<Kept | undefined> {
    const kept = await readAsIs(id);
    if (!kept || kept.record.state === 'gone') return kept;
    const { record } = kept as Kept<Job>;
    if (!hasEnded(record)) return record.deadlineAt <= now() ? end(id, { state: 'expired' }) : kept;
    const goneAt = Number(record.endedAt) + retentionMs;
    return goneAt <= now() ? { record: { id, task: record.task, state: 'gone', goneAt }, etag: kept.etag } : kept;
  }

  async function change(kept: Kept<Job>, changes: Partial<Job>): Promise<Kept<Job> | undefined> {
    const record = { ...kept.record, ...changes };
    const etag = await write(record.id, record, kept);
    return etag === undefined ? undefined : { record, etag };
  }

  async function endAsRead(kept: Kept<Job>, ending: Ending): Promise<Kept<Job> | undefined> {
    const changes = { ...ending, endedAt: now() };
    await onEnding?.({ ...kept.record, ...changes });
    const ended = await change(kept, changes);
    if (ended) await onEnd(ended.record);
    return ended;
  }

  async function end(id: string, ending: Ending): Promise<Kept<Job> | undefined> {
    for (;;) {
      const kept = await readAsIs(id);
      if (!kept || kept.record.state === 'gone') return undefined;
      if (hasEnded(kept.record)) return kept as Kept<Job>;
      const ended = await endAsRead(kept as Kept<Job>, ending);
      if (ended) return ended; // else another process has changed it: as it is now
    }
  }

  return {
    read,
    create: async (job, gone) => (await write(job.id, job, gone ?? 'absent')) !== undefined,
    change,
    endAsRead,
    end,
  };
}
