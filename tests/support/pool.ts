import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect } from '@jest/globals';
import { createEstimate } from '../../functions/core/pool/estimate.ts';
import { createPool, type Pool, type PoolOptions } from '../../functions/core/pool/pool.ts';

const open: Pool[] = [];
const script = new URL('../../../tests/support/fake-worker.js', import.meta.url);
export const blocks = (ms: number) => ({ data: new Uint8Array(Int32Array.of(ms).buffer) });
export const raises = blocks(-1);
export const kills = blocks(-2);

interface Made extends Partial<Pick<PoolOptions, 'workers' | 'maxQueued' | 'estimate' | 'now' | 'onEvent'>> {
  readonly path?: string;
}

export function makePool({ path = 'serve', ...options }: Made = {}): Pool {
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

/** One whose first worker serves. */
export async function startPool(made: Made = {}): Promise<Pool> {
  const pool = makePool(made);
  await pool.start();
  return pool;
}

export async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i += 1) await sleep(10);
  expect(condition()).toBe(true);
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((pool) => pool.close()));
});
