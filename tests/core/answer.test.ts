import { describe, expect, it } from '@jest/globals';
import type { Run } from '../../functions/core/pool/queue.ts';
import { Problem } from '../../functions/core/problem.ts';
import { ask, chainOf, done, settle, specOf } from '../support/chain.ts';

describe('answer', () => {
  it('answers with the lead model and is not degraded', async () => {
    const { chain, runs, precisions } = chainOf([done, done]);

    const { result, facts } = await settle(chain);

    const expected = { model: 'wide-resnet', version: '1', tier: 'primary', degraded: false, reason: null };
    expect(result).toMatchObject({ answer: expected, output: 'dog', spec: { name: 'wide-resnet' } });
    expect(facts).toEqual({ width: 8 });
    expect(runs).toHaveLength(1);
    expect(precisions).toEqual(['exact']);
  });

  it.each(['error', 'timeout', 'overload', 'warming'] as const)(
    'answers with the standby model, from the same pixels, when the lead model says %s',
    async (status) => {
      const { chain, runs, decodes } = chainOf([{ status, cause: 'told so' }, done]);

      const { result, misses } = await settle(chain);

      const expected = { model: 'mobilenet', tier: 'primary', degraded: true, reason: status };
      expect(result).toMatchObject({ answer: expected });
      expect(decodes()).toBe(1);
      expect(new Set(runs.map(({ input }) => input)).size).toBe(1);
      expect(misses).toEqual([{ model: 'wide-resnet', status, cause: 'told so' }]);
    },
  );

  it('decodes again for a model that takes another input', async () => {
    const { chain, decodes } = chainOf([{ status: 'error', cause: '' }, done], { keys: ['one', 'other'] });

    await ask(chain);

    expect(decodes()).toBe(2);
  });

  const unfit: Run = { status: 'unfit', problem: new Problem('UPLOAD_MALFORMED', 'told so') };
  const late: Run = { status: 'overload', cause: '' };

  it('decodes a reduced input that is unfit anew, exactly, and asks the standby model once more', async () => {
    const { chain, runs, precisions } = chainOf([late, unfit], { keys: ['one', 'other'] });

    await expect(ask(chain)).rejects.toMatchObject({ code: 'UPLOAD_MALFORMED' });

    expect(precisions).toEqual(['exact', 'reduced', 'exact']);
    expect(runs.map(({ model }) => model)).toEqual(['wide-resnet', 'mobilenet', 'mobilenet']);
  });

  it('takes an exact input that is unfit for what it is', async () => {
    const { chain, runs, precisions } = chainOf([unfit, done]);

    await expect(ask(chain)).rejects.toMatchObject({ code: 'UPLOAD_MALFORMED' });

    expect(precisions).toEqual(['exact']);
    expect(runs).toHaveLength(1);
  });

  it('passes over a model that does not take such an input', async () => {
    const { chain, runs } = chainOf([done, done], { unsuited: ['wide-resnet'] });

    const { result, misses } = await settle(chain);

    expect(result).toMatchObject({ answer: { model: 'mobilenet', degraded: true, reason: 'error' } });
    expect(misses).toEqual([{ model: 'wide-resnet', status: 'error', cause: 'it takes no such input' }]);
    expect(runs).toHaveLength(1);
  });

  it('keeps the input for a model that takes the same, and has none for one that does not', async () => {
    const { chain, runs } = chainOf([done, done]);

    const { result } = await settle(chain);

    const inputFor = result instanceof Problem ? undefined : result.inputFor;
    expect(inputFor?.(specOf('mobilenet'))).toBe(runs[0]?.input);
    expect(inputFor?.(specOf('mobilenet', 'other'))).toBeUndefined();
  });

  it('asks the models that it began with, whatever takes their place meanwhile', async () => {
    const { chain, runs } = chainOf([{ status: 'error', cause: 'refused' }, done], { takesMs: 20 });
    const other = chainOf([done]);

    const answered = ask(chain);
    (chain.models as unknown as unknown[])[0] = other.chain.models[0];

    expect(await answered).toMatchObject({ model: 'mobilenet', reason: 'error' });
    expect([runs.length, other.runs.length]).toEqual([2, 0]);
  });

  it('is degraded with reason error when the primary model could not be read', async () => {
    const { chain } = chainOf([done], { isPrimaryServed: false });

    expect(await ask(chain)).toMatchObject({ degraded: true, reason: 'error' });
  });

  it('is always degraded with reason failover in the fallback', async () => {
    const { chain } = chainOf([done], { tier: 'fallback', isPrimaryServed: false });

    expect(await ask(chain)).toMatchObject({ tier: 'fallback', degraded: true, reason: 'failover' });
  });

  it.each<[string, readonly Run['status'][], object]>([
    ['is loading', ['error', 'warming'], { code: 'STARTING', headers: { 'x-reason': 'starting' } }],
    ['is full', ['error', 'overload'], { code: 'BUSY', headers: { 'x-reason': 'busy' } }],
    ['had all the time that was left', ['timeout'], { code: 'DEADLINE_EXCEEDED' }],
    ['had what time was left, whatever was said before', ['overload', 'timeout'], { code: 'DEADLINE_EXCEEDED' }],
    ['raises as well', ['error', 'error'], { code: 'INTERNAL', cause: 'of 1' }],
    ['is broken, but not the one that time or room could mend', ['overload', 'error'], { code: 'BUSY' }],
  ])('throws when the last model %s: %j', async (_what, statuses, expected) => {
    const ends = statuses.map((status, rank) => ({ status, cause: `of ${rank}` }) as Run);
    const { chain } = chainOf(ends);

    await expect(ask(chain)).rejects.toMatchObject(expected);
  });

  it('gives the lead model its budget and keeps time back for the standby model', async () => {
    const { chain, runs } = chainOf([{ status: 'timeout', cause: '' }, done]);

    await ask(chain, { deadlineMs: performance.now() + 600 });

    expect(runs[0]?.timeoutMs).toBeGreaterThan(400);
    expect(runs[0]?.timeoutMs).toBeLessThanOrEqual(450);
    expect(runs[1]?.timeoutMs).toBeGreaterThan(550);
  });

  it.each(['error', 'warming'] as const)(
    'gives the lead model all the time when the other one would say %s',
    async (status) => {
      const { chain, runs } = chainOf([done, { status, cause: '' }]);

      await ask(chain);

      expect(runs[0]?.timeoutMs).toBeGreaterThan(4000);
    },
  );

  it('counts the wait for a decoder as queue and not as decode', async () => {
    const { steps } = await settle(chainOf([done]).chain);

    const waits = steps.filter(({ stage }) => stage === 'queue').map(({ ms }) => ms);
    expect(waits).toEqual([3, 1]);
  });

  it('throws DEADLINE_EXCEEDED before decoding when no time is left', async () => {
    const { chain, decodes } = chainOf([done]);

    await expect(ask(chain, { deadlineMs: performance.now() })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(decodes()).toBe(0);
  });

  describe('strictly', () => {
    it('gives the primary model all the time that is left', async () => {
      const { chain, runs } = chainOf([done, done]);

      await ask(chain, { strict: true });

      expect(runs[0]?.timeoutMs).toBeGreaterThan(4000);
    });

    it('throws PRIMARY_REQUIRED and asks no other model when the primary model fails', async () => {
      const { chain, runs } = chainOf([{ status: 'error', cause: '' }, done]);

      await expect(ask(chain, { strict: true })).rejects.toMatchObject({
        code: 'PRIMARY_REQUIRED',
        headers: { 'x-reason': 'strict', 'retry-after': expect.stringMatching(/^[123]$/) },
      });
      expect(runs).toHaveLength(1);
    });

    it.each(['primary', 'fallback'])('throws PRIMARY_REQUIRED before decoding in a %s without it', async (tier) => {
      const { chain, decodes } = chainOf([done], { tier, isPrimaryServed: false });

      await expect(ask(chain, { strict: true })).rejects.toMatchObject({ code: 'PRIMARY_REQUIRED' });
      expect(decodes()).toBe(0);
    });
  });
});
