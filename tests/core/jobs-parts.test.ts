import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig, loadJobs } from '../../functions/core/config.ts';
import { eventType, readEvent, toEvent } from '../../functions/core/jobs/event.ts';
import { digest, fingerprintOf, idOf, readSecret } from '../../functions/core/jobs/identity.ts';
import { isJobId, type Job } from '../../functions/core/jobs/job.ts';
import { createRecords, type Records } from '../../functions/core/jobs/records.ts';
import type { Store } from '../../functions/core/jobs/store.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { makeStoreFolder, openStore } from '../support/jobs.ts';

const job: Job = {
  id: 'abcdefghijklmnopqrstuvwxyz',
  task: 'classify',
  state: 'waiting',
  attempts: 0,
  createdAt: 1_000_000,
  deadlineAt: 4_600_000,
  ask: { query: 'top=2', headers: { 'accept-language': 'de' } },
  strict: false,
  photo: { key: 'photos/a', sha256: '00', bytes: 3, mediaType: 'image/jpeg' },
  fingerprint: '11',
  requestId: 'r',
};

let store: Store;
let removeFolder: () => void;
beforeEach(() => {
  let folder = '';
  [folder, removeFolder] = makeStoreFolder();
  store = openStore(folder);
});
afterEach(() => removeFolder());

describe('the settings of jobs', () => {
  it('are none without a store', () => {
    expect(loadConfig(classify, 1, {}).jobs).toBeUndefined();
  });

  it.each([
    ['JOBS_MAX', '1', 'max', 1],
    ['JOBS_MAX', '1000000', 'max', 1_000_000],
    ['JOB_RETENTION', '', 'retentionMs', 86_400_000],
    ['JOB_RETENTION', '720h', 'retentionMs', 2_592_000_000],
    ['JOB_RETENTION', '90m', 'retentionMs', 5_400_000],
    ['PHOTO_RETENTION', '60s', 'photoRetentionMs', 60_000],
    ['PHOTO_RETENTION', '0ms', 'photoRetentionMs', 0],
    ['JOBS_STORE', '/jobs', 'store', '/jobs'],
  ])('take %s=%s', (name, text, field, value) => {
    expect(loadConfig(classify, 1, { JOBS_STORE: 'x', [name]: text }).jobs).toHaveProperty(field, value);
  });

  it.each([
    ['JOBS_MAX', '0', 'a whole number from 1 to 1000000'],
    ['JOBS_MAX', '1000001', 'a whole number from 1 to 1000000'],
    ['JOB_RETENTION', '721h', 'a duration of at most 30 days such as 24h, 90m, 60s or 500ms'],
    ['JOB_RETENTION', '24', 'a duration of at most 30 days such as 24h, 90m, 60s or 500ms'],
    ['PHOTO_RETENTION', '1d', 'a duration of at most 30 days such as 24h, 90m, 60s or 500ms'],
  ])('refuse %s=%s', (name, text, what) => {
    const message = `Expected ${what} for ${name} but received "${text}"`;
    expect(() => loadConfig(classify, 1, { [name]: text })).toThrow(message);
    expect(() => loadJobs({ [name]: text })).toThrow(message);
  });
});

describe('the event of a job', () => {
  it('holds a claim check, and neither upload nor key', () => {
    const event = toEvent(job, (key) => `file:///${key}`);
    expect(event).toEqual({
      specversion: '1.0',
      id: job.id,
      source: '/jobs',
      type: eventType,
      time: '1970-01-01T00:16:40.000Z',
      datacontenttype: 'application/json',
      data: {
        task: 'classify',
        parameters: { query: 'top=2', headers: { 'accept-language': 'de' }, strict: false },
        photo: { uri: 'file:///photos/a', sha256: '00', bytes: 3, mediaType: 'image/jpeg' },
        deadline: '1970-01-01T01:16:40.000Z',
        requestId: 'r',
        attempts: 0,
      },
    });
    expect(readEvent(event)).toEqual({ id: job.id, task: 'classify' });
  });

  it('stays below 64 kB with the longest request line and headers that the ingress lets pass', () => {
    const ask = { query: 'q'.repeat(9216), headers: { accept: 'a'.repeat(9216), 'accept-language': 'b'.repeat(9216) } };
    const event = toEvent({ ...job, ask, requestId: 'r'.repeat(128) }, (key) => key);
    expect(JSON.stringify(event).length).toBeLessThan(65_536);
  });

  it.each([
    undefined,
    null,
    'text',
    {},
    { ...toEvent(job, String), type: 'io.understudy.job.v2' },
    { ...toEvent(job, String), id: '../records' },
    { ...toEvent(job, String), data: null },
    { ...toEvent(job, String), data: { task: 1 } },
  ])('is not read out of %j', (event) => expect(readEvent(event)).toBeUndefined());
});

