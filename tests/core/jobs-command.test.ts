import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { encodeRecord, type Job, recordKey } from '../../functions/core/jobs/job.ts';
import { retryJob } from '../../functions/core/jobs/operate.ts';
import type { Store } from '../../functions/core/jobs/store.ts';
import { keysOf, makeStoreFolder, openStore, readRecord } from '../support/jobs.ts';

const program = fileURLToPath(new URL('../../functions/jobs.js', import.meta.url));
const ids = { waiting: 'a'.repeat(26), succeeded: 'b'.repeat(26), dead: 'c'.repeat(26), erased: 'd'.repeat(26) };
const problem = { code: 'INTERNAL', status: 500 };

describe('npm run jobs', () => {
  let folder: string;
  let removeFolder: () => void;
  let store: Store;

  const keep = async (id: string, changes: Partial<Job> = {}) => {
    const photo = { key: `photos/${id}.0`, sha256: '0', bytes: 5, mediaType: 'image/png' };
    const times = { createdAt: 1_000_000, deadlineAt: 1_060_000 };
    const rest = { ask: { query: '', headers: {} }, strict: false, photo, fingerprint: '', requestId: 'r' };
    const job: Job = { id, task: 'classify', state: 'waiting', attempts: 0, ...times, ...rest, ...changes };
    await store.put(photo.key, Buffer.from('photo'));
    await store.put(recordKey(id), encodeRecord(job));
    if (job.isDead) await store.put(`dead/classify/${id}`, Buffer.from(''));
  };

  beforeEach(async () => {
    [folder, removeFolder] = makeStoreFolder();
    store = openStore(folder);
    await keep(ids.waiting);
    const result = { key: `results/${ids.succeeded}/1-0`, contentType: 'application/json', headers: {} };
    await keep(ids.succeeded, { state: 'succeeded', attempts: 1, endedAt: 1_001_000, result });
    await store.put(result.key, Buffer.from('{}'));
    const dead = { state: 'failed', attempts: 4, endedAt: 1_002_000, isDead: true, problem } as const;
    await keep(ids.dead, dead);
    await keep(ids.erased, dead);
    await store.delete(`photos/${ids.erased}.0`);
  });
  afterEach(() => removeFolder());

  const run = (...args: string[]) => {
    const env = { PATH: process.env.PATH, JOBS_STORE: folder };
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { env, encoding: 'utf8' });
    return { status, stdout, stderr };
  };

  it('lists jobs, and why they failed', () => {
    const lines = run('list').stdout.trimEnd().split('\n');
    expect(lines).toEqual([
      `1970-01-01T00:16:40.000Z  ${ids.waiting}  classify  waiting  0 attempts`,
      `1970-01-01T00:16:40.000Z  ${ids.succeeded}  classify  succeeded  1 attempt`,
      `1970-01-01T00:16:40.000Z  ${ids.dead}  classify  failed  4 attempts  INTERNAL  dead`,
      `1970-01-01T00:16:40.000Z  ${ids.erased}  classify  failed  4 attempts  INTERNAL  dead`,
    ]);
  });

  it('shows a job', async () => {
    expect(JSON.parse(run('show', ids.dead).stdout)).toEqual(await readRecord(store, ids.dead));
    expect(run('show', 'e'.repeat(26))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Expected the id'),
    });
  });

  it('has those run again that are dead and whose upload is there, with as much time as before', async () => {
    expect(run('retry', '--dead')).toEqual({ status: 0, stdout: '1 of 2 will run again\n', stderr: '' });
    const job = await readRecord(store, ids.dead);
    expect(job).toMatchObject({ state: 'waiting', attempts: 0 });
    expect(job.deadlineAt - job.createdAt).toBe(60_000);
    expect(job).not.toHaveProperty('problem');
    expect(await keysOf(store, 'waiting/')).toEqual([
      expect.stringMatching(new RegExp(`^waiting/classify/\\d{13}-${ids.dead}$`)),
    ]);
    expect(await keysOf(store, 'dead/')).toEqual([`dead/classify/${ids.erased}`]);
    expect(run('retry', ids.succeeded).stdout).toBe('0 of 1 will run again\n');
  });

  it('leaves one dead that the queue does not take', async () => {
    const dead = await readRecord(store, ids.dead);
    const send = async () => {
      throw new Error('no broker');
    };
    await expect(retryJob({ store, queue: { send } }, ids.dead)).rejects.toThrow('no broker');
    expect(await readRecord(store, ids.dead)).toEqual(dead);
    expect(run('retry', '--dead').stdout).toBe('1 of 2 will run again\n');
  });

  it('removes what has ended, with all that belongs to it', async () => {
    expect(run('purge').stdout).toBe('3 removed\n');
    expect(await keysOf(store, 'records/')).toEqual([`records/${ids.waiting}`]);
    expect(await keysOf(store, 'photos/')).toEqual([`photos/${ids.waiting}.0`]);
    expect([...(await keysOf(store, 'results/')), ...(await keysOf(store, 'dead/'))]).toEqual([]);
  });

  it.each([[[]], [['unknown']], [['show', 'x']], [['list', 'a', 'b']], [['--strange']], [['retry']]])(
    'refuses %j',
    (args) => expect(run(...args)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringMatching(/\w/) }),
  );

  it('explains itself', () => {
    expect(run('--help')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^Usage: npm run jobs -- COMMAND/),
    });
  });
});
