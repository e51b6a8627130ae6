/** Tells a queue that stands from one that a burst has left: the first means overload, the second is gone in a moment. */
export interface Standing {
  /**
   * How long a model may be predicted to take for a request that comes now: its whole budget, or less while a queue stands.
   * @param isIdle whether the model would run it at once
   * @param meanMs what a run of the model takes
   */
  allowedMs(budgetMs: number, isIdle: boolean, meanMs: number): number;
}

/** A page of photos that came at once is answered by then, and so is the next one: that is no overload ... */
const standsAfterMs = 500;
/** ... but of a slow model a queue empties no sooner than after so many runs. */
const standsAfterRuns = 10;

/** So many runs may wait in a queue that stands: the workers are never out of work, and nobody waits for long. */
const shortRuns = 3;
/** Below that the scheduler's turns decide, not the queue. */
const shortestMs = 100;

/**
 * A queue stands when its model has not been idle at any arrival for half a second or ten of its runs (the idea of CoDel, RFC 8289:
 * not how long a queue is tells overload, but how long it has not been empty).
 * @param now milliseconds of a monotonic clock
 */
export function createStanding(now = () => performance.now()): Standing {
  let idleMs = now();
  return {
    allowedMs(budgetMs, isIdle, meanMs) {
      if (isIdle) idleMs = now();
      const stands = now() - idleMs > Math.max(standsAfterMs, standsAfterRuns * meanMs);
      return stands ? Math.min(budgetMs, Math.max(shortestMs, shortRuns * meanMs)) : budgetMs;
    },
  };
}