describe('the id of a job', () => {
  const identity = { task: 'classify', ask: job.ask, strict: false, callbackUrl: undefined, sha256: 'ab' };

  it('is the same for the same request, in any order of its parameters', async () => {
    const one = await fingerprintOf({ ...identity, ask: { query: 'a=1&b=2', headers: { accept: 'x', b: 'y' } } });
    const other = await fingerprintOf({ ...identity, ask: { query: 'b=2&a=1', headers: { b: 'y', accept: 'x' } } });
    expect(other).toBe(one);
  });

  it.each([
    { task: 'digits' },
    { strict: true },
    { callbackUrl: 'https://a' },
    { sha256: 'cd' },
    { ask: { query: '', headers: {} } },
    { ask: { ...job.ask, door: 'huggingface' } },
  ])('is another one with %j', async (change) => {
    expect(await fingerprintOf({ ...identity, ...change })).not.toBe(await fingerprintOf(identity));
  });

  it('follows from the secret of the store, which all have in common', async () => {
    const [one, two] = await Promise.all([readSecret(store), readSecret(store)]);
    expect(two).toEqual(one);
    const claim = { task: 'classify', owner: undefined, idempotencyKey: '1' };
    const id = idOf(one, claim, 'ff');
    expect(isJobId(id)).toBe(true);
    expect(idOf(one, claim, 'other')).toBe(id);
    expect(idOf(one, { ...claim, task: 'digits' }, 'ff')).not.toBe(id);
    expect(idOf(one, { ...claim, idempotencyKey: undefined }, '1')).not.toBe(id);
    expect(idOf(one, { ...claim, owner: 'acme' }, 'ff')).not.toBe(id);
    expect(idOf(Buffer.alloc(32), claim, 'ff')).not.toBe(id);
  });

  it('digests like SHA-256', async () => {
    expect(await digest(Buffer.from('abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});

describe('the record of a job', () => {
  let records: Records;
  let at: number;
  let ended: Job[];
  beforeEach(() => {
    at = job.createdAt;
    ended = [];
    const onEnd = async (one: Job) => {
      ended.push(one);
    };
    records = createRecords({ store, retentionMs: 1000, onEnd, now: () => at });
  });

  it('is made once', async () => {
    expect(await Promise.all([1, 2, 3, 4].map(() => records.create(job)))).toHaveLength(4);
    expect((await records.read(job.id))?.record).toEqual(job);
    expect(await records.create(job)).toBe(false);
  });

  it('has one end, though many would end it at once', async () => {
    await records.create(job);
    const states = ['succeeded', 'failed', 'expired', 'canceled'] as const;
    const ends = await Promise.all([...states, ...states].map((state) => records.end(job.id, { state })));
    expect(new Set(ends.map((kept) => kept?.record.state)).size).toBe(1);
    expect(ended).toHaveLength(1);
    expect((await records.read(job.id))?.record).toEqual(ended[0]);
  });

  it('is expired from the deadline on, and ends as that before anybody says otherwise', async () => {
    await records.create(job);
    at = job.deadlineAt - 1;
    expect((await records.read(job.id))?.record.state).toBe('waiting');
    at = job.deadlineAt;
    expect((await records.read(job.id))?.record.state).toBe('expired');
    expect((await records.end(job.id, { state: 'succeeded' }))?.record.state).toBe('expired');
    expect(ended.map(({ state }) => state)).toEqual(['expired']);
  });

  it('is gone once its retention has passed, and makes room for another', async () => {
    await records.create(job);
    await records.end(job.id, { state: 'succeeded' });
    at += 999;
    expect((await records.read(job.id))?.record.state).toBe('succeeded');
    at += 1;
    const gone = await records.read(job.id);
    expect(gone?.record).toEqual({ id: job.id, task: 'classify', state: 'gone', goneAt: at });
    expect(await records.create({ ...job, attempts: 1 }, gone)).toBe(true);
    expect(await records.create({ ...job, attempts: 2 }, gone)).toBe(false);
  });

  it('is not changed by who has not read its last version', async () => {
    await records.create(job);
    const read = (await records.read(job.id)) as { record: Job; etag: string };
    expect(await records.change(read, { state: 'running', attempts: 1 })).toMatchObject({ record: { attempts: 1 } });
    expect(await records.change(read, { state: 'running', attempts: 1 })).toBeUndefined();
  });
});
