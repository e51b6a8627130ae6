import { describe, expect, it } from '@jest/globals';
import { createStanding } from '../../functions/core/chain/standing.ts';

describe('createStanding', () => {
  const idle = () => true;
  const busy = () => false;
  const idleAt = (at: number) => (ms: number) => ms === at;

  /** Arrivals every 10 ms from the start to `untilMs`; what the last of them may wait of a budget of 900 ms. */
  function lastOf(untilMs: number, meanMs: number, leading: (ms: number) => boolean, standby: (ms: number) => boolean) {
    let nowMs = 0;
    const standing = createStanding(() => nowMs);
    let allowedMs = Number.NaN;
    for (; nowMs <= untilMs; nowMs += 10) {
      allowedMs = standing.allowedMs(900, { isIdle: leading(nowMs), meanMs }, { isIdle: standby(nowMs), meanMs: 5 });
    }
    return allowedMs;
  }

  it.each([
    ['a burst that is 100 ms old', 100, 10, busy, idle, 900],
    ['a queue that stands for longer', 110, 10, busy, idle, 100],
    ['a queue that was empty 100 ms ago', 1100, 10, idleAt(1000), idle, 900],
    ['a queue that was empty before that', 1110, 10, idleAt(1000), idle, 100],
    ['a burst before a slow model', 500, 100, busy, idle, 900],
    ['a queue that stands before a slow model', 510, 100, busy, idle, 300],
    ['a queue that stands before a model slower than the budget', 5000, 400, busy, idle, 900],
    ['a burst before both models', 100, 10, busy, busy, 900],
    ['a queue that stands before both models', 110, 10, busy, busy, 0],
    ['a queue that stands before the standby model alone', 110, 10, idle, busy, 0],
  ])('grants %s after %d ms: of runs of %d ms', (_what, untilMs, meanMs, leading, standby, allowedMs) => {
    expect(lastOf(untilMs, meanMs, leading, standby)).toBe(allowedMs);
  });
});
