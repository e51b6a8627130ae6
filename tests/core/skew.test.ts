import { describe, expect, it } from '@jest/globals';
import { createSkew } from '../../functions/core/http/skew.ts';

const minuteMs = 60_000;

/** Notes so many ages, a second apart, and gives what was spent of the last. */
function note(skew: ReturnType<typeof createSkew>, ages: readonly number[], fromMs = 0): number | undefined {
  return ages.map((ageMs, i) => skew.spentMs(ageMs, fromMs + i * 1000)).at(-1);
}

const many = (ageMs: number, count = 20): number[] => Array(count).fill(ageMs);

describe('createSkew', () => {
  it.each([
    ['an ingress whose clock is behind', [...many(310), 330], 20],
    ['an ingress whose clock is behind by as much as is tolerated', [...many(500), 700], 200],
    ['more than is tolerated', [...many(501), 700], 700],
    ['an ingress whose clock is ahead', [...many(-300), 200], 200],
    ['a request from the future', [...many(0), -10], 0],
    ['clocks that agree', [...many(2), 802], 800],
    ['waits that all but one request had', [...many(400), 3, 403], 400],
    ['a first request that waited', [400], 400],
  ])('counts as spent, after %s', (_what, ages, spentMs) => {
    expect(note(createSkew(), ages)).toBe(spentMs);
  });

  it.each([
    ['below', 18, 300],
    ['at', 19, 0],
    ['above', 20, 0],
  ])('tolerates nothing before it has seen 20 ages: %s', (_where, before, spentMs) => {
    expect(note(createSkew(), [...many(300, before), 300])).toBe(spentMs);
  });

  it('remembers the smallest age for five to ten minutes', () => {
    const skew = createSkew();
    note(skew, many(5));
    const afterOne = note(skew, many(405), 5.5 * minuteMs);
    const afterTwo = note(skew, many(405), 11 * minuteMs);

    expect([afterOne, afterTwo]).toEqual([400, 0]);
  });

  it('tells the smallest age as long as it is remembered', () => {
    const skew = createSkew();
    const before = skew.smallestAgeMs(0);
    note(skew, [30, -7, 12]);

    expect(before).toBeUndefined();
    expect(skew.smallestAgeMs(minuteMs)).toBe(-7);
    expect(skew.smallestAgeMs(11 * minuteMs)).toBeUndefined();
  });
});
