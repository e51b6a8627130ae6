import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createEstimate } from '../../functions/core/pool/estimate.ts';
import { blocks, makePool, raises, startPool, until } from '../support/pool.ts';

describe('createPool, by what it learns and counts', () => {
  it('adds up for how long its workers were busy, runs in flight and abandoned ones included', async () => {
    const pool = await startPool();

    await pool.run(blocks(100), 1000);
    const first = pool.counts().busySeconds;
    await pool.run(blocks(300), 100);
    const meanwhile = pool.counts().busySeconds;
    await until(() => pool.counts().busy === 0);
    const last = pool.counts().busySeconds;

    expect(first).toBeGreaterThanOrEqual(0.099);
    expect(meanwhile - first).toBeGreaterThanOrEqual(0.099);
    expect(last - first).toBeGreaterThanOrEqual(0.299);
  });

  it('blames the run that ran for most of its time, not the ones that waited for most of it', async () => {
    const pool = await startPool();

    const runs = await Promise.all([pool.run(blocks(200), 100), pool.run(blocks(300), 300), pool.run(blocks(0), 100)]);

    expect(runs.map(({ status }) => status)).toEqual(['timeout', 'timeout', 'timeout']);
    expect(runs.map((run) => 'overstayed' in run && run.overstayed)).toEqual([true, false, false]);
  });

  it('is stale when it is idle and has never run, or the last run was a second ago', async () => {
    const pool = await startPool();

    const unused = pool.isStale();
    await pool.run(blocks(0), 1000);
    const used = pool.isStale();
    await sleep(1050); // timers may be a hair early
    const later = pool.isStale();
    const run = pool.run(blocks(20), 1000);
    const busy = pool.isStale();
    await run;

    expect([unused, used, later, busy, pool.isStale()]).toEqual([true, false, true, false, false]);
  });

  it.each([
    [15, 2000, false],
    [16, 1999, false],
    [16, 2000, true],
  ])('is settled after 16 runs and two seconds: %d in %d ms', async (runs, ms, expected) => {
    let nowMs = 70;
    const pool = await startPool({ now: () => nowMs });

    for (let run = 0; run < runs; run += 1) await pool.run(blocks(0), 1000);
    nowMs += ms;

    expect(pool.isSettled()).toBe(expected);
  });

  it('does not blame a run that nobody waits for any more', async () => {
    const pool = await startPool();
    const leaving = new AbortController();

    const run = pool.run(blocks(200), 1000, leaving.signal);
    await sleep(20);
    leaving.abort();

    expect(await run).toMatchObject({ status: 'timeout', overstayed: false });
  });

  /** An estimate that keeps what it is told. */
  function listen() {
    const samples: number[] = [];
    const note = (ms: number) => samples.push(ms);
    return { samples, estimate: { ...createEstimate(), presume: note, observe: note } };
  }

  it('presumes from the golden case and learns how long a run takes, of those that overstay, too', async () => {
    const { samples, estimate } = listen();
    const pool = await startPool({ estimate });

    await pool.run(blocks(60), 1000);
    await pool.run(blocks(300), 20);
    await until(() => samples.length === 3);

    expect(samples[0]).toBe(7);
    expect(samples[1]).toBeGreaterThanOrEqual(59);
    expect(samples[1]).toBeLessThan(200);
    expect(samples[2]).toBeGreaterThanOrEqual(299);
  });

  it('learns nothing from a run that raises', async () => {
    const { samples, estimate } = listen();
    const pool = await startPool({ estimate });

    await pool.run(raises, 1000);

    expect(samples).toEqual([7]);
  });

  it('neither learns nor blames what a run took while the process stood still', async () => {
    const { samples, estimate } = listen();
    const pool = await startPool({ estimate, now: () => 1 });

    const run = await pool.run(blocks(100), 50);
    await until(() => samples.length === 2);

    expect(run).toMatchObject({ status: 'timeout', overstayed: false });
    expect(samples[1]).toBe(0);
  });

  describe('predictMs', () => {
    const fixed = { ...createEstimate(), observe: () => {}, presume: () => {}, meanMs: () => 100, highMs: () => 120 };

    it('is Infinity before a worker is ready', () => {
      expect(makePool({ estimate: fixed }).predictMs()).toBe(Number.POSITIVE_INFINITY);
      expect(makePool({ estimate: fixed }).expectMs()).toBe(Number.POSITIVE_INFINITY);
    });

    it.each([0, 50])('is one long run for an idle pool, from when it comes: in %d ms', async (afterMs) => {
      const pool = await startPool({ estimate: fixed });

      expect(pool.isIdle()).toBe(true);
      expect(pool.predictMs(afterMs)).toBe(afterMs + 120);
      expect(pool.meanMs()).toBe(100);
    });

    it('adds what is left of the run in flight, a mean run for each that waits, and the spread of all', async () => {
      const pool = await startPool({ estimate: fixed });
      const runs = [pool.run(blocks(100), 2000), pool.run(blocks(0), 2000), pool.run(blocks(0), 2000)];

      const ms = pool.predictMs();

      expect(pool.isIdle()).toBe(false);
      expect(ms).toBeGreaterThan(400);
      expect(ms).toBeLessThanOrEqual(100 + 200 + 100 + 20 * Math.sqrt(4));
      expect(pool.predictMs(1000)).toBe(1000 + 100 + 20 * Math.sqrt(4));
      expect(pool.expectMs(1000)).toBe(1000 + 100);
      expect(pool.expectMs(0, 3)).toBeGreaterThan(300 + 300);
      expect(pool.expectMs(0, 3)).toBeLessThanOrEqual(100 + 200 + 300 + 100);
      await Promise.all(runs);
    });

    it('shares what waits among the workers', async () => {
      const pool = await startPool({ estimate: fixed, workers: 2 });
      await until(() => pool.counts().workers === 2);
      const runs = [0, 1, 2, 3].map(() => pool.run(blocks(100), 2000));

      const ms = pool.predictMs();

      expect(ms).toBeGreaterThan(295);
      expect(ms).toBeLessThanOrEqual(100 + 100 + 100 + 20 * Math.sqrt(3));
      await Promise.all(runs);
    });

    it('costs no more when more runs wait', async () => {
      let looks = 0;
      const meanMs = () => {
        looks += 1;
        return 100;
      };
      const pool = await startPool({ estimate: { ...fixed, meanMs }, maxQueued: 200 });
      const looksAt = (waiting: number) => {
        while (pool.counts().queued < waiting) pool.run(blocks(0), 2000);
        looks = 0;
        pool.predictMs();
        return looks;
      };

      pool.run(blocks(100), 2000);

      const few = looksAt(1);

      expect(looksAt(200)).toBe(few);
    });

    it('expects a run that overstays to take as long again', async () => {
      const pool = await startPool({ estimate: fixed });

      await pool.run(blocks(600), 300);

      expect(pool.predictMs()).toBeGreaterThan(400);
    });
  });
});
