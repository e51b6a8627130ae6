import { describe, expect, it } from '@jest/globals';
import type { ModelSpec } from '../functions/shared/catalog.ts';
import { type Classification, classify, type ModelChain, type Trace } from '../functions/shared/classify.ts';
import type { Pool, Run } from '../functions/shared/pool.ts';
import type { Tensor } from '../functions/shared/tensor.ts';

const labels = ['cat', 'dog'].map((label) => ({ class: `n-${label}`, label }));
const never = new AbortController().signal;
const done = { status: 'done', logits: Float32Array.of(0, 1), queueMs: 1, modelMs: 2 } as const;

function specOf(name: string, resize = 4): ModelSpec {
  const input = { name: 'image', elementType: 'uint8', layout: 'NHWC', resize, crop: 4 } as const;
  const golden = { logits: [0, 0], tolerance: 1 };
  const rest = { version: '1', family: 'test', path: '', output: { name: 'logits' }, labels, golden };
  return { name, input, inputKey: String(resize), ...rest };
}

/** A chain whose models end their runs as told and write down what they were given. */
function chainOf(ends: readonly Run[], { tier = 'primary', isPrimaryServed = true, resizes = [4, 4] } = {}) {
  const runs: { model: string; tensor: Tensor; timeoutMs: number }[] = [];
  let decodes = 0;
  const models = ends.map((end, rank) => {
    const spec = specOf(['wide-resnet', 'mobilenet'][rank] as string, resizes[rank]);
    const run = async (tensor: Tensor, timeoutMs: number) => {
      runs.push({ model: spec.name, tensor, timeoutMs });
      return end;
    };
    const isReady = () => end.status === 'done' || end.status === 'overload' || end.status === 'timeout';
    return { spec, pool: { run, isReady } as unknown as Pool };
  });
  const decode = async () => {
    decodes += 1;
    const pixels = { data: new Uint8Array(48), width: 4, height: 4 };
    return { image: { pixels, sourceWidth: 8, sourceHeight: 6 }, waitedMs: 3 };
  };
  const chain = { tier, models, isPrimaryServed, primaryBudgetMs: 1000, decode } as unknown as ModelChain;
  return { chain, runs, decodes: () => decodes };
}

function ask(chain: ModelChain, question: Partial<Classification> = {}, trace: Trace = { misses: [] }) {
  const whole = {
    bytes: new Uint8Array(1),
    top: 2,
    strict: false,
    deadlineMs: performance.now() + 5000,
    signal: never,
    ...question,
  };
  return classify(whole, chain, trace);
}

describe('classify', () => {
  it('answers with the leading model and is not degraded', async () => {
    const { chain, runs } = chainOf([done, done]);

    const answer = await ask(chain);

    expect(answer).toMatchObject({
      model: 'wide-resnet',
      version: '1',
      tier: 'primary',
      degraded: false,
      reason: null,
    });
    expect(answer.predictions.map(({ label }) => label)).toEqual(['dog', 'cat']);
    expect(runs).toHaveLength(1);
  });

  it.each(['error', 'timeout', 'overload', 'warming'] as const)(
    'answers with the model that stands by, from the same tensor, when the leading one says %s',
    async (status) => {
      const { chain, runs, decodes } = chainOf([{ status, cause: 'told so' }, done]);
      const trace: Trace = { misses: [] };

      const answer = await ask(chain, {}, trace);

      expect(answer).toMatchObject({ model: 'mobilenet', tier: 'primary', degraded: true, reason: status });
      expect(decodes()).toBe(1);
      expect(runs[0]?.tensor).toBe(runs[1]?.tensor);
      expect(trace.misses).toEqual([{ model: 'wide-resnet', status, cause: 'told so' }]);
    },
  );

  it('decodes again only for a model that takes another geometry', async () => {
    const { chain, decodes } = chainOf([{ status: 'error', cause: '' }, done], { resizes: [4, 5] });

    await ask(chain);

    expect(decodes()).toBe(2);
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

  it('gives the leading model its budget and keeps time back for the one that stands by', async () => {
    const { chain, runs } = chainOf([{ status: 'timeout', cause: '' }, done]);

    await ask(chain, { deadlineMs: performance.now() + 600 });

    expect(runs[0]?.timeoutMs).toBeGreaterThan(400);
    expect(runs[0]?.timeoutMs).toBeLessThanOrEqual(450);
    expect(runs[1]?.timeoutMs).toBeGreaterThan(550);
  });

  it('tries the leading model however short the patience is', async () => {
    const { chain, runs } = chainOf([done, done]);

    await ask(chain, { deadlineMs: performance.now() + 100 });

    expect(runs[0]?.timeoutMs).toBeGreaterThan(50);
  });

  it.each(['error', 'warming'] as const)(
    'gives the leading model all the time when the other one would say %s',
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

  it('counts the wait for a decoder as queue and not as decode', async () => {
    const trace: Trace = { misses: [] };

    await ask(chainOf([done]).chain, {}, trace);

    expect(trace.queueMs).toBe(4);
  });

  it('gives the leading model no more than PRIMARY_BUDGET_MS', async () => {
    const { chain, runs } = chainOf([done, done]);

    await ask(chain);

    expect(runs[0]?.timeoutMs).toBe(1000);
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
        headers: { 'x-reason': 'strict', 'retry-after': '1' },
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
