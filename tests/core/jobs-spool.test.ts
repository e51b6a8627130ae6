import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { createSpool, type Spool } from '../../functions/core/jobs/spool.ts';
import type { Store } from '../../functions/core/jobs/store.ts';
import { keysOf, makeStoreFolder, openStore } from '../support/jobs.ts';

let store: Store;
let spool: Spool;
let removeFolder: () => void;

beforeEach(() => {
  let folder = '';
  [folder, removeFolder] = makeStoreFolder();
  store = openStore(folder);
  spool = createSpool({ store, log: () => {}, lookMs: 5 });
});
afterEach(() => removeFolder());

const later = { status: 'later', withinMs: 1000, deadlineAt: 0, attempts: 0, cause: 'no model is ready' } as const;

it('comes again to a job when that asks for it, and not when it looks for others', async () => {
  const patient = createSpool({ store, log: () => {}, lookMs: 600_000 });
  await store.put(`waiting/classify/${'1'.repeat(13)}-${'a'.repeat(26)}`, Buffer.from(''));
  let ran = 0;
  const done = new Promise<void>((resolve) => {
    const run = async () => {
      ran += 1;
      if (ran === 3) resolve();
      return { ...later, afterMs: 20 };
    };
    patient.work('classify', { run });
  });
  const keepsAlive = setInterval(() => {}, 1000);
  await done;
  clearInterval(keepsAlive);
  await patient.close();
}, 20_000);

it('comes to every job, however many wait before it for a model that is away', async () => {
  const ids = Array.from({ length: 600 }, (_, i) => String(i).padStart(26, 'a'));
  for (const [i, id] of ids.entries()) {
    await store.put(`waiting/classify/${String(i).padStart(13, '0')}-${id}`, Buffer.from(''));
  }
  const last = String(ids.at(-1));
  let ran = 0;
  const ended = new Promise<void>((resolve) => {
    const run = async (id: string) => {
      ran += 1;
      if (id === last || ran > 20 * ids.length) resolve();
      if (id === last) return { status: 'ended', state: 'succeeded', isDead: false } as const;
      return { ...later, afterMs: 0 };
    };
    spool.work('classify', { run });
  });
  await ended;
  expect(ran).toBeLessThan(2 * ids.length);
  for (; (await keysOf(store, 'waiting/')).length === ids.length; );
  await spool.close();
}, 60_000);
