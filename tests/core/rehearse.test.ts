import { describe, expect, it } from '@jest/globals';
import { rehearse } from '../../functions/core/chain/rehearse.ts';
import type { Run } from '../../functions/core/pool/queue.ts';
import type { Task } from '../../functions/core/task.ts';
import { chainOf, done, type Lane } from '../support/chain.ts';

const lead: Lane = { end: done, predictedMs: 5 };

/** A function whose standby model has two workers; `isIdle` gets the number of calls before, `isDraining` the number of rounds that have ended. */
async function rehearsed({
  ends = [lead, done] as readonly (Run | Lane)[],
  isIdle = (_look: number): boolean => true,
  isDraining = (_round: number): boolean => false,
  hasRehearsal = true,
}) {
  const { chain, runs, precisions } = chainOf(ends, { keys: ['one', 'other'] });
  for (const { pool } of chain.models) Object.assign(pool, { counts: () => ({ workers: 2 }) });
  const rounds = () => runs.length / 2;
  const encoded: unknown[] = [];
  const task = {
    parse: () => ({}),
    encode: (output: unknown) => {
      encoded.push(output);
      return { contentType: '', body: '' };
    },
    ...(hasRehearsal && { rehearsal: async () => new Uint8Array(1) }),
  } as Pick<Task, 'rehearsal' | 'parse' | 'encode'>;
  let asked = 0;
  const service = { chain, isIdle: () => isIdle(asked++), isDraining: () => isDraining(rounds()) };
  const paused: number[] = [];
  await rehearse(service, task, async (ms) => void paused.push(ms));
  return { runs, precisions, encoded, asked, paused };
}

describe('rehearse', () => {
  it('asks the standby model 200 times for each worker, for a reduced input, and encodes its output', async () => {
    const { runs, precisions, encoded } = await rehearsed({});

    expect(runs.map(({ model }) => model)).toEqual(Array(400).fill('mobilenet'));
    expect(new Set(precisions)).toEqual(new Set(['reduced']));
    expect(encoded).toEqual(Array(400).fill('dog'));
  });

  it('waits until the function has been idle at 20 looks', async () => {
    const { runs, asked, paused } = await rehearsed({ isIdle: (look) => look >= 10 });

    expect(paused).toEqual([5000, ...Array(10 + 20).fill(10)]);
    expect(asked).toBe(10 + 20 + 200);
    expect(runs).toHaveLength(400);
  });

  it.each([
    ['while it waits', 15, 16 + 20],
    ['between two rounds', 120, 20 + 1 + 20],
  ])('waits anew when a request comes %s', async (_when, busyAt, looks) => {
    const { runs, paused } = await rehearsed({ isIdle: (look) => look !== busyAt });

    expect(paused).toEqual([5000, ...Array(looks).fill(10)]);
    expect(runs).toHaveLength(400);
  });

  it('ends with a drain', async () => {
    const { runs } = await rehearsed({ isDraining: (rounds) => rounds >= 3 });

    expect(runs).toHaveLength(6);
  });

  it('ends where the standby model fails as well', async () => {
    const { encoded } = await rehearsed({ ends: [lead, { status: 'timeout', cause: 'told so' }] });

    expect(encoded).toEqual([]);
  });

  it('does nothing for a task that draws no upload', async () => {
    const { runs, paused } = await rehearsed({ hasRehearsal: false });

    expect([...runs, ...paused]).toEqual([]);
  });
});
