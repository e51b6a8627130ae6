import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTurns } from '../../functions/core/jobs/turns.ts';
import { createEstimate } from '../../functions/core/pool/estimate.ts';
import type { RunningFunction } from '../support/function.ts';
import { get, makeStoreFolder, order, untilEnded } from '../support/jobs.ts';
import { blocks, startPool, until } from '../support/pool.ts';
import { ask, cleanAfterAll, plain } from '../support/served.ts';

const { startReady } = cleanAfterAll();
const never = new AbortController().signal;

describe('a run that nobody waits for', () => {
  /** A pool with one worker whose runs are expected to take about this long. */
  const poolOf = async (meanMs: number) => {
    const estimate = createEstimate();
    for (let i = 0; i < 40; i += 1) estimate.observe(meanMs);
    return startPool({ estimate });
  };

  it('counts as no load while it takes what runs take', async () => {
    const pool = await poolOf(5000);
    const idleMs = pool.predictMs();
    const run = pool.run(blocks(300), 10_000, never, true);
    await until(() => pool.counts().busy === 1);

    expect([pool.isIdle(), pool.predictMs()]).toEqual([true, idleMs]);
    expect(pool.counts()).toMatchObject({ background: 1, queued: 0 });
    expect(pool.backgroundMs()).toBeGreaterThan(4000);
    expect((await run).status).toBe('done');
    expect(pool.backgroundMs()).toBe(0);
  });

  it('counts as what it is once it overstays', async () => {
    const pool = await poolOf(20);
    const run = pool.run(blocks(600), 10_000, never, true);
    await until(() => pool.counts().busy === 1);
    await until(() => !pool.isIdle());

    expect(pool.predictMs()).toBeGreaterThan(20);
    expect(pool.backgroundMs()).toBe(0);
    await run;
  });

  it('never waits in the queue, where it would be before a request', async () => {
    const pool = await poolOf(100);
    const run = pool.run(blocks(200), 10_000);
    expect(await pool.run(blocks(0), 10_000, never, true)).toEqual({ status: 'overload', cause: 'no worker is idle' });
    expect((await run).status).toBe('done');
  });

  it('is followed by the request that came meanwhile, before another one', async () => {
    const pool = await poolOf(100);
    const ends: string[] = [];
    const tell = (name: string) => () => ends.push(name);
    const job = pool.run(blocks(200), 10_000, never, true).then(tell('job'));
    const request = pool.run(blocks(50), 10_000).then(tell('request'));
    const another = pool.run(blocks(0), 10_000, never, true).then(({ status }) => ends.push(`another: ${status}`));
    await Promise.all([job, request, another]);
    expect(ends).toEqual(['another: overload', 'job', 'request']);
  });
});

describe('turns', () => {
  it.each([1, 2, 3])('leave a worker of %i', async (workers) => {
    const turns = createTurns(workers);
    const leave = Array.from({ length: workers - 1 }, () => turns.arrive());
    await turns.untilFree(never);
    leave.push(turns.arrive());
    let isFree = false;
    const free = turns.untilFree(never).then(() => {
      isFree = true;
    });
    await sleep(20);
    expect(isFree).toBe(false);
    leave[0]?.();
    await free;
  });

  it('are given up with the reason of the signal', async () => {
    const turns = createTurns(1);
    turns.arrive();
    const leaving = new AbortController();
    const turn = turns.untilFree(leaving.signal);
    leaving.abort(new Error('the deadline has passed'));
    await expect(turn).rejects.toThrow('the deadline has passed');
    await expect(turns.untilFree(leaving.signal)).rejects.toThrow('the deadline has passed');
  });
});

describe('a function with one worker', () => {
  let primary: RunningFunction;
  const [folder, removeFolder] = makeStoreFolder();
  afterAll(removeFolder);
  beforeAll(async () => {
    // So much time that a machine which is slow for other reasons degrades nothing: a queue that stands, or a forecast, still would.
    const patient = { DEADLINE_MS: '30000', PRIMARY_BUDGET_MS: '20000' };
    primary = await startReady('primary', { JOBS_STORE: folder, WORKERS: '1', ...patient });
    for (let i = 0; i < 20; i += 1) await ask(primary); // until its predictions are more than guesses
  }, 60_000);

  it('begins no job while an upload arrives, and does as soon as that is answered', async () => {
    const photo = await plain('white');
    const upload = connect(primary.port, '127.0.0.1');
    const head = `POST /classify HTTP/1.1\r\nhost: x\r\ncontent-length: ${photo.length}\r\n\r\n`;
    upload.write(Buffer.concat([Buffer.from(head), photo.subarray(0, 10)]));
    await sleep(100);
    const { headers } = await order(primary, { body: await plain('navy') });
    const path = String(headers.location);
    expect(JSON.parse((await get(primary, path, { prefer: 'wait=2' })).text)).toMatchObject({
      state: 'waiting',
      attempts: 0,
    });

    upload.write(photo.subarray(10));
    expect(await untilEnded(primary, path)).toMatchObject({ state: 'succeeded', attempts: 1 });
    upload.destroy();
  });

  it('answers every request by the lead model amid a steady stream of jobs, and all jobs in the end', async () => {
    const photo = readFileSync('tests/images/test_image_1.jpg');
    const locations: unknown[] = [];
    for (let i = 0; i < 40; i += 1) {
      const { status, headers } = await order(primary, { body: photo, headers: { 'idempotency-key': `stream ${i}` } });
      expect(status).toBe(202);
      locations.push(headers.location);
    }
    const answers: Record<string, unknown>[] = [];
    const countAtWork = async () => (await get(primary, String(locations.at(-1)))).text.includes('"succeeded"');
    for (; answers.length < 30 || !(await countAtWork()); await sleep(10)) answers.push(await ask(primary, photo));

    const others = answers.filter(({ model, degraded }) => model !== 'wide-resnet' || degraded);
    expect(others.map(({ code, reason }) => code ?? reason)).toEqual([]);
    for (const location of locations) {
      const job = await untilEnded(primary, location);
      expect(job).toMatchObject({ state: 'succeeded', attempts: 1, result: { degraded: false, model: 'wide-resnet' } });
    }
  }, 120_000);
});
