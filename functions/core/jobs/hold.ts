import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from './runner.ts';

/** Longer than the pauses of whoever brings a job, as long as it is not older than a few minutes: 25 s. */
export const holdMs = 30_000;

/** A run that another delivery has begun may end in the meantime. */
const shortestMs = 100;

/**
 * Runs a job; again and again where its deadline is so near that it might not be brought in time for another run.
 * @param signal aborted when the process ends
 */
export async function runInTime(run: () => Promise<Outcome>, signal: AbortSignal, now = Date.now): Promise<Outcome> {
  for (;;) {
    const outcome = await run();
    if (outcome.status !== 'later' || outcome.deadlineAt - now() > holdMs) return outcome;
    await sleep(Math.max(shortestMs, outcome.afterMs), undefined, { signal }).catch(() => {});
    if (signal.aborted) return outcome;
  }
}
