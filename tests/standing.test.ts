import { describe, expect, it } from '@jest/globals';
import { createStanding } from '../functions/shared/standing.ts';

describe('createStanding', () => {
  /** Arrivals every 10 ms from the start to `untilMs`; what the last of them may wait of a budget of 900 ms. */
  function lastOf(untilMs: number, meanMs: number, isIdleAt: (ms: number) => boolean): number {
    let nowMs = 0;
    const standing = createStanding(() => nowMs);
    let allowedMs = Number.NaN;
    for (; nowMs <= untilMs; nowMs += 10) allowedMs = standing.allowedMs(900, isIdleAt(nowMs), meanMs);
    return allowedMs;
  }

  it.each([
    ['a burst that is half a second old', 500, 10, () => false, 900],
    ['a queue that stands for longer', 510, 10, () => false, 100],
    ['a queue that was empty half a second ago', 1500, 10, (ms: number) => ms === 1000, 900],
    ['a queue that was empty before that', 1510, 10, (ms: number) => ms === 1000, 100],
    ['a burst before a slow model', 1000, 100, () => false, 900],
    ['a queue that stands before a slow model', 1010, 100, () => false, 300],
    ['a queue that stands before a model slower than the budget', 5000, 400, () => false, 900],
  ])('grants %s after %d ms: of runs of %d ms', (_what, untilMs, meanMs, isIdleAt, allowedMs) => {
    expect(lastOf(untilMs, meanMs, isIdleAt)).toBe(allowedMs);
  });
});
