import { cpuSecondsLeft, goodPerCpuSecond, type Step } from './step.ts';

/** One system's steps, as collapse.json has them. */
export interface Sweep {
  /** Name of the system in tables and picture. */
  readonly label: string;
  readonly measuredAt: string;
  readonly machine: string;
  readonly cores: number;
  /** Requests a second; the steps are multiples of it. */
  readonly capacity: number;
  readonly photos: string;
  readonly steps: readonly Step[];
  /** The first pass of half of the capacity, or else of the first step: no overload came before it. @default the first step */
  readonly before?: Step;
  /** Half of the capacity, two seconds after the last step; absent where no step had that load. */
  readonly after?: Step;
}

/** Up to this multiple every request is answered in time. */
const fullyServed = 1.6;
const inTimeShare = 0.999;
/** Share of the best goodput that remains beyond it: up to 5 times the capacity, and above. */
const keptShare = { upTo5: 0.9, beyond: 0.8 };
const answerP99Ms = 1000;
const refusalLimits = { p50: 50, p99: 300 };
const probeP99Ms = 50;
/** A generator that keeps its schedule sends this share of the requests on time. */
const onTimeShare = 0.99;
/** Share of the requests that a problem other than BUSY may refuse. */
const otherShare = 0.001;
/** Limits of the load after the overload, relative to the same load before it. */
const recovered = { p50: 1.25, p50Ms: 5, p99: 2, p99Ms: 50, lead: 0.02 };
/** Growth of a program's memory since the load before the overload. */
const grownMb = 128;

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const total = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);
const listed = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts)
    .map(([name, count]) => `${count} times ${name}`)
    .join(', ');

/** The limits that did not hold, one sentence each. */
export function failures({ steps, before = steps[0] as Step, after, cores }: Sweep): readonly string[] {
  const best = Math.max(...steps.map((step) => goodPerCpuSecond(step, cores)));
  return [
    ...steps.flatMap((step) => [
      ...kindFailures(step),
      ...(step.factor <= fullyServed ? servedFailures(step) : keptFailures(step, cores, best)),
      ...timeFailures(step),
      ...memoryFailures(step, before),
    ]),
    ...(after === undefined ? [] : recoveryFailures(before, after)),
  ];
}

/** The same for busy machines: only whether requests were answered, and the remaining share of the best goodput. */
export function ratioFailures({ steps, cores }: Sweep): readonly string[] {
  const best = Math.max(...steps.map((step) => goodPerCpuSecond(step, cores)));
  return steps.flatMap((step) => [
    ...brokenFailures(step),
    ...(step.factor <= fullyServed ? [] : goodputFailures(step, cores, best, keptShare.beyond)),
  ]);
}

/** A sentence where a limit does not hold. */
function unless(holds: boolean, limit: string, where: Step | string, value: string): string[] {
  const place = typeof where === 'string' ? where : `${where.factor} x capacity`;
  return holds ? [] : [`Expected ${limit} for ${place} but received ${value}`];
}

/** The same of a time; a limit holds where nothing was measured. */
function within(ms: number | null, mostMs: number, what: string, at: string, where: Step | string): string[] {
  const limit = `${what} within ${mostMs.toFixed(0)} ms at ${at}`;
  return unless(ms === null || ms <= mostMs, limit, where, `${ms?.toFixed(0)} ms`);
}

function brokenFailures({ broken, factor }: Step, where = `${factor} x capacity`): string[] {
  return unless(total(broken) === 0, '200 or a problem document as every answer', where, listed(broken));
}

/** A step counts only if the generator kept its schedule. */
function kindFailures(step: Step, where?: string): string[] {
  const share = step.onTime / step.offered;
  const limit = `${percent(onTimeShare)} of the requests sent on time`;
  return [...brokenFailures(step, where), ...unless(share >= onTimeShare, limit, where ?? step, percent(share))];
}

function servedFailures(step: Step): string[] {
  const share = step.good / step.offered;
  return unless(share >= inTimeShare, `${percent(inTimeShare)} answered within 1 s`, step, percent(share));
}

/** Relative to the best goodput or, where less than that was offered, to the offered load. */
function goodputFailures(step: Step, cores: number, best: number, least: number): string[] {
  const share = goodPerCpuSecond(step, cores) / Math.min(best, step.offered / cpuSecondsLeft(step, cores));
  return unless(share >= least, `${percent(least)} of the best goodput`, step, percent(share));
}

function keptFailures(step: Step, cores: number, best: number): string[] {
  const { factor, offered, problems, retryAfter, refusalMs } = step;
  return [
    ...goodputFailures(step, cores, best, factor <= 5 ? keptShare.upTo5 : keptShare.beyond),
    ...unless(total(problems) <= offered * otherShare, 'BUSY as the only refusal', step, listed(problems)),
    ...unless(!retryAfter.includes(''), 'Retry-After with every refusal', step, 'some without'),
    ...within(refusalMs.p50, refusalLimits.p50, 'refusals', 'the median', step),
    ...within(refusalMs.p99, refusalLimits.p99, 'refusals', 'p99', step),
  ];
}

function timeFailures(step: Step): string[] {
  const probes = Object.entries(step.probeMs).flatMap(([name, ms]) =>
    ms === null
      ? unless(false, `GET ${name} within ${probeP99Ms} ms at p99`, step, 'no answer')
      : within(ms, probeP99Ms, `GET ${name}`, 'p99', step),
  );
  return [...within(step.answerMs.p99, answerP99Ms, 'answers', 'p99', step), ...probes];
}

function memoryFailures(step: Step, before: Step): string[] {
  return Object.entries(step.mostMb).flatMap(([name, mb]) => {
    const more = mb - (before.mostMb[name] ?? mb);
    return unless(more <= grownMb, `at most ${grownMb} MB more of ${name}`, step, `${more.toFixed(0)} MB`);
  });
}

function recoveryFailures(before: Step, after: Step): string[] {
  const where = 'the load after the overload';
  const slower = (['p50', 'p99'] as const).flatMap((name) => {
    const mostMs = (before.answerMs[name] ?? 0) * recovered[name] + recovered[`${name}Ms`];
    return within(after.answerMs[name] ?? Number.POSITIVE_INFINITY, mostMs, 'answers', name, where);
  });
  const [share, least] = [after.by.lead / after.offered, before.by.lead / before.offered - recovered.lead];
  const lead = unless(share >= least, `${percent(least)} by the lead model`, where, percent(share));
  return [...kindFailures(after, where), ...slower, ...lead];
}
