import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createEstimate } from '../../functions/core/pool/estimate.ts';
import { createPool, type Pool, type PoolOptions } from '../../functions/core/pool/pool.ts';

const open: Pool[] = [];
const script = new URL('../../../tests/support/fake-worker.js', import.meta.url);
const blocks = (ms: number) => ({ data: new Uint8Array(Int32Array.of(ms).buffer) });
const raises = blocks(-1);
const kills = blocks(-2);

interface Made extends Partial<Pick<PoolOptions, 'workers' | 'maxQueued' | 'estimate' | 'now' | 'onEvent'>> {
  readonly path?: string;
}

function makePool({ path = 'serve', ...options }: Made = {}): Pool {
  const starts = new Int32Array(new SharedArrayBuffer(4)); // counted by the workers
  const load = {
    path,
    input: { name: 'image' },
    output: { name: 'logits' },
    optimizedBy: null,
    details: { starts },
    thread: '',
    niceness: 0,
  };
  const pool = createPool({
    script,
    load,
    workers: 1,
    maxQueued: 4,
    estimate: createEstimate(),
    onEvent: () => {},
    ...options,
  });
  open.push(pool);
  return pool;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i += 1) await sleep(10);
  expect(condition()).toBe(true);
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((pool) => pool.close()));
});

describe('createPool', () => {
  it('says warming before a worker is ready', async () => {
    const pool = makePool();
    const early = await pool.run(blocks(0), 1000);

    expect(early.status).toBe('warming');
  });

  it('answers with the logits, the wait and the run time', async () => {
    const pool = makePool();
    await pool.start();

    const run = await pool.run(blocks(5), 1000);

    expect(run).toEqual({ status: 'done', output: Float32Array.of(5), queueMs: expect.any(Number), modelMs: 5 });
  });

  it('leaves the pixels usable, so that another model can take them', async () => {
    const pool = makePool();
    await pool.start();
    const pixels = blocks(0);

    await pool.run(pixels, 1000);

    expect(pixels.data).toHaveLength(4);
  });

  it('gives each run its own pixels', async () => {
    const pool = makePool();
    await pool.start();
    const values: unknown[] = [];

    for (const ms of [3, 1, 2]) values.push(await pool.run(blocks(ms), 1000));

    expect(values).toMatchObject([3, 1, 2].map((ms) => ({ output: Float32Array.of(ms) })));
  });

  it('says error when the model raises, and serves the next run', async () => {
    const pool = makePool();
    await pool.start();

    expect(await pool.run(raises, 1000)).toEqual({ status: 'error', cause: 'told to raise' });
    expect((await pool.run(blocks(0), 1000)).status).toBe('done');
  });

  it('abandons a run that overstays and counts its worker as taken until it ends', async () => {
    const pool = makePool();
    await pool.start();

    const run = await pool.run(blocks(400), 50);

    expect(run.status).toBe('timeout');
    expect(pool.counts()).toMatchObject({ workers: 1, busy: 1, abandoned: 1, queued: 0 });
    await until(() => pool.counts().busy === 0);
    expect((await pool.run(blocks(0), 1000)).status).toBe('done');
  });

  it('takes a run that waited too long out of the queue', async () => {
    const pool = makePool();
    await pool.start();
    const first = pool.run(blocks(300), 1000);

    const second = await pool.run(blocks(0), 50);

    expect(second.status).toBe('timeout');
    expect(pool.counts().queued).toBe(0);
    expect((await first).status).toBe('done');
  });

  it('says timeout without running when no time is left', async () => {
    const pool = makePool();
    await pool.start();

    expect((await pool.run(blocks(0), 0)).status).toBe('timeout');
    expect(pool.counts().busy).toBe(0);
  });

  it.each([
    ['below', 1, 'done'],
    ['at', 2, 'done'],
    ['above', 3, 'overload'],
  ])('with a queue of two and one run in flight, a run %s the limit is %s', async (_where, waiting, status) => {
    const pool = makePool({ maxQueued: 2 });
    await pool.start();

    const runs = [pool.run(blocks(50), 2000)];
    for (let i = 0; i < waiting; i += 1) runs.push(pool.run(blocks(0), 2000));

    expect((await Promise.all(runs)).at(-1)?.status).toBe(status);
  });

  it('runs on all workers at once', async () => {
    const pool = makePool({ workers: 2 });
    await pool.start();
    await until(() => pool.counts().workers === 2);

    const runs = [pool.run(blocks(100), 2000), pool.run(blocks(100), 2000)];

    expect(pool.counts().busy).toBe(2);
    await Promise.all(runs);
  });

  it('says error when a worker dies in a run, and replaces the worker', async () => {
    const pool = makePool();
    await pool.start();

    expect((await pool.run(kills, 1000)).status).toBe('error');
    await until(() => pool.isReady());
    expect((await pool.run(blocks(0), 1000)).status).toBe('done');
  });

  it('fails the waiting runs when the last worker dies', async () => {
    const pool = makePool();
    await pool.start();

    const runs = await Promise.all([pool.run(kills, 1000), pool.run(blocks(0), 1000)]);

    expect(runs.map(({ status }) => status)).toEqual(['error', 'error']);
  });

  it('never serves a model that was refused, and says why', async () => {
    const pool = makePool({ path: 'refuse' });
    await pool.start();

    expect(pool.isReady()).toBe(false);
    expect(pool.refusal()).toBe('golden case failed');
    expect(await pool.run(blocks(0), 1000)).toEqual({ status: 'error', cause: 'golden case failed' });
  });

  it('tries again when a file is refused that it has served, and serves it again', async () => {
    const lost: unknown[] = [];
    const pool = makePool({ path: 'refuse later', onEvent: (_severity, _message, { cause }) => lost.push(cause) });
    await pool.start();

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
    const pool = makePool({ path: 'die' });

    await pool.start();

    expect((await pool.run(blocks(0), 1000)).status).toBe('error');
    expect(pool.refusal()).toBeUndefined();
  });

  it('lets a run in flight end before it closes', async () => {
    const pool = makePool();
    await pool.start();
    const run = pool.run(blocks(200), 1000);

    await pool.close();

    expect((await run).status).toBe('done');
    expect(pool.isReady()).toBe(false);
  });

  it('adds up for how long its workers were busy, runs in flight and abandoned ones included', async () => {
    const pool = makePool();
    await pool.start();

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
    const pool = makePool();
    await pool.start();

    const runs = await Promise.all([pool.run(blocks(200), 100), pool.run(blocks(300), 300), pool.run(blocks(0), 100)]);

    expect(runs.map(({ status }) => status)).toEqual(['timeout', 'timeout', 'timeout']);
    expect(runs.map((run) => 'overstayed' in run && run.overstayed)).toEqual([true, false, false]);
  });

  it('is stale when it is idle and has never run, or the last run was a second ago', async () => {
    const pool = makePool();
    await pool.start();

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

  it('does not blame a run that nobody waits for any more', async () => {
    const pool = makePool();
    await pool.start();
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
    const pool = makePool({ estimate });
    await pool.start();

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
    const pool = makePool({ estimate });
    await pool.start();

    await pool.run(raises, 1000);

    expect(samples).toEqual([7]);
  });

  it('neither learns nor blames what a run took while the process stood still', async () => {
    const { samples, estimate } = listen();
    const pool = makePool({ estimate, now: () => 1 });
    await pool.start();

    const run = await pool.run(blocks(100), 50);
    await until(() => samples.length === 2);

    expect(run).toMatchObject({ status: 'timeout', overstayed: false });
    expect(samples[1]).toBe(0);
  });

  describe('predictMs', () => {
    const fixed = { presume: () => {}, observe: () => {}, meanMs: () => 100, highMs: () => 120 };

    it('is Infinity before a worker is ready', () => {
      expect(makePool({ estimate: fixed }).predictMs()).toBe(Number.POSITIVE_INFINITY);
    });

    it.each([0, 50])('is one long run for an idle pool, from when it comes: in %d ms', async (afterMs) => {
      const pool = makePool({ estimate: fixed });
      await pool.start();

      expect(pool.isIdle()).toBe(true);
      expect(pool.predictMs(afterMs)).toBe(afterMs + 120);
      expect(pool.meanMs()).toBe(100);
    });

    it('adds what is left of the run in flight, a mean run for each that waits, and the spread of all', async () => {
      const pool = makePool({ estimate: fixed });
      await pool.start();
      const runs = [pool.run(blocks(100), 2000), pool.run(blocks(0), 2000), pool.run(blocks(0), 2000)];

      const ms = pool.predictMs();

      expect(pool.isIdle()).toBe(false);
      expect(ms).toBeGreaterThan(400);
      expect(ms).toBeLessThanOrEqual(100 + 200 + 100 + 20 * Math.sqrt(4));
      expect(pool.predictMs(1000)).toBe(1000 + 100 + 20 * Math.sqrt(4));
      await Promise.all(runs);
    });

    it('shares what waits among the workers', async () => {
      const pool = makePool({ estimate: fixed, workers: 2 });
      await pool.start();
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
      const pool = makePool({ estimate: { ...fixed, meanMs }, maxQueued: 200 });
      await pool.start();
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
      const pool = makePool({ estimate: fixed });
      await pool.start();

      await pool.run(blocks(600), 300);

      expect(pool.predictMs()).toBeGreaterThan(400);
    });
  });
});
