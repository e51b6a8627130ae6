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
/** Growth of a program's memory since the first step. */
const grownMb = 128;

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const total = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);
const listed = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts)
    .map(([name, count]) => `${count} times ${name}`)
    .join(', ');

/** The limits that did not hold, one sentence each. */
export function failures({ steps, after, cores }: Sweep): readonly string[] {
  const best = Math.max(...steps.map((step) => goodPerCpuSecond(step, cores)));
  const first = steps[0] as Step;
  return [
    ...steps.flatMap((step) => [
      ...kindFailures(step),
      ...(step.factor <= fullyServed ? servedFailures(step) : keptFailures(step, cores, best)),
      ...timeFailures(step),
      ...memoryFailures(step, first),
    ]),
    ...(after === undefined ? [] : recoveryFailures(steps, after)),
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

function sentence(limit: string, step: Step | string, value: string): string {
  const where = typeof step === 'string' ? step : `${step.factor} x capacity`;
  return `Expected ${limit} for ${where} but received ${value}`;
}

function brokenFailures(step: Step, where: Step | string = step): string[] {
  const { broken } = step;
  return total(broken) > 0 ? [sentence('200 or a problem document as every answer', where, listed(broken))] : [];
}

/** A step counts only if the generator kept its schedule. */
function kindFailures(step: Step, where: Step | string = step): string[] {
  const { offered, onTime } = step;
  const late = sentence(`${percent(onTimeShare)} of the requests sent on time`, where, percent(onTime / offered));
  return [...brokenFailures(step, where), ...(onTime < offered * onTimeShare ? [late] : [])];
}

function servedFailures(step: Step): string[] {
  const share = step.good / step.offered;
  return share < inTimeShare ? [sentence(`${percent(inTimeShare)} answered within 1 s`, step, percent(share))] : [];
}

/** Relative to the best goodput or, where less than that was offered, to the offered load. */
function goodputFailures(step: Step, cores: number, best: number, least: number): string[] {
  const share = goodPerCpuSecond(step, cores) / Math.min(best, step.offered / cpuSecondsLeft(step, cores));
  return share < least ? [sentence(`${percent(least)} of the best goodput`, step, percent(share))] : [];
}

function keptFailures(step: Step, cores: number, best: number): string[] {
  const { factor, offered, problems, retryAfter, refusalMs } = step;
  const { p50, p99 } = refusalMs;
  return [
    ...goodputFailures(step, cores, best, factor <= 5 ? keptShare.upTo5 : keptShare.beyond),
    ...(total(problems) > offered * otherShare ? [sentence('BUSY as the only refusal', step, listed(problems))] : []),
    ...(retryAfter.includes('') ? [sentence('Retry-After with every refusal', step, 'some without')] : []),
    ...(p50 !== null && p50 > refusalLimits.p50
      ? [sentence(`refusals within ${refusalLimits.p50} ms at the median`, step, `${p50.toFixed(0)} ms`)]
      : []),
    ...(p99 !== null && p99 > refusalLimits.p99
      ? [sentence(`refusals within ${refusalLimits.p99} ms at p99`, step, `${p99.toFixed(0)} ms`)]
      : []),
  ];
}

function timeFailures(step: Step): string[] {
  const { p99 } = step.answerMs;
  return [
    ...(p99 !== null && p99 > answerP99Ms
      ? [sentence(`answers within ${answerP99Ms} ms at p99`, step, `${p99.toFixed(0)} ms`)]
      : []),
    ...Object.entries(step.probeMs)
      .filter(([, ms]) => ms === null || ms > probeP99Ms)
      .map(([name, ms]) =>
        sentence(`GET ${name} within ${probeP99Ms} ms at p99`, step, ms === null ? 'no answer' : `${ms.toFixed(0)} ms`),
      ),
  ];
}

function memoryFailures(step: Step, first: Step): string[] {
  return Object.entries(step.mostMb)
    .map(([name, mb]) => [name, mb - (first.mostMb[name] ?? mb)] as const)
    .filter(([, more]) => more > grownMb)
    .map(([name, more]) => sentence(`at most ${grownMb} MB more of ${name}`, step, `${more.toFixed(0)} MB`));
}

function recoveryFailures(steps: readonly Step[], after: Step): string[] {
  const before = steps.find(({ factor }) => factor === after.factor) as Step;
  const where = 'the load after the overload';
  const lead = ({ by, offered }: Step) => by.lead / offered;
  const most = {
    p50: (before.answerMs.p50 ?? 0) * recovered.p50 + recovered.p50Ms,
    p99: (before.answerMs.p99 ?? 0) * recovered.p99 + recovered.p99Ms,
  };
  const slower = (['p50', 'p99'] as const)
    .map((name) => [name, after.answerMs[name] ?? Number.POSITIVE_INFINITY] as const)
    .filter(([name, ms]) => ms > most[name])
    .map(([name, ms]) =>
      sentence(`answers within ${most[name].toFixed(0)} ms at ${name}`, where, `${ms.toFixed(0)} ms`),
    );
  const least = lead(before) - recovered.lead;
  const less = sentence(`${percent(least)} by the lead model`, where, percent(lead(after)));
  return [...kindFailures(after, where), ...slower, ...(lead(after) < least ? [less] : [])];
}
