import { expect, it } from '@jest/globals';
import { createDue } from '../../functions/core/jobs/due.ts';
import { createRecords } from '../../functions/core/jobs/records.ts';
import { acceptInto } from '../support/accepted.ts';
import { makeStoreFolder } from '../support/jobs.ts';

it('takes no upload from a job that is accepted while one of the same id is looked at', async () => {
  const [folder, removeFolder] = makeStoreFolder();
  const { store, accept, read } = acceptInto(folder);
  const order = { task: 'classify', bytes: Buffer.from('photo') };
  const { id } = await accept({ ...order, deadlineMs: 60_000 });
  const first = await read(id);
  await store.delete(`records/${id}`); // as `npm run jobs -- purge` does

  const records = createRecords({ store, retentionMs: 1000, onEnd: async () => {} });
  const readAndAccept = async (one: string) => {
    const kept = await records.read(one);
    await accept(order);
    return kept;
  };
  const due = createDue({ store, retentionMs: 1000, photoRetentionMs: 1000 });
  const { signal } = new AbortController();
  await due.sweep('classify', { ...records, read: readAndAccept }, signal, first.deadlineAt);

  expect((await store.get((await read(id)).photo.key))?.bytes).toEqual(order.bytes);
  expect(await store.get(first.photo.key)).toBeUndefined();
  removeFolder();
});
