import { describe, expect, it } from '@jest/globals';
import {
  budgetFor,
  decide,
  type LaneState,
  retryAfter,
  type Time,
  toleratedMs,
} from '../../functions/core/chain/decide.ts';

const idle: LaneState = {
  absence: undefined,
  isIdle: true,
  isStale: false,
  meanMs: 10,
  decodeMs: 0,
  predictedMs: 10,
  retryInMs: 0,
};
const busy = { ...idle, isIdle: false };
/** With a standby model; 250 ms of the patience are kept for it. */
const roomy: Time = { leftMs: 5000, budgetMs: 900, allowedMs: 900 };
/** 60 of these 80 ms are the lead model's. */
const hasty: Time = { leftMs: 80, budgetMs: 900, allowedMs: 900 };
const alone: Time = { leftMs: 5000, budgetMs: undefined, allowedMs: 5000 };

describe('decide', () => {
  it.each<[string, LaneState, Time, number]>([
    ['gives the lead model its budget', idle, roomy, 900],
    ['gives it what the client leaves of its patience', idle, { ...roomy, leftMs: 600 }, 450],
    ['keeps no more than a quarter of a short patience', idle, hasty, 60],
    ['gives a model without a standby model all that is left', busy, alone, 5000],
    ['asks a busy model at its budget', { ...busy, predictedMs: 900 }, roomy, 900],
    ['asks an idle model whatever was predicted', { ...idle, predictedMs: 4000 }, roomy, 900],
    ['asks an idle model whose average run is in time', { ...idle, predictedMs: 100, meanMs: 60 }, hasty, 60],
    ['asks an idle model with a stale forecast', { ...idle, predictedMs: 100, meanMs: 70, isStale: true }, hasty, 60],
    ['asks a model without a standby model though its breaker is open', { ...busy, retryInMs: 900 }, alone, 5000],
  ])('%s', (_what, lane, time, timeoutMs) => {
    expect(decide(lane, time)).toMatchObject({ asks: true, timeoutMs });
  });

  it.each<[string, LaneState, Time, object]>([
    ['a model that is loading', { ...idle, absence: { status: 'warming', cause: 'x' } }, roomy, { status: 'warming' }],
    [
      'a busy model above its budget',
      { ...busy, predictedMs: 901 },
      roomy,
      { cause: 'predicted to take 901 ms of 900' },
    ],
    [
      'a busy model while a queue stands',
      { ...busy, predictedMs: 101 },
      { ...roomy, allowedMs: 100 },
      { status: 'overload' },
    ],
    [
      'an idle model while a queue stands for the standby model',
      idle,
      { ...roomy, allowedMs: 0 },
      { status: 'overload' },
    ],
    ['a busy model that is too late', { ...busy, predictedMs: 61 }, hasty, { cause: 'predicted to take 61 ms of 60' }],
    [
      'an idle model whose average run is too late',
      { ...idle, predictedMs: 90, meanMs: 61 },
      hasty,
      { status: 'overload' },
    ],
    ['the same for its decoding', { ...idle, predictedMs: 90, decodeMs: 51 }, hasty, { status: 'overload' }],
    ['a last model that is too late', { ...busy, predictedMs: 5001 }, alone, { status: 'overload' }],
    [
      'a model whose breaker is open',
      { ...idle, retryInMs: 1 },
      roomy,
      { status: 'error', cause: 'taken out after repeated failures' },
    ],
  ])('does not ask %s', (_what, lane, time, miss) => {
    expect(decide(lane, time)).toMatchObject({ asks: false, miss });
  });

  it('knows whether the run has its whole budget: only then a time-out counts against the model', () => {
    expect(decide(idle, roomy)).toMatchObject({ hasWholeBudget: true });
    expect(decide(idle, hasty)).toMatchObject({ hasWholeBudget: false });
  });
});

describe('budgetFor', () => {
  it.each([
    ['twice the standby model and 15 ms for the hops', busy, { standbyMs: 10, budgetMs: 1000, spentMs: 0 }, 965],
    ['no more than a quarter', busy, { standbyMs: 500, budgetMs: 1000, spentMs: 0 }, 750],
    ['the time since the request began', busy, { standbyMs: 0, budgetMs: 1000, spentMs: 300 }, 685],
    ['not below two average runs of an idle model', idle, { standbyMs: 0, budgetMs: 1000, spentMs: 980 }, 20],
    ['not above the whole for them', { ...idle, meanMs: 900 }, { standbyMs: 0, budgetMs: 1000, spentMs: 980 }, 985],
  ])('leaves of it %s', (_what, lane, spent, expected) => {
    expect(budgetFor(lane, spent)).toBe(expected);
  });
});

describe('toleratedMs', () => {
  it.each([
    [false, 5000, 900],
    [false, 800, 720],
    [true, 5000, 5000],
  ])('strict: %s, %d ms left: %d', (strict, leftMs, expected) => {
    expect(toleratedMs(strict, leftMs, 1000)).toBe(expected);
  });
});

describe('retryAfter', () => {
  it.each([
    [[], /^[123]$/],
    [[0], /^[123]$/],
    [[5200, 7000], /^[678]$/],
    [[90_000], /^30$/],
  ])('after %j ms says so many seconds', (waitsMs, expected) => {
    expect(retryAfter(waitsMs)).toMatch(expected);
  });
});
