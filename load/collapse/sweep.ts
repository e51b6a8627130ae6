import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { quantile } from '../report.ts';
import type { Fired, Traffic } from './generator.ts';
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
  readonly seconds: number;
  /** Another model server, whose refusals need not be problem documents. */
  readonly isForeign: boolean;
}

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

/** Offers each multiple of the capacity in turn, and at last half of it again, to see whether the system has recovered. */
export async function sweep(
  generator: Generator,
  served: Served,
  plan: Plan,
  { say, signal }: { say: (text: string) => void; signal: AbortSignal },
): Promise<{ readonly steps: readonly Step[]; readonly after?: Step }> {
  const steps: Step[] = [];
  let endedMs = 0;
  for (const factor of plan.factors) {
    if (steps.length > 0) await sleep(pauseMs, undefined, { signal });
    endedMs = performance.now() + plan.seconds * 1000;
    const step = await measureStep(generator, served, plan, { factor, seconds: plan.seconds });
    say(
      `${factor} x capacity: ${(step.good / step.seconds).toFixed(0)} of ${(step.offered / step.seconds).toFixed(0)} a second are 200 within 1 s`,
    );
    steps.push(step);
  }
  if (!plan.factors.includes(recoveryFactor)) return { steps };
  await sleep(Math.max(0, endedMs + recoveryMs - performance.now()), undefined, { signal });
  const after = await measureStep(generator, served, plan, { factor: recoveryFactor, seconds: recoverySeconds });
  return { steps, after };
}

async function measureStep(
  { fire }: Generator,
  { origin, probed, watch }: Served,
  { photos, headers, capacity, isForeign }: Plan,
  { factor, seconds }: { factor: number; seconds: number },
): Promise<Step> {
  const watching = watch();
  const before = process.cpuUsage();
  const own = sleep(seconds * 1000).then(() => process.cpuUsage(before));
  const traffic = { origin, photos, headers, perSecond: factor * capacity, seconds, probed };
  const { outcomes, cpuSeconds, probeMs } = await fire(traffic);
  const { user, system } = await own;
  const used = watching.stop();
  return {
    factor,
    seconds,
    ...summarize(outcomes, isForeign),
    loadCpuSeconds: cpuSeconds + (user + system) / 1e6,
    ...used,
    probeMs: Object.fromEntries(Object.entries(probeMs).map(([name, times]) => [name, times && quantile(times, 0.99)])),
  };
}
