import { describe, expect, it } from '@jest/globals';
import { createEstimate } from '../functions/shared/estimate.ts';

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

  it('follows a lasting change', () => {
    const estimate = estimateOf(...new Array(20).fill(20), ...new Array(30).fill(200));

    expect(estimate.meanMs()).toBeGreaterThan(190);
  });
});
