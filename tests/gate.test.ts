import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createGate } from '../functions/shared/gate.ts';

describe('createGate', () => {
  it('runs no more than the limit at a time and all in order', async () => {
    const enter = createGate(2);
    const order: number[] = [];
    let running = 0;
    let most = 0;

    await Promise.all(
      [0, 1, 2, 3, 4].map((task) =>
        enter(async () => {
          running += 1;
          most = Math.max(most, running);
          order.push(task);
          await sleep(5);
          running -= 1;
        }),
      ),
    );

    expect(most).toBe(2);
    expect(order).toEqual([0, 1, 2, 3, 4]);
  });

  it('passes a fault on and lets the next task in', async () => {
    const enter = createGate(1);

    const failed = enter(() => Promise.reject(new Error('told to fail')));
    const next = enter(async () => 'next');

    await expect(failed).rejects.toThrow('told to fail');
    expect(await next).toBe('next');
  });
});
