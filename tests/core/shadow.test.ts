import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createShadow, type ShadowMiss, type ShadowOutcome } from '../../functions/core/chain/shadow.ts';

const answers = (name: string) => async () => ({ class: name });

/** A shadow that draws these numbers in turn; `ends` lists how its samples ended. */
function shadowOf({ share = 1, draws = [0], isIdle = (): boolean => true } = {}) {
  const ends: ShadowOutcome[] = [];
  let drawn = 0;
  const draw = () => draws[drawn++ % draws.length] as number;
  const shadow = createShadow({ share, isIdle, draw, onEnd: (outcome) => ends.push(outcome) });
  return { shadow, ends };
}

describe('createShadow', () => {
  it.each([
    ['n1', 'agrees'],
    ['n2', 'differs'],
  ])('says whether a model that names %s for n1 agrees', async (name, outcome) => {
    const { shadow, ends } = shadowOf();

    shadow.answered('n1', answers(name));
    await sleep(5);

    expect(ends).toEqual([outcome]);
  });

  it.each(['unlike', 'failed'] as ShadowMiss[])('passes on why the model was not asked: %s', async (miss) => {
    const { shadow, ends } = shadowOf();

    shadow.answered('n1', async () => miss);
    await sleep(5);

    expect(ends).toEqual([miss]);
  });

  it.each([
    ['below', 0.249, 1],
    ['at', 0.25, 0],
    ['above', 0.251, 0],
  ])('with a share of 0.25, samples an answer whose number is %s it: %d', async (_where, number, sampled) => {
    const { shadow, ends } = shadowOf({ share: 0.25, draws: [number] });

    shadow.answered('n1', answers('n1'));
    await sleep(5);

    expect(ends).toHaveLength(sampled);
  });

  it('samples nothing with a share of 0', async () => {
    const { shadow, ends } = shadowOf({ share: 0, draws: [0] });

    shadow.answered('n1', answers('n1'));
    await sleep(5);

    expect(ends).toEqual([]);
  });

  it('asks only after the answer, and not at all when a request has arrived by then', async () => {
    let isIdle = true;
    let asked = 0;
    const { shadow, ends } = shadowOf({ isIdle: () => isIdle });

    shadow.answered('n1', async () => {
      asked += 1;
      return { class: 'n1' };
    });
    isIdle = false;
    const before = asked;
    await sleep(5);

    expect([before, asked]).toEqual([0, 0]);
    expect(ends).toEqual(['busy']);
  });
});
