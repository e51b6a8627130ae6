import { expect, it } from '@jest/globals';
import type { Result } from '../../functions/core/chain/answer.ts';
import type { Service } from '../../functions/core/chain/service.ts';
import { createEndings } from '../../functions/core/jobs/endings.ts';
import type { Job } from '../../functions/core/jobs/job.ts';
import { createRecords, type Kept } from '../../functions/core/jobs/records.ts';
import { createTurns } from '../../functions/core/jobs/turns.ts';
import { createRunner } from '../../functions/core/jobs/work.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { acceptInto } from '../support/accepted.ts';
import { keysOf, makeStoreFolder } from '../support/jobs.ts';

it('comes to a job as soon as other models than the lead model may answer', async () => {
  const [folder, removeFolder] = makeStoreFolder();
  const { store, accept, read } = acceptInto(folder);
  const { id } = await accept({ task: 'classify', bytes: Buffer.from('photo'), deadlineMs: 10_000 });
  const { createdAt } = await read(id);
  const lead = { pool: { isReady: () => false }, breaker: { retryInMs: () => 0 } };
  const service = { chain: { isPrimaryServed: true, models: [lead] }, canAnswer: () => false } as unknown as Service;
  const records = createRecords({ store, retentionMs: 1000, onEnd: async () => {} });
  const afterMs = async (at: number) => {
    const place = { task: classify, service, store, records, turns: createTurns(1), onRun: () => {} };
    const outcome = await createRunner({ ...place, now: () => createdAt + at }).run(id, new AbortController().signal);
    return 'afterMs' in outcome && outcome.afterMs;
  };
  expect([await afterMs(0), await afterMs(8000), await afterMs(8600), await afterMs(9000)]).toEqual([
    1000, 1000, 400, 500,
  ]);
  removeFolder();
});

it('writes nothing of a job for which no worker is idle, however often it is asked for', async () => {
  const [folder, removeFolder] = makeStoreFolder();
  const { store, accept } = acceptInto(folder);
  const { id } = await accept({ task: 'classify', bytes: Buffer.from('photo') });
  const before = await store.get(`records/${id}`);
  const lead = { pool: { isReady: () => true, isIdle: () => false }, breaker: { retryInMs: () => 0 } };
  const service = { chain: { isPrimaryServed: true, models: [lead] } } as unknown as Service;
  const records = createRecords({ store, retentionMs: 1000, onEnd: async () => {} });
  const runner = createRunner({ task: classify, service, store, records, turns: createTurns(1), onRun: () => {} });

  expect(await runner.run(id, new AbortController().signal)).toMatchObject({ status: 'later', attempts: 0 });
  expect(await store.get(`records/${id}`)).toEqual(before);
  removeFolder();
});

it('leaves one result, though the store fails between the result and the record', async () => {
  const [folder, removeFolder] = makeStoreFolder();
  const { store, accept } = acceptInto(folder);
  const { id } = await accept({ task: 'classify', bytes: Buffer.from('photo') });
  const records = createRecords({ store, retentionMs: 1000, onEnd: async () => {} });
  let tries = 0;
  const end: typeof records.end = async (...job) => {
    tries += 1;
    if (tries === 1) throw new Error('away');
    return records.end(...job);
  };
  const endings = createEndings({ store, records: { ...records, end }, now: Date.now, againMs: 1000 });
  const running = await records.change((await records.read(id)) as Kept<Job>, { state: 'running', attempts: 1 });
  const encoded = { contentType: 'application/json', body: '{}', headers: {} };
  const run = { models: 'lead', progress: undefined, answer: { result: {} as Result, encoded } } as const;
  await endings.settle(running as Kept<Job>, run, new AbortController().signal);

  expect([tries, (await keysOf(store, 'results/')).length]).toEqual([2, 1]);
  removeFolder();
});
