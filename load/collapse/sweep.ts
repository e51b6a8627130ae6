import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { quantile } from '../report.ts';
import type { Fired, Traffic } from './generator.ts';
import type { Sweep } from './limits.ts';
import { type Step, summarize } from './step.ts';

/** A system under load. */
export interface Served {
  readonly origin: string;
  /** Addresses to probe during a step, by their name in the tables. */
  readonly probed: Readonly<Record<string, string>>;
  /** Starts to measure what its programs use. */
  watch(): { stop(): Used };
  /** Kills the function that is to be dead, once the capacity is known. */
  kill(): void;
  stop(): Promise<unknown>;
}

/** Processor seconds and highest memory in MB, by program. */
export interface Used {
  readonly cpuSeconds: Readonly<Record<string, number>>;
  readonly mostMb: Readonly<Record<string, number>>;
}

/** What all steps share. */
export interface Plan {
  readonly photos: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly capacity: number;
  readonly factors: readonly number[];
  /** Of each step, all passes together. */
  readonly seconds: number;
  /** Another model server, whose refusals need not be problem documents. */
  readonly isForeign: boolean;
}

const passes = 3;
/** Between two steps: the queues drain. */
const pauseMs = 4000;
const recoveryMs = 2000;
const recoverySeconds = 10;
const recoveryFactor = 0.5;
/** As in k6's capacity shape, the first answers do not count. */
const [warmUpSeconds, capacitySeconds] = [3, 10];

const generatorScript = fileURLToPath(new URL('./generator.js', import.meta.url));

/** The load generator, which runs in a process of its own. */
export interface Generator {
  fire(traffic: Traffic): Promise<Fired>;
  stop(): void;
}

export function startGenerator(signal: AbortSignal): Generator {
  const child: ChildProcess = fork(generatorScript, { serialization: 'advanced', detached: true });
  const gone = once(child, 'exit').then(() => Promise.reject(new Error('the load generator has ended')));
  gone.catch(() => {});
  const stop = () => child.connected && child.disconnect();
  signal.addEventListener('abort', stop);
  return {
    fire: async (traffic) => {
      child.send(traffic);
      const [fired] = (await Promise.race([once(child, 'message'), gone])) as [Fired];
      return fired;
    },
    stop,
  };
}

/** Answers a second of the lead model when it always has work: strict requests in a closed loop. */
export async function measureCapacity(
  { fire }: Generator,
  { origin }: Pick<Served, 'origin'>,
  { photos, clients }: { photos: readonly string[]; clients: number },
): Promise<number> {
  const headers = { prefer: 'handling=strict' };
  await fire({ origin, photos, headers, clients, seconds: warmUpSeconds });
  const { outcomes } = await fire({ origin, photos, headers, clients, seconds: capacitySeconds });
  const answers = outcomes.filter(({ verdict }) => verdict.kind === 'answer').length;
  if (answers < outcomes.length * 0.99)
    throw new Error(`Expected answers of the lead model but received ${answers} of ${outcomes.length}`);
  return answers / capacitySeconds;
}

/**
 * Offers each multiple of the capacity in turn, and all of them again in each pass: on a host whose speed varies, when a step came would
 * else decide which is best. At last half of it, to see whether the system has recovered.
 */
export async function sweep(
  generator: Generator,
  served: Served,
  plan: Plan,
  { say, signal }: { say: (text: string) => void; signal: AbortSignal },
): Promise<Pick<Sweep, 'steps' | 'before' | 'after'>> {
  const stretches = plan.factors.map((): Stretch[] => []);
  let endedMs = 0;
  for (const [i, factor] of Array.from({ length: passes }, () => [...plan.factors.entries()]).flat()) {
    if (endedMs > 0) await sleep(pauseMs, undefined, { signal });
    const seconds = plan.seconds / passes;
    endedMs = performance.now() + seconds * 1000;
    const stretch = await measure(generator, served, plan, { factor, seconds });
    const { offered, good } = summarize(stretch.outcomes, plan.isForeign);
    const perSecond = (count: number) => (count / seconds).toFixed(0);
    say(`${factor} x capacity: ${perSecond(good)} of ${perSecond(offered)} a second are 200 within 1 s`);
    stretches[i]?.push(stretch);
  }
  const steps = plan.factors.map((factor, i) => stepOf(factor, stretches[i] ?? [], plan.isForeign));
  const reference = Math.max(0, plan.factors.indexOf(recoveryFactor));
  const before = stepOf(plan.factors[reference] ?? 0, stretches[reference]?.slice(0, 1) ?? [], plan.isForeign);
  if (!plan.factors.includes(recoveryFactor)) return { steps, before };
  await sleep(Math.max(0, endedMs + recoveryMs - performance.now()), undefined, { signal });
  const recovery = await measure(generator, served, plan, { factor: recoveryFactor, seconds: recoverySeconds });
  return { steps, before, after: stepOf(recoveryFactor, [recovery], plan.isForeign) };
}

/** What came of a multiple of the capacity in one pass. */
interface Stretch extends Pick<Fired, 'outcomes' | 'probeMs'>, Used {
  readonly seconds: number;
  readonly loadCpuSeconds: number;
}

async function measure(
  { fire }: Generator,
  { origin, probed, watch }: Served,
  { photos, headers, capacity }: Plan,
  { factor, seconds }: { factor: number; seconds: number },
): Promise<Stretch> {
  const watching = watch();
  const before = process.cpuUsage();
  const own = sleep(seconds * 1000).then(() => process.cpuUsage(before));
  const traffic = { origin, photos, headers, perSecond: factor * capacity, seconds, probed };
  const fired = await fire(traffic).catch((fault) => {
    watching.stop(); // its timer would keep the process
    throw fault;
  });
  const { user, system } = await own;
  const { outcomes, cpuSeconds, probeMs } = fired;
  return { seconds, outcomes, probeMs, loadCpuSeconds: cpuSeconds + (user + system) / 1e6, ...watching.stop() };
}

/** All passes of a multiple of the capacity as one. */
function stepOf(factor: number, stretches: readonly Stretch[], isForeign: boolean): Step {
  const each = <Name extends keyof Stretch>(name: Name) => stretches.map((stretch) => stretch[name]);
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  const largest = (values: readonly number[]) => Math.max(...values);
  const p99 = (times: readonly (readonly number[] | null)[]) =>
    times.includes(null)
      ? null
      : quantile(
          times.flatMap((some) => some ?? []),
          0.99,
        );
  return {
    factor,
    seconds: sum(each('seconds')),
    ...summarize(each('outcomes').flat(), isForeign),
    loadCpuSeconds: sum(each('loadCpuSeconds')),
    cpuSeconds: joined(each('cpuSeconds'), sum),
    mostMb: joined(each('mostMb'), largest),
    probeMs: joined(each('probeMs'), p99),
  };
}

/** Of each name its values in all records that have it, made one: a program that dies is not in all. */
function joined<Value, One>(
  records: readonly Readonly<Record<string, Value>>[],
  join: (values: readonly Value[]) => One,
): Readonly<Record<string, One>> {
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))];
  const valuesOf = (name: string) => records.filter((record) => name in record).map((record) => record[name] as Value);
  return Object.fromEntries(names.map((name) => [name, join(valuesOf(name))]));
}
