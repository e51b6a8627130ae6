import { eraseResult } from './due.ts';
import { toEvent } from './event.ts';
import { deadKey, encodeRecord, hasEnded, type Job, recordKey } from './job.ts';
import type { Queue } from './queue.ts';
import { readRecord } from './records.ts';
import type { Store } from './store.ts';

/** What operators do with jobs, beside the functions that run. */
export interface Operation {
  readonly store: Store;
  readonly queue: Pick<Queue, 'send'>;
}

/** All jobs that can still be asked for, in no certain order. */
export async function* listJobs({ store }: Operation): AsyncGenerator<Job, void> {
  for await (const key of store.list(recordKey(''))) {
    const kept = await readRecord(store, key.slice(recordKey('').length));
    if (kept && kept.record.state !== 'gone') yield kept.record;
  }
}

/** Undefined where there is none. */
export async function showJob({ store }: Operation, id: string): Promise<Job | undefined> {
  const kept = await readRecord(store, id);
  return kept?.record.state === 'gone' ? undefined : kept?.record;
}

/**
 * Has a dead job run again, with as much time as it had; false for one that is not dead, or whose upload has been erased. The one way
 * by which a job leaves the state in which it ended.
 */
export async function retryJob({ store, queue }: Operation, id: string, now = Date.now()): Promise<boolean> {
  const kept = await readRecord(store, id);
  const record = kept?.record;
  if (!record || record.state === 'gone' || !record.isDead || !(await store.get(record.photo.key))) return false;
  const { problem: _problem, isDead: _isDead, startedAt: _startedAt, endedAt: _endedAt, ...rest } = record;
  const patienceMs = record.deadlineAt - record.createdAt;
  const job: Job = { ...rest, state: 'waiting', attempts: 0, createdAt: now, deadlineAt: now + patienceMs };
  const etag = await store.put(recordKey(id), encodeRecord(job), { etag: kept.etag });
  if (etag === undefined) return false;
  await queue.send(toEvent(job, store.uri)).catch(async (fault) => {
    await store.put(recordKey(id), encodeRecord(record), { etag }); // still dead, so that it is found again
    throw fault;
  });
  await store.delete(deadKey(job));
  return true;
}

/** Removes a job that has ended, with all that belongs to it; false for any other. */
export async function purgeJob({ store }: Operation, job: Job): Promise<boolean> {
  if (!hasEnded(job)) return false;
  await store.delete(job.photo.key);
  await eraseResult(store, job);
  await store.delete(recordKey(job.id));
  return true;
}
