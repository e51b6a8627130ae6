import { setImmediate as nextRound } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createRounds } from '../../functions/core/http/rounds.ts';

describe('createRounds', () => {
  it('lets one go on in each round of the event loop, in order', async () => {
    const untilNext = createRounds();
    const seen: string[] = [];
    const ask = async (name: string) => {
      await untilNext();
      seen.push(name);
    };

    const all = [ask('a'), ask('b'), ask('c')];
    for (const round of ['first', 'second', 'third']) {
      await nextRound();
      seen.push(round);
    }
    await Promise.all(all);

    expect(seen).toEqual(['a', 'first', 'b', 'second', 'c', 'third']);
  });

  it('lets one go on that asks right after another has gone on, and one that asks two rounds later', async () => {
    const untilNext = createRounds();

    await untilNext();
    await untilNext();
    await nextRound();
    await nextRound();

    await expect(untilNext()).resolves.toBeUndefined();
  });
});
