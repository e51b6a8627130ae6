import { setTimeout as sleep } from 'node:timers/promises';
import type { Driver } from './driver.ts';
import type { Photos } from './photos.ts';
import type { Allowance } from './row.ts';
import type { FunctionName, Stack } from './stack.ts';
import { signalProcess } from './stack.ts';

/** What a fault acts on. */
export interface Stage {
  readonly stack: Stack;
  readonly driver: Driver;
  readonly photos: Photos;
  /** Aborted when the run ends early. */
  readonly signal: AbortSignal;
}

/** One thing that goes wrong while requests come in. */
export interface Fault {
  readonly name: string;
  /** @default 'none' */
  readonly allows?: Allowance;
  /** Configurations of nginx that serve during the fault; each has a breaker of its own. @default 1 */
  readonly breakers?: number;
  /** Says what this machine lacks, if anything. */
  readonly impossible?: () => string | undefined;
  /** Causes the fault and repairs it; the fault ends when the promise settles. */
  readonly strike: (stage: Stage) => Promise<void>;
}

/** Waits. @throws when the run ends */
export async function pause({ signal }: Stage, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal });
}

/** Sends the usual photos, one of forty larger than the buffers of nginx for an upload in memory. */
export function sendUsual(
  { driver, photos }: Pick<Stage, 'driver' | 'photos'>,
  { largeEvery = 40, deadlineMs }: { readonly largeEvery?: number; readonly deadlineMs?: number } = {},
): void {
  driver.send((n) => {
    const calm = photos.calm[n % photos.calm.length] as (typeof photos.calm)[number];
    const photo = n % largeEvery === largeEvery - 1 ? photos.large : calm;
    return deadlineMs === undefined ? photo : { ...photo, deadlineMs };
  });
}

/** Stops functions by SIGSTOP for `ms`. */
export async function hang(stage: Stage, names: readonly FunctionName[], ms: number): Promise<void> {
  const pids = await Promise.all(names.map((name) => stage.stack.untilPid(name, stage.signal)));
  for (const pid of pids) signalProcess(pid, 'SIGSTOP');
  try {
    await pause(stage, ms);
  } finally {
    for (const pid of pids) signalProcess(pid, 'SIGCONT');
  }
}

/** Evaluates an expression in the main thread of a running function. */
export async function evaluate(stage: Stage, name: FunctionName, expression: string): Promise<void> {
  const inspector = await stage.stack.inspect(name, stage.signal);
  try {
    await inspector.evaluate(expression);
  } finally {
    inspector.close();
  }
}

/** Waits until a program is another process than `pid`. */
export async function untilReplaced(stage: Stage, name: 'primary' | 'fallback' | 'nginx', pid: number): Promise<void> {
  while ((stage.stack.pid(name) ?? pid) === pid) await pause(stage, 10);
}

/** Waits until `/readyz` of a function reports all models. */
export async function untilReady(stage: Stage, name: FunctionName): Promise<void> {
  while (!(await stage.stack.isReady(name))) await pause(stage, 50);
}
