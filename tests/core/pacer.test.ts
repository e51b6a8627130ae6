import { describe, expect, it } from '@jest/globals';
import { createPacer, createRefusalPacer, fullPace, latePace } from '../../functions/core/http/pacer.ts';

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

describe('createRefusalPacer', () => {
  const of = (patienceMs: number, namesDeadline = true) => ({
    arrivedMs: 1000,
    parameters: { patienceMs, namesDeadline, isTicking: true, strict: false },
  });

  it.each([
    ['BUSY', of(5000), [0, 5, 10]],
    ['PRIMARY_REQUIRED', of(5000), [0, 5, 10]],
    ['DEADLINE_EXCEEDED', of(5000, false), [0, 25, 50]],
    ['DEADLINE_EXCEEDED', of(5000), [0, 0, 0]],
    ['STARTING', of(5000), [0, 0, 0]],
    ['UPLOAD_EMPTY', undefined, [0, 0, 0]],
  ] as const)('spaces %s of %j', (code, exchange, expected) => {
    const pace = createRefusalPacer();

    expect([1000, 1000, 1000].map((nowMs) => pace(code, exchange, nowMs))).toEqual(expected);
  });

  it.each([
    [804, 200],
    [800, 200],
    [796, 199],
    [100, 25],
    [0, 0],
    [-5, 0],
  ])('of a patience of %d ms takes %d at most', (patienceMs, expected) => {
    const pace = createRefusalPacer();
    for (let sent = 0; sent < 60; sent += 1) pace('BUSY', of(5000), 1000);

    expect(pace('BUSY', of(patienceMs), 1000)).toBe(expected);
  });
});
