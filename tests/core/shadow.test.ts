import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createShadow, type ShadowOutcome } from '../../functions/core/chain/shadow.ts';

/** A shadow that draws these numbers in turn; `ends` lists how its samples ended. */
function shadowOf({ share = 1, draws = [0], isIdle = (): boolean => true } = {}) {
  const ends: ShadowOutcome[] = [];
  let drawn = 0;
  const draw = () => draws[drawn++ % draws.length] as number;
  const shadow = createShadow({ share, isIdle, draw, onEnd: (outcome) => ends.push(outcome) });
  return { shadow, ends };
}

describe('createShadow', () => {
  it.each(['agrees', 'differs', 'unlike', 'failed'] as ShadowOutcome[])('tells how it ended: %s', async (outcome) => {
    const { shadow, ends } = shadowOf();

    shadow.answered(async () => outcome);
    await sleep(5);

    expect(ends).toEqual([outcome]);
  });

  it.each([
    ['below', 0.249, 1],
    ['at', 0.25, 0],
    ['above', 0.251, 0],
  ])('with a share of 0.25, samples an answer whose number is %s it: %d', async (_where, number, sampled) => {
    const { shadow, ends } = shadowOf({ share: 0.25, draws: [number] });

    shadow.answered(async () => 'agrees');
    await sleep(5);

    expect(ends).toHaveLength(sampled);
  });

  it('samples nothing with a share of 0', async () => {
    const { shadow, ends } = shadowOf({ share: 0, draws: [0] });

    shadow.answered(async () => 'agrees');
    await sleep(5);

    expect(ends).toEqual([]);
  });

  it('asks only after the answer, and not at all when a request has arrived by then', async () => {
    let isIdle = true;
    let asked = 0;
    const { shadow, ends } = shadowOf({ isIdle: () => isIdle });

    shadow.answered(async () => {
      asked += 1;
      return 'agrees';
    });
    isIdle = false;
    const before = asked;
    await sleep(5);

    expect([before, asked]).toEqual([0, 0]);
    expect(ends).toEqual(['busy']);
  });
});
