import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createHolds } from '../../functions/core/chain/holds.ts';

describe('createHolds', () => {
  it('settles at once where nobody needs it', async () => {
    const holds = createHolds();

    await holds.untilNone();
    holds.take()();
    await holds.untilNone();
  });

  it('settles for all who wait when the last one has let go', async () => {
    const holds = createHolds();
    const [first, second] = [holds.take(), holds.take()];
    let settled = 0;
    for (let i = 0; i < 2; i += 1) holds.untilNone().then(() => (settled += 1));

    first();
    await sleep(0);
    expect(settled).toBe(0);

    second();
    await sleep(0);
    expect(settled).toBe(2);
  });
});
