import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { TaskInput } from '../../functions/core/task.ts';
import { blocks, kills, makePool, raises, startPool, until } from '../support/pool.ts';

describe('createPool', () => {
  it('says warming before a worker is ready', async () => {
    const pool = makePool();
    const early = await pool.run(blocks(0), 1000);

    expect(early.status).toBe('warming');
  });

  it('answers with the logits, the wait, and what preparing and running took', async () => {
    const pool = await startPool();

    const run = await pool.run(blocks(5), 1000);

    expect(run).toEqual({
      status: 'done',
      output: Float32Array.of(5),
      queueMs: expect.any(Number),
      prepareMs: 1,
      modelMs: 5,
    });
  });

  it('leaves the pixels usable, so that another model can take them', async () => {
    const pool = await startPool();
    const pixels = blocks(0);

    await pool.run(pixels, 1000);

    expect(pixels.data).toHaveLength(4);
  });

  it('gives each run its own pixels', async () => {
    const pool = await startPool();
    const values: unknown[] = [];

    for (const ms of [3, 1, 2]) values.push(await pool.run(blocks(ms), 1000));

    expect(values).toMatchObject([3, 1, 2].map((ms) => ({ output: Float32Array.of(ms) })));
  });

  it('takes a shorter input, and a longer one again', async () => {
    const pool = await startPool();
    const outputs: unknown[] = [];

    for (const numbers of [[3, 9, 9], [1], [2, 9]]) {
      outputs.push(await pool.run({ data: new Uint8Array(Int32Array.from(numbers).buffer) }, 1000));
    }

    expect(outputs).toMatchObject([3, 1, 2].map((ms) => ({ output: Float32Array.of(ms) })));
  });

  it('leaves a Buffer usable as well, a view into memory that it shares', async () => {
    const pool = await startPool();
    const data = Buffer.from(blocks(3).data);

    const runs = [await pool.run({ data }, 1000), await pool.run({ data }, 1000)];

    expect(runs).toMatchObject([{ output: Float32Array.of(3) }, { output: Float32Array.of(3) }]);
    expect(data).toHaveLength(4);
  });

  it('says error for an input that cannot be sent, and serves the next run', async () => {
    const pool = await startPool();

    expect(await pool.run({ ...blocks(0), hook: () => {} } as TaskInput, 1000)).toMatchObject({ status: 'error' });
    expect((await pool.run(blocks(0), 1000)).status).toBe('done');
  });

  it('runs what waits behind an input that cannot be sent', async () => {
    const pool = await startPool();
    const first = pool.run(blocks(100), 5000);
    const unsendable = pool.run({ ...blocks(0), hook: () => {} } as TaskInput, 5000);
    const last = pool.run(blocks(0), 5000);

    expect(await unsendable).toMatchObject({ status: 'error' });
    expect([await first, await last]).toMatchObject([{ status: 'done' }, { status: 'done' }]);
  });

  it('says unfit, with the problem, when the task finds the input at fault', async () => {
    const pool = await startPool();

    const run = await pool.run(blocks(-3), 1000);

    expect(run).toMatchObject({ status: 'unfit', problem: { code: 'UNFIT', status: 422, message: 'told so' } });
  });

  it('says error when the model raises, and serves the next run', async () => {
    const pool = await startPool();

    expect(await pool.run(raises, 1000)).toEqual({ status: 'error', cause: 'told to raise' });
    expect((await pool.run(blocks(0), 1000)).status).toBe('done');
  });

  it('abandons a run that overstays and counts its worker as taken until it ends', async () => {
    const pool = await startPool();

    const run = await pool.run(blocks(400), 50);

    expect(run.status).toBe('timeout');
    expect(pool.counts()).toMatchObject({ workers: 1, busy: 1, abandoned: 1, queued: 0 });
    await until(() => pool.counts().busy === 0);
    expect((await pool.run(blocks(0), 1000)).status).toBe('done');
  });

  it('takes a run that waited too long out of the queue', async () => {
    const pool = await startPool();
    const first = pool.run(blocks(300), 1000);

    const second = await pool.run(blocks(0), 50);

    expect(second.status).toBe('timeout');
    expect(pool.counts().queued).toBe(0);
    expect((await first).status).toBe('done');
  });

  it('says timeout without running when no time is left', async () => {
    const pool = await startPool();

    expect((await pool.run(blocks(0), 0)).status).toBe('timeout');
    expect(pool.counts().busy).toBe(0);
  });

  it.each([
    ['below', 1, 'done'],
    ['at', 2, 'done'],
    ['above', 3, 'overload'],
  ])('with a queue of two and one run in flight, a run %s the limit is %s', async (_where, waiting, status) => {
    const pool = await startPool({ maxQueued: 2 });

    const runs = [pool.run(blocks(50), 2000)];
    for (let i = 0; i < waiting; i += 1) runs.push(pool.run(blocks(0), 2000));

    expect((await Promise.all(runs)).at(-1)?.status).toBe(status);
  });

  it('runs on all workers at once', async () => {
    const pool = await startPool({ workers: 2 });
    await until(() => pool.counts().workers === 2);

    const runs = [pool.run(blocks(100), 2000), pool.run(blocks(100), 2000)];

    expect(pool.counts().busy).toBe(2);
    await Promise.all(runs);
  });

  it('says error when a worker dies in a run, and replaces the worker', async () => {
    const pool = await startPool();

    expect((await pool.run(kills, 1000)).status).toBe('error');
    await until(() => pool.isReady());
    expect((await pool.run(blocks(0), 1000)).status).toBe('done');
  });

  it('fails the waiting runs when the last worker dies', async () => {
    const pool = await startPool();

    const runs = await Promise.all([pool.run(kills, 1000), pool.run(blocks(0), 1000)]);

    expect(runs.map(({ status }) => status)).toEqual(['error', 'error']);
  });

  it('never serves a model that was refused, and says why', async () => {
    const pool = await startPool({ path: 'refuse' });

    expect(pool.isReady()).toBe(false);
    expect(pool.refusal()).toBe('golden case failed');
    expect(await pool.run(blocks(0), 1000)).toEqual({ status: 'error', cause: 'golden case failed' });
  });

  it('tries again when a file is refused that it has served, and serves it again', async () => {
    const lost: unknown[] = [];
    const pool = await startPool({
      path: 'refuse later',
      onEvent: (_severity, _message, { cause }) => lost.push(cause),
    });

    await pool.run(kills, 1000);
    await until(() => lost.includes('golden case failed'));
    const refusal = pool.refusal();
    await until(() => pool.isReady());

    expect(refusal).toBeUndefined();
    expect((await pool.run(blocks(0), 1000)).status).toBe('done');
  });

  it('starts its workers once, however often it is told to', async () => {
    const pool = makePool();

    await Promise.all([pool.start(), pool.start()]);
    await sleep(200); // as long as a second worker would take, and more

    expect(pool.counts().workers).toBe(1);
  });

  it.each([
    ['serve', undefined],
    ['refuse', 'golden case failed'],
    ['refuse later', 'golden case failed'], // the second of two
    ['die', 'Error: cannot start'],
  ])('tells when all of its workers serve, or why one does not: %s', async (path, cause) => {
    const pool = makePool({ path, workers: 2 });
    pool.start();

    expect(await pool.untilWhole()).toBe(cause);
    if (cause === undefined) expect(pool.counts().workers).toBe(2);
  });

  it('starts no worker after it was closed', async () => {
    const events: string[] = [];
    const pool = makePool({ onEvent: (_severity, message) => events.push(message) });

    await pool.close();
    await pool.start();
    await sleep(200); // as long as a worker would take, and more

    expect(events).toEqual([]);
    expect(pool.isReady()).toBe(false);
  });

  it('keeps trying a worker that dies at its start, without holding up the models after it', async () => {
    const pool = await startPool({ path: 'die' });

    expect((await pool.run(blocks(0), 1000)).status).toBe('error');
    expect(pool.refusal()).toBeUndefined();
  });

  it('lets a run in flight end before it closes', async () => {
    const pool = await startPool();
    const run = pool.run(blocks(200), 1000);

    await pool.close();

    expect((await run).status).toBe('done');
    expect(pool.isReady()).toBe(false);
  });
});
