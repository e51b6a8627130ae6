import { beforeEach, describe, expect, it } from '@jest/globals';
import { createWakeRule } from '../../functions/core/chain/wake.ts';

describe('createWakeRule', () => {
  let nowMs: number;
  let rule: ReturnType<typeof createWakeRule>;

  beforeEach(() => {
    nowMs = 0;
    rule = createWakeRule(() => nowMs);
  });

  /** Answers at the start of each of these seconds: so many whole ones, then so many degraded. Tells when it said to wake. */
  function answers(seconds: readonly number[], count: { whole?: number; degraded: number }): number[] {
    const woken: number[] = [];
    for (const second of seconds) {
      nowMs = second * 1000;
      for (let i = 0; i < (count.whole ?? 0); i += 1) rule.answered(false);
      for (let i = 0; i < count.degraded; i += 1) if (rule.answered(true)) woken.push(second);
    }
    return woken;
  }

  it('wakes at once when the leading model is lost', () => {
    expect(rule.lost()).toBe(true);
  });

  it.each([
    ['wakes in the third second with degraded answers', [0, 1, 2], { degraded: 1 }, [2]],
    ['wakes when the third such second is the last of five', [0, 2, 4], { degraded: 1 }, [4]],
    ['forgets what is older than five seconds', [0, 3, 6, 9, 12, 15], { degraded: 10 }, []],
    ['takes a burst of any size within two seconds for none', [0, 1], { degraded: 1000 }, []],
    ['wakes when half of the answers are degraded', [0, 1, 2], { whole: 10, degraded: 10 }, [2]],
    [
      'lets a lead model go on that gives more than half',
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      { whole: 11, degraded: 10 },
      [],
    ],
  ])('%s', (_what, seconds, count, woken) => {
    expect(answers(seconds, count)).toEqual(woken);
  });

  it('wakes once a minute as long as it lasts', () => {
    const seconds = Array.from({ length: 200 }, (_, second) => second);

    expect(answers(seconds, { degraded: 5 })).toEqual([2, 62, 122, 182]);
  });

  it('wakes once a minute whatever the cause', () => {
    nowMs = 500;
    const first = rule.lost();
    nowMs = 60_499;
    const second = rule.lost();

    expect([first, second]).toEqual([true, false]);
    expect(answers([61, 62, 63], { degraded: 5 })).toEqual([63]);
    expect(rule.lost()).toBe(false);
  });
});

describe('createWakeRule after a request that failed', () => {
  it('wakes again for the next cause', () => {
    const rule = createWakeRule(() => 0);
    rule.lost();
    const muted = rule.lost();

    rule.failed();

    expect([muted, rule.lost(), rule.lost()]).toEqual([false, true, false]);
  });
});
