import { describe, expect, it } from '@jest/globals';
import type { Fired, Traffic } from '../../load/collapse/generator.ts';
import { type Generator, type Served, sweep, type Used } from '../../load/collapse/sweep.ts';

const plan = { photos: [], headers: {}, capacity: 100, factors: [4], seconds: 0.3, isForeign: false };
const quiet = { say: () => {}, signal: new AbortController().signal };

/** A pass with `answers` of the lead model in `ms` each, during which the primary has `mb`. */
function pass({
  answers,
  ms = 10,
  probes = [1],
  mb = 100,
}: {
  answers: number;
  ms?: number;
  probes?: number[] | null;
  mb?: number;
}) {
  const outcome = { ms, lateMs: 0, verdict: { kind: 'answer', by: 'lead' } } as const;
  const fired: Fired = { outcomes: Array(answers).fill(outcome), probeMs: { '/readyz': probes }, cpuSeconds: 1 };
  const used: Used = { cpuSeconds: { primary: 2 }, mostMb: { primary: mb } };
  return { fired, used };
}

/** Sweeps over passes as told; one that is undefined fails. */
function sweepOver(passes: readonly (ReturnType<typeof pass> | undefined)[]) {
  const asked: Traffic[] = [];
  let [watches, stops] = [0, 0];
  const served: Served = {
    ...{ origin: 'http://here', probed: {}, kill: () => {}, stop: async () => {} },
    watch() {
      const used = passes[watches++]?.used ?? { cpuSeconds: {}, mostMb: {} };
      const stop = () => {
        stops += 1;
        return used;
      };
      return { stop };
    },
  };
  const fire: Generator['fire'] = async (traffic) => {
    const told = passes[asked.push(traffic) - 1];
    if (told === undefined) throw new Error('the load generator has ended');
    return told.fired;
  };
  const swept = sweep({ fire, stop: () => {} }, served, plan, quiet);
  return { swept, asked, open: () => watches - stops };
}

describe('sweep', () => {
  it('offers a step in three passes, sums them up as one step, and returns the first alone as well', async () => {
    const passes = [
      pass({ answers: 40 }),
      pass({ answers: 30, ms: 2000, probes: [9], mb: 120 }),
      pass({ answers: 20, probes: [5, 5], mb: 110 }),
    ];

    const { swept, asked } = sweepOver(passes);
    const { steps, before, after } = await swept;

    expect(asked.map(({ perSecond, seconds }) => [perSecond, seconds])).toEqual(Array(3).fill([400, 0.3 / 3]));
    expect(steps).toHaveLength(1);
    expect(steps[0]).toMatchObject({
      ...{ factor: 4, offered: 90, good: 60, late: 30 },
      ...{ cpuSeconds: { primary: 6 }, mostMb: { primary: 120 }, probeMs: { '/readyz': 9 } },
    });
    expect(steps[0]?.seconds).toBeCloseTo(0.3);
    expect(steps[0]?.loadCpuSeconds).toBeGreaterThanOrEqual(3);
    expect(before).toMatchObject({ factor: 4, offered: 40, mostMb: { primary: 100 } });
    expect(after).toBeUndefined();
  }, 20_000);

  it('takes what there is of a program that was dead in one of the passes', async () => {
    const dead = { ...pass({ answers: 1 }), used: { cpuSeconds: {}, mostMb: {} } };

    const { swept } = sweepOver([dead, pass({ answers: 1 }), pass({ answers: 1, mb: 90 })]);

    expect((await swept).steps[0]).toMatchObject({ cpuSeconds: { primary: 4 }, mostMb: { primary: 100 } });
  }, 20_000);

  it('has no time for a probe that was not answered in one of the passes', async () => {
    const { swept } = sweepOver([pass({ answers: 1 }), pass({ answers: 1, probes: null }), pass({ answers: 1 })]);

    expect((await swept).steps[0]?.probeMs).toEqual({ '/readyz': null });
  }, 20_000);

  it('stops watching when the load generator ends, so that the command can end', async () => {
    const { swept, open } = sweepOver([undefined]);

    await expect(swept).rejects.toThrow('the load generator has ended');
    expect(open()).toBe(0);
  });
});
