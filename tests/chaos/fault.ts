import { setTimeout as sleep } from 'node:timers/promises';
import type { Driver } from './driver.ts';
import type { Photos } from './photos.ts';
import type { Allowance } from './row.ts';
import type { FunctionName, Stack } from './stack.ts';
import { signalProcess } from './stack.ts';

/** What a fault plays on. */
export interface Stage {
  readonly stack: Stack;
  readonly driver: Driver;
  readonly photos: Photos;
  /** Aborted when the run is ended early. */
  readonly signal: AbortSignal;
}

/** One thing that goes wrong while requests come in. */
export interface Fault {
  readonly name: string;
  /** What happens, in a sentence. */
  readonly does: string;
  readonly allows: Allowance;
  /** Configurations of nginx that meet the fault: each has a breaker that knows nothing of the others. @default 1 */
  readonly breakers?: number;
  /** Why it cannot happen on this machine. */
  readonly impossible?: () => string | undefined;
  /** Lets it happen and puts everything right again; the fault's end is when it settles. */
  readonly strike: (stage: Stage) => Promise<void>;
}

/** Waits, unless the run is ended. */
export async function pause({ signal }: Stage, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal });
}

/** Sends the usual: different photos, one of forty so large that nginx writes it to its disk. */
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

/** Stops the processes of functions for a time. */
export async function hang(stage: Stage, names: readonly FunctionName[], ms: number): Promise<void> {
  const pids = await Promise.all(names.map((name) => stage.stack.untilPid(name, stage.signal)));
  for (const pid of pids) signalProcess(pid, 'SIGSTOP');
  try {
    await pause(stage, ms);
  } finally {
    for (const pid of pids) signalProcess(pid, 'SIGCONT');
  }
}

/** Evaluates in the main thread of a function that runs. */
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

/** Waits until a function says that all its models can answer. */
export async function untilReady(stage: Stage, name: FunctionName): Promise<void> {
  while (!(await stage.stack.isReady(name))) await pause(stage, 50);
}
