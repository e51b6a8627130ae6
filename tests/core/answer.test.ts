import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { ModelSpec } from '../../functions/core/card/card.ts';
import { answer, type ModelChain, type Question, refuseHopeless } from '../../functions/core/chain/answer.ts';
import { createBreaker } from '../../functions/core/chain/breaker.ts';
import type { Pool } from '../../functions/core/pool/pool.ts';
import type { Run } from '../../functions/core/pool/queue.ts';
import { Problem } from '../../functions/core/problem.ts';
import type { TaskInput } from '../../functions/core/task.ts';

const never = new AbortController().signal;
const done = { status: 'done', output: 'dog', queueMs: 1, modelMs: 2 } as const;

/** A model whose input has this key. */
function specOf(name: string, details = 'same'): ModelSpec {
  const file = { variant: 'portable', path: '', files: [], optimizedBy: null };
  return { folder: name, name, version: '1', input: { name: 'image' }, output: { name: 'logits' }, details, ...file };
}

interface Lane {
  readonly end: Run;
  readonly predictedMs?: number;
  readonly isIdle?: boolean;
  readonly isStale?: boolean;
  readonly meanMs?: number;
  readonly failures?: number;
}

/** A chain whose models end their runs as told and write down what they were given. */
function chainOf(
  ends: readonly (Run | Lane)[],
  {
    tier = 'primary',
    isPrimaryServed = true,
    keys = ['same', 'same'],
    decodeMs = 0,
    isDecoderIdle = true,
    waitedMs = 3,
    takesMs = 0,
    allowedMs = Number.POSITIVE_INFINITY,
  } = {},
) {
  const runs: { model: string; input: TaskInput; timeoutMs: number }[] = [];
  const precisions: string[] = [];
  const models = ends.map((given, rank) => {
    const {
      end,
      predictedMs = 0,
      isIdle = true,
      isStale = false,
      meanMs = predictedMs,
      failures = 0,
    } = 'end' in given ? given : ({ end: given } as Lane);
    const spec = specOf(['wide-resnet', 'mobilenet'][rank] as string, keys[rank]);
    const run = async (input: TaskInput, timeoutMs: number) => {
      runs.push({ model: spec.name, input, timeoutMs });
      return end;
    };
    const isReady = () => end.status === 'done' || end.status === 'overload' || end.status === 'timeout';
    const predictMs = (afterMs = 0) => afterMs + predictedMs;
    const breaker = createBreaker({ failures: 3, openMs: 5000, onChange: () => {} });
    for (let i = 0; i < failures; i += 1) breaker.admit()?.record('failure');
    return {
      spec,
      breaker,
      pool: {
        run,
        isReady,
        absence: () => (end.status === 'warming' ? end : undefined),
        predictMs,
        isIdle: () => isIdle,
        isStale: () => isStale,
        meanMs: () => meanMs,
      } as unknown as Pool,
    };
  });
  const decode = async (_bytes: unknown, { precision }: { precision: string }) => {
    precisions.push(precision);
    await sleep(takesMs);
    return { decoded: { input: { data: new Uint8Array(48) }, facts: { width: 8 } }, waitedMs };
  };
  const keyOf = ({ details }: ModelSpec) => String(details);
  const decoder = { decode, keyOf, predictMs: () => decodeMs, isIdle: () => isDecoderIdle };
  const standing = { allowedMs: (budgetMs: number) => Math.min(budgetMs, allowedMs) };
  const chain = { tier, models, isPrimaryServed, primaryBudgetMs: 1000, standing, decoder } as unknown as ModelChain;
  return { chain, runs, precisions, decodes: () => precisions.length };
}

/** Everything that is known of a question when it has ended. */
function settle(chain: ModelChain, question: Partial<Question> = {}) {
  const whole = {
    bytes: new Uint8Array(1),
    ask: {},
    strict: false,
    deadlineMs: performance.now() + 5000,
    signal: never,
  };
  return answer({ ...whole, ...question }, chain);
}

