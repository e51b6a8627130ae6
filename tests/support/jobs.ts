import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { createDirectoryStore } from '../../functions/core/jobs/directory.ts';
import { decodeRecord, hasEnded, type Job, recordKey } from '../../functions/core/jobs/job.ts';
import { jobProblems } from '../../functions/core/jobs/problems.ts';
import type { Store } from '../../functions/core/jobs/store.ts';
import { type Answer, type Sent, send } from './client.ts';

/** A folder for a store. The caller removes it by the second part. */
export function makeStoreFolder(): [folder: string, remove: () => void] {
  const folder = mkdtempSync(join(tmpdir(), 'jobs-'));
  return [folder, () => rmSync(folder, { recursive: true, force: true })];
}

export const openStore = createDirectoryStore;

/** What a function answers a fault of jobs with. */
export function expectJobProblem({ status, text, headers }: Answer, code: keyof typeof jobProblems): void {
  expect(JSON.parse(text)).toMatchObject({ code, status: jobProblems[code].status, title: jobProblems[code].title });
  expect(status).toBe(jobProblems[code].status);
  expect(headers['content-type']).toBe('application/problem+json');
}

/** Asks for a job. */
export function order({ url }: { readonly url: string }, sent: Sent): Promise<Answer> {
  return send(url, { ...sent, headers: { prefer: 'respond-async', ...sent.headers } });
}

/** A request with an upload in JSON. */
export function inJson(upload: Buffer, parameters: object = {}): Pick<Sent, 'headers' | 'body'> {
  const body = Buffer.from(JSON.stringify({ inputs: upload.toString('base64'), parameters }));
  return { headers: { 'content-type': 'application/json' }, body };
}

export function get({ url }: { readonly url: string }, path: string, headers: Sent['headers'] = {}): Promise<Answer> {
  return send(url, { method: 'GET', path, headers: { 'content-type': [], ...headers } });
}

/** A job as its Location tells, once it has ended. */
export async function untilEnded(fn: { readonly url: string }, location: unknown): Promise<Record<string, unknown>> {
  for (;;) {
    const { text } = await get(fn, String(location), { prefer: 'wait=5' });
    const job = JSON.parse(text);
    if (!['waiting', 'running'].includes(job.state)) return job;
  }
}

export async function readRecord(store: Store, id: string): Promise<Job> {
  const stored = await store.get(recordKey(id));
  if (!stored) throw new Error(`Expected a record of ${id} but received none`);
  return decodeRecord(stored.bytes) as Job;
}

/** Waits, without asking the function, until a record is as it should be. @throws Error after 30 s */
export async function untilRecord(store: Store, id: string, isMet: (job: Job) => boolean): Promise<Job> {
  for (const end = Date.now() + 30_000; ; await sleep(10)) {
    const job = await readRecord(store, id);
    if (isMet(job)) return job;
    if (Date.now() > end) throw new Error(`Expected another state but received ${JSON.stringify(job)}`);
  }
}

export const untilRunning = (store: Store, id: string, attempts = 1) =>
  untilRecord(store, id, (job) => job.state === 'running' && job.attempts === attempts);

export const untilRecordEnded = (store: Store, id: string) => untilRecord(store, id, hasEnded);

/** The keys of a store below a folder. */
export async function keysOf(store: Store, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.list(prefix)) keys.push(key);
  return keys;
}

export function idOf(location: unknown): string {
  return String(location).replace('/jobs/', '');
}
