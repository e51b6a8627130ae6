import { describe, expect, it } from '@jest/globals';
import { createPacer, fullPace, latePace } from '../../functions/core/http/pacer.ts';

describe('createPacer', () => {
  it.each([
    ['one at a time', [0, 25, 500], [0, 0, 0]],
    ['three at once', [70, 70, 70], [0, 25, 50]],
    ['one that comes before the turn after the last', [70, 70, 75, 145], [0, 25, 45, 0]],
  ])('spaces %s', (_what, arrivalsMs, waitsMs) => {
    const pace = createPacer(latePace);

    expect(arrivalsMs.map(pace)).toEqual(waitsMs);
  });

  it('holds back none for longer than 2 s', () => {
    const pace = createPacer(latePace);

    const waitsMs = Array.from({ length: 83 }, () => pace(70));

    expect(waitsMs.slice(78)).toEqual([1950, 1975, 2000, 2000, 2000]);
  });

  it('lets one refusal for want of room go in 5 ms, and holds back none for longer than 200', () => {
    const pace = createPacer(fullPace);

    const waitsMs = Array.from({ length: 43 }, () => pace(70));

    expect([...waitsMs.slice(0, 3), ...waitsMs.slice(38)]).toEqual([0, 5, 10, 190, 195, 200, 200, 200]);
  });
});
