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
  /** Ends a job whatever has happened to it meanwhile, unless it has ended: then as that says. Undefined where it is gone. */
  end(id: string, ending: Ending): Promise<Kept<Job> | undefined>;
}

export interface RecordsOptions {
  readonly store: Store;
  /** How long a job is told of once it has ended, in milliseconds. */
  readonly retentionMs: number;
  /** Called once for each job that has ended, by whoever has ended it. */
  readonly onEnd: (job: Job) => Promise<void>;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

export function createRecords({ store, retentionMs, onEnd, now = Date.now }: RecordsOptions): Records {
  async function readAsIs(id: string): Promise<Kept | undefined> {
    const stored = await store.get(recordKey(id));
    return stored && { record: decodeRecord(stored.bytes), etag: stored.etag };
  }

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

  async function end(id: string, ending: Ending): Promise<Kept<Job> | undefined> {
    for (;;) {
      const kept = await readAsIs(id);
      if (!kept || kept.record.state === 'gone') return undefined;
      if (hasEnded(kept.record)) return kept as Kept<Job>;
      const ended = await change(kept as Kept<Job>, { ...ending, endedAt: now() });
      if (!ended) continue; // somebody else has changed it: as it is now
      await onEnd(ended.record);
      return ended;
    }
  }

  return {
    read,
    create: async (job, gone) => (await write(job.id, job, gone ?? 'absent')) !== undefined,
    change,
    end,
  };
}
