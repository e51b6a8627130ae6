import { describe, expect, it } from '@jest/globals';
import { createEstimate } from '../../functions/core/pool/estimate.ts';
import { placeAfter } from '../../functions/core/pool/forecast.ts';

function estimateOf(...samples: number[]) {
  const estimate = createEstimate();
  for (const ms of samples) estimate.observe(ms);
  return estimate;
}

describe('createEstimate', () => {
  it('is 0 before the first sample', () => {
    const estimate = estimateOf();

    expect([estimate.meanMs(), estimate.highMs()]).toEqual([0, 0]);
  });

  it('takes the first sample as mean, with a deviation of its half', () => {
    const estimate = estimateOf(100);

    expect([estimate.meanMs(), estimate.highMs()]).toEqual([100, 300]);
  });

  it('holds a guess until the first sample, and forgets it then', () => {
    const estimate = createEstimate();
    estimate.presume(1000);
    const guessed = [estimate.meanMs(), estimate.highMs()];
    estimate.observe(100);
    estimate.presume(1000);

    expect(guessed).toEqual([1000, 3000]);
    expect([estimate.meanMs(), estimate.highMs()]).toEqual([100, 300]);
  });

  it('moves by an eighth of the difference, as RFC 6298 does', () => {
    const estimate = estimateOf(100, 180);

    expect(estimate.meanMs()).toBe(110);
    expect(estimate.highMs()).toBe(110 + 4 * (50 + (80 - 50) / 4));
  });

  it('has no spread left after many equal samples', () => {
    const estimate = estimateOf(...new Array(100).fill(20));

    expect(estimate.highMs()).toBeCloseTo(20, 5);
  });

  it.each([
    [0, false],
    [15, false],
    [16, true],
  ])('is settled after 16 samples: %d', (samples, expected) => {
    const estimate = estimateOf(...new Array(samples).fill(20));
    estimate.presume(20);

    expect(estimate.isSettled()).toBe(expected);
  });

  it('has forgotten a first sample that was far too long when it is settled', () => {
    const estimate = estimateOf(150, ...new Array(15).fill(5));

    expect(estimate.isSettled()).toBe(true);
    expect(estimate.highMs()).toBeLessThan(200);
  });

  it('follows a lasting change', () => {
    const estimate = estimateOf(...new Array(20).fill(20), ...new Array(30).fill(200));

    expect(estimate.meanMs()).toBeGreaterThan(190);
  });
});

describe('placeAfter', () => {
  /** One after the other, each on the line that is free first. */
  function simulate(freeMs: readonly number[], waiting: number, runMs: number) {
    const lines = freeMs.map((ms) => ({ ms, before: 0 }));
    const first = () => lines.reduce((one, other) => (other.ms < one.ms ? other : one));
    for (let i = 0; i < waiting; i += 1) {
      const line = first();
      line.ms += runMs;
      line.before += 1;
    }
    return first();
  }

  it.each<[string, readonly number[], number, number]>([
    ['no run waits', [30, 10, 20], 0, 100],
    ['as many wait as there are lines', [0, 0, 0], 3, 100],
    ['one less waits', [0, 0, 0], 2, 100],
    ['one more waits', [0, 0, 0], 4, 100],
    ['one line is taken for long', [5000, 10, 20], 7, 100],
    ['a line becomes free just as the others are through', [300, 100, 100], 4, 100],
    ['a run is known to take no time', [5, 3], 4, 0],
  ])('is as simulated when %s', (_what, freeMs, waiting, runMs) => {
    expect(placeAfter(freeMs, waiting, runMs).ms).toBeCloseTo(simulate(freeMs, waiting, runMs).ms, 3);
  });

  it('is as simulated for any lines', () => {
    let seed = 1;
    const draw = (below: number) => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    for (let i = 0; i < 2000; i += 1) {
      const freeMs = Array.from({ length: 1 + draw(64) }, () => draw(400) / 3);
      const [waiting, runMs] = [draw(200), 1 + draw(300) / 7];

      const { ms, before } = placeAfter(freeMs, waiting, runMs);

      expect(ms).toBeCloseTo(simulate(freeMs, waiting, runMs).ms, 3);
      expect(freeMs.map((free) => free + before * runMs)).toContainEqual(expect.closeTo(ms, 3));
    }
  });
});
