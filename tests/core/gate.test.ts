import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createGate } from '../../functions/core/chain/gate.ts';
import { createEstimate } from '../../functions/core/pool/estimate.ts';

const never = new AbortController().signal;

describe('createGate', () => {
  it('runs no more than the limit at a time and all in order', async () => {
    const { enter } = createGate(2, createEstimate());
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
        }, never),
      ),
    );

    expect(most).toBe(2);
    expect(order).toEqual([0, 1, 2, 3, 4]);
  });

  it('tells a task how long it waited', async () => {
    const { enter } = createGate(1, createEstimate());
    const first = enter(async () => sleep(50), never);

    const waitedMs = await enter(async (waited) => waited, never);

    expect(waitedMs).toBeGreaterThan(40);
    await first;
  });

  it('passes a fault on and lets the next task in', async () => {
    const { enter } = createGate(1, createEstimate());

    const failed = enter(() => Promise.reject(new Error('told to fail')), never);
    const next = enter(async () => 'next', never);

    await expect(failed).rejects.toThrow('told to fail');
    expect(await next).toBe('next');
  });

  it('learns how long a task takes from those that succeed', async () => {
    const samples: number[] = [];
    const estimate = { ...createEstimate(), observe: (ms: number) => samples.push(ms) };
    const { enter } = createGate(1, estimate);

    const junk = Array.from({ length: 16 }, () => enter(() => Promise.reject(new Error('no image')), never));
    await Promise.allSettled(junk);
    await enter(() => sleep(50), never);

    expect(samples).toHaveLength(1);
    expect(samples[0]).toBeGreaterThanOrEqual(49); // timers may be a hair early
  });

  it('learns nothing of the time for which the process stood still', async () => {
    const samples: number[] = [];
    const estimate = { ...createEstimate(), observe: (ms: number) => samples.push(ms) };
    const { enter } = createGate(1, estimate, () => 1);

    await enter(() => sleep(20), never);

    expect(samples).toEqual([0]);
  });

  it('never begins a task whose signal is aborted while it waits', async () => {
    const { enter } = createGate(1, createEstimate());
    const leaving = new AbortController();
    const first = enter(() => sleep(50), never);
    let begun = false;
    const second = enter(async () => {
      begun = true;
    }, leaving.signal);

    leaving.abort(new Error('gone'));

    await expect(second).rejects.toThrow('gone');
    await first;
    expect(await enter(async () => 'third', never)).toBe('third');
    expect(begun).toBe(false);
  });

  it('answers at once when a task is aborted that runs, and keeps its place until it ends', async () => {
    const { enter } = createGate(1, createEstimate());
    const leaving = new AbortController();
    let ended = false;
    const running = enter(async () => {
      await sleep(50);
      ended = true;
    }, leaving.signal);
    const next = enter(async () => ended, never);

    leaving.abort(new Error('late'));

    await expect(running).rejects.toThrow('late');
    expect(ended).toBe(false);
    expect(await next).toBe(true);
  });

  it.each([
    ['below', 1, true],
    ['at', 2, false],
    ['above', 3, false],
  ])('with tasks %s its limit of two, idle is: %d, %s', async (_where, tasks, isIdle) => {
    const gate = createGate(2, createEstimate());

    const ends = Array.from({ length: tasks }, () => gate.enter(() => sleep(5), never));

    expect(gate.isIdle()).toBe(isIdle);
    await Promise.all(ends);
    expect(gate.isIdle()).toBe(true);
  });

  it.each([
    [0, 100],
    [1, 100],
    [2, 150],
    [5, 300],
  ])('predicts by the mean of tasks of 100 ms and two places, with %d inside: %d ms', async (inside, expectedMs) => {
    const estimate = createEstimate();
    estimate.observe(100);
    const gate = createGate(2, estimate);
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });

    const ends = Array.from({ length: inside }, () => gate.enter(() => ended, never));

    expect(gate.predictMs()).toBe(expectedMs);
    end();
    await Promise.all(ends);
  });
});
