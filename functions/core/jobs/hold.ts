import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from './runner.ts';

/** Longer than any pause between two deliveries of a job that is at most a few minutes old: 25 s. */
export const holdMs = 30_000;

/** Half of what the Service takes at a time (containerConcurrency): the rest is left for other events. */
const mostHeld = 3;

/** A run that another delivery has begun may end in the meantime. */
const shortestMs = 100;

/** Runs a job; again and again where its deadline is so near that it might not be brought in time for another run, a few jobs at a time. */
export type RunInTime = (run: () => Promise<Outcome>) => Promise<Outcome>;

/** @param signal aborted when the process ends */
export function createHold(signal: AbortSignal, now = Date.now): RunInTime {
  let held = 0;
  return async (run) => {
    let outcome = await run();
    if (held >= mostHeld) return outcome;
    held += 1;
    try {
      while (outcome.status === 'later' && outcome.deadlineAt - now() <= holdMs) {
        await sleep(Math.max(shortestMs, outcome.afterMs), undefined, { signal }).catch(() => {});
        if (signal.aborted) return outcome;
        outcome = await run();
      }
      return outcome;
    } finally {
      held -= 1;
    }
  };
}