/** Who answers. @throws Problem */
async function ask(chain: ModelChain, question: Partial<Question> = {}) {
  const { result } = await settle(chain, question);
  if (result instanceof Problem) throw result;
  return result.answer;
}

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

  it.each([
    ['warming', 'STARTING', 'starting'],
    ['overload', 'BUSY', 'busy'],
  ] as const)('throws when the last model says %s: %s', async (status, code, reason) => {
    const { chain } = chainOf([
      { status: 'error', cause: '' },
      { status, cause: '' },
    ]);

    await expect(ask(chain)).rejects.toMatchObject({ code, headers: { 'x-reason': reason } });
  });

  it('throws DEADLINE_EXCEEDED when the last model says timeout', async () => {
    const { chain } = chainOf([{ status: 'timeout', cause: '' }]);

    await expect(ask(chain)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('throws INTERNAL when every model raises', async () => {
    const { chain } = chainOf([
      { status: 'error', cause: 'one' },
      { status: 'error', cause: 'two' },
    ]);

    await expect(ask(chain)).rejects.toMatchObject({ code: 'INTERNAL', cause: 'two' });
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

  it('tells what time or room could mend before what is broken', async () => {
    const { chain } = chainOf([
      { status: 'overload', cause: '' },
      { status: 'error', cause: '' },
    ]);

    await expect(ask(chain)).rejects.toMatchObject({ code: 'BUSY' });
  });

  it('throws DEADLINE_EXCEEDED when the last model had what time was left, whatever was said of the one before', async () => {
    const { chain } = chainOf([
      { status: 'overload', cause: '' },
      { status: 'timeout', cause: '' },
    ]);

    await expect(ask(chain)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('counts the wait for a decoder as queue and not as decode', async () => {
    const { stages } = await settle(chainOf([done]).chain);

    expect(stages.queue).toBe(4);
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

  describe('by prediction', () => {
    const busyLane = (predictedMs: number): Lane => ({ end: done, predictedMs, isIdle: false });

    it('decodes once, as cheaply as can be, when it is known before that the lead model is left out', async () => {
      const { chain, precisions } = chainOf([busyLane(1500), done], { keys: ['one', 'other'] });

      expect((await ask(chain)).model).toBe('mobilenet');
      expect(precisions).toEqual(['reduced']);
    });

    it('counts the wait for a decoder before it decides', async () => {
      const { chain, precisions } = chainOf([busyLane(300), { end: done, predictedMs: 5 }], { decodeMs: 480 });

      expect((await ask(chain)).model).toBe('wide-resnet');
      const slower = chainOf([busyLane(600), { end: done, predictedMs: 5 }], { decodeMs: 480 });
      expect((await ask(slower.chain)).model).toBe('mobilenet');
      expect([...precisions, ...slower.precisions]).toEqual(['exact', 'reduced']);
    });

    it.each([
      ['below', 490, 0, 'answered'],
      ['above', 510, 0, 'BUSY'],
      ['above, with those that arrive,', 300, 3, 'BUSY'],
    ])(
      'refuses before the upload what would wait %s half of the budget: %d ms, %d',
      (_where, ms, arriving, outcome) => {
        const { chain } = chainOf([busyLane(900), busyLane(ms)]);
        const predictMs = (before = 0) => before * 100;
        const prospect = { strict: false, deadlineMs: performance.now() + 5000, arriving };
        const judge = () => refuseHopeless({ ...chain, decoder: { ...chain.decoder, predictMs } }, prospect);

        if (outcome === 'BUSY') expect(judge).toThrow(expect.objectContaining({ code: 'BUSY' }));
        else expect(judge).not.toThrow();
      },
    );

    it('counts what decoding took against the budget of a model that others wait for', async () => {
      const { chain } = chainOf([busyLane(900), done], { takesMs: 150 });

      expect((await ask(chain)).reason).toBe('overload');
    });

    it('does not decode what no model can answer in time, and says when to come again', async () => {
      const { chain, decodes } = chainOf([busyLane(7000), busyLane(5200)], { decodeMs: 1000 });

      await expect(ask(chain)).rejects.toMatchObject({
        code: 'BUSY',
        headers: { 'retry-after': expect.stringMatching(/^[789]$/), 'x-reason': 'busy' },
      });
      expect(decodes()).toBe(0);
    });

    it('does not decode when the decoders alone take too long', async () => {
      const { chain, decodes } = chainOf([done, done], { decodeMs: 6000, isDecoderIdle: false });

      await expect(ask(chain)).rejects.toMatchObject({ code: 'BUSY' });
      expect(decodes()).toBe(0);
    });

    it('tries when nobody waits, so that a prediction that is too dark is found out', async () => {
      const { chain } = chainOf([{ end: done, predictedMs: 9000 }]);

      expect((await ask(chain)).model).toBe('wide-resnet');
    });

    it('answers BUSY when the last model has become too slow while the image was decoded', async () => {
      const { chain, runs } = chainOf([
        { end: { status: 'error', cause: '' }, predictedMs: 0 },
        { end: done, predictedMs: 6000, isIdle: false },
      ]);
      const decodedMeanwhile = { ...chain, decoder: { ...chain.decoder, isIdle: () => true, predictMs: () => -6000 } };

      await expect(ask(decodedMeanwhile)).rejects.toMatchObject({ code: 'BUSY' });
      expect(runs.map(({ model }) => model)).toEqual(['wide-resnet']);
    });

    it('lets a strict request wait for as long as its client does', async () => {
      const { chain } = chainOf([busyLane(900), busyLane(900)]);

      expect((await ask(chain, { strict: true })).model).toBe('wide-resnet');
      await expect(ask(chain)).rejects.toMatchObject({ code: 'BUSY' });
    });

    it('refuses a strict request that the primary model cannot answer in time, before it decodes', async () => {
      const { chain, decodes } = chainOf([busyLane(5600), done]);

      await expect(ask(chain, { strict: true })).rejects.toMatchObject({
        code: 'PRIMARY_REQUIRED',
        headers: { 'retry-after': expect.stringMatching(/^[678]$/) },
      });
      expect(decodes()).toBe(0);
    });
  });

  describe('with a breaker', () => {
    it('does not ask a lead model that is taken out', async () => {
      const { chain, runs } = chainOf([{ end: done, failures: 3 }, done]);

      expect(await ask(chain)).toMatchObject({ model: 'mobilenet', reason: 'error' });
      expect(runs.map(({ model }) => model)).toEqual(['mobilenet']);
    });

    it('asks a model that is taken out when no other one is there', async () => {
      const { chain } = chainOf([{ end: done, failures: 3 }]);

      expect((await ask(chain)).model).toBe('wide-resnet');
    });

    it('refuses strict requests before they are decoded and says when it tries again', async () => {
      const { chain, decodes } = chainOf([{ end: done, failures: 3 }, done]);

      await expect(ask(chain, { strict: true })).rejects.toMatchObject({
        code: 'PRIMARY_REQUIRED',
        headers: { 'retry-after': expect.stringMatching(/^[567]$/) },
      });
      expect(decodes()).toBe(0);
    });

    it.each<[string, Run, number, boolean]>([
      ['raises', { status: 'error', cause: '' }, 5000, false],
      ['overstays its budget', { status: 'timeout', cause: '', overstayed: true }, 5000, false],
      ['waits until its time is over', { status: 'timeout', cause: '', overstayed: false }, 5000, true],
      [
        'overstays the deadline of a client with a short deadline',
        { status: 'timeout', cause: '', overstayed: true },
        500,
        true,
      ],
      ['answers', done, 5000, true],
    ])('after three requests whose model %s it is closed: %j', async (_what, end, patienceMs, isClosed) => {
      const { chain } = chainOf([end, done]);
      // An error makes the fake pool unready; the real one stays ready when a model raises.
      const models = chain.models.map((model) => ({ ...model, pool: { ...model.pool, isReady: () => true } }));

      for (let i = 0; i < 3; i += 1) {
        await ask({ ...chain, models } as unknown as ModelChain, { deadlineMs: performance.now() + patienceMs });
      }

      expect(chain.models[0].breaker.isClosed()).toBe(isClosed);
    });
  });
});
