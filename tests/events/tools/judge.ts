import { setTimeout as sleep } from 'node:timers/promises';
import { decodeRecord, hasEnded, type Job, recordKey } from '../../../functions/core/jobs/job.ts';
import type { Store } from '../../../functions/core/jobs/store.ts';
import { send } from '../../support/client.ts';
import type { Accepted } from './crowd.ts';
import type { Stage } from './stage.ts';

export async function readJob(store: Store, id: string): Promise<Job | undefined> {
  const stored = await store.get(recordKey(id));
  return stored && (decodeRecord(stored.bytes) as Job);
}

/** Broker and stores come back, groups hand their partitions over, jobs that failed wait for half a minute. */
const nextEndWithinMs = 180_000;

/** As many records are read at a time: the test must not take the cores from what it waits for. */
const lookAt = 30;

/** The records of these jobs, by id, once all have ended. @throws Error when none ends for too long */
export async function untilEnded(store: Store, accepted: readonly Accepted[]): Promise<ReadonlyMap<string, Job>> {
  const ended = new Map<string, Job>();
  for (let lastMs = performance.now(); ended.size < accepted.length; await sleep(500)) {
    for (const { id } of accepted.filter(({ id }) => !ended.has(id)).slice(0, lookAt)) {
      const job = await readJob(store, id);
      if (!job || !hasEnded(job)) continue;
      ended.set(id, job);
      lastMs = performance.now();
    }
    if (performance.now() - lastMs < nextEndWithinMs) continue;
    const open = accepted.filter(({ id }) => !ended.has(id)).map(({ key, id }) => `${key} ${id}`);
    throw new Error(`Expected ${accepted.length} ends but received ${ended.size}, and not ${open.slice(0, 5)}`);
  }
  return ended;
}

interface Ends {
  readonly accepted: readonly Accepted[];
  /** The records as they were when their jobs had ended, by id. */
  readonly ended: ReadonlyMap<string, Job>;
  /** The codes with which jobs must fail whose synchronous answer was a good one, by id. */
  readonly failing: ReadonlyMap<string, string>;
}

/** What is wrong with the ends of jobs, a line for each: another end than before, other bytes than the synchronous answer, several results. */
export async function judgeEnds(stage: Stage, { accepted, ended, failing }: Ends): Promise<string[]> {
  const { store } = stage;
  const faults: string[] = [];
  for (const { id, key, photo } of accepted) {
    const job = ended.get(id) as Job;
    const now = await readJob(store, id);
    if (JSON.stringify(now) !== JSON.stringify(job)) faults.push(`${key}: ${job.state} has become ${now?.state}`);
    const results: string[] = [];
    for await (const result of store.list(`results/${id}/`)) results.push(result);
    const code = failing.get(id) ?? (photo.status === 200 ? undefined : JSON.parse(photo.answer).code);
    if (code !== undefined) {
      if (job.state !== 'failed' || job.problem?.code !== code)
        faults.push(`${key}: ${job.state} ${job.problem?.code}`);
      if (results.length > 0) faults.push(`${key}: a result of a job that failed`);
      continue;
    }
    if (results.length !== 1) faults.push(`${key}: results ${results}`);
    const stored = job.result && (await store.get(job.result.key));
    const text = String(Buffer.from(stored?.bytes ?? ''));
    if (job.state !== 'succeeded' || text !== photo.answer) faults.push(`${key}: ${job.state} ${text.slice(0, 200)}`);
  }
  for (const { id, key, photo } of accepted.slice(0, 20)) {
    const { status, text } = await send(stage.origins[photo.task], { method: 'GET', path: `/jobs/${id}/result` });
    const isSame = failing.has(id) || (status === photo.status && (status !== 200 || text === photo.answer));
    if (!isSame) faults.push(`${key}: told as ${status} ${text.slice(0, 200)}`);
  }
  return faults;
}
