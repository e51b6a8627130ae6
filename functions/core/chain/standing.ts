import type { ServedModel } from './place.ts';

/** Tells a queue that stands from one that a burst has left: the first means overload, the second is gone in a moment. */
export interface Standing {
  /**
   * How long the lead model may be predicted to take for a request that comes now: its whole budget, less while a queue stands before
   * it, and 0 while one stands before the standby model as well, which then needs every core.
   */
  allowedMs(budgetMs: number, lead: Lane, standby: Lane): number;
}

/** A model at one moment, as far as it tells whether a queue stands before it. */
interface Lane {
  /** Whether it would run a request at once. */
  readonly isIdle: boolean;
  /** What a run takes. */
  readonly meanMs: number;
}

export function laneOf({ pool }: Pick<ServedModel, 'pool'>): Lane {
  return { isIdle: pool.isIdle(), meanMs: pool.meanMs() };
}

/**
 * A burst has come by then, and what has come keeps its budget: only what comes later finds a queue that stands. After 200 ms so much
 * has come at 1.6 times the capacity that it holds all places at the ingress while the standby model takes over ...
 */
const standsAfterMs = 100;
/** ... but before a slow model some runs wait at any load. */
const standsAfterRuns = 5;

/** So many runs may wait in a queue that stands: the workers stay busy, and waits stay short. */
const shortRuns = 3;
/** Below that the scheduler's turns decide, not the queue. */
const shortestMs = 100;

/**
 * A queue stands when its model has not been idle at any arrival for 100 ms or five of its runs (the idea of CoDel, RFC 8289:
 * not how long a queue is tells overload, but how long it has not been empty).
 * @param now milliseconds of a monotonic clock
 */
export function createStanding(now = () => performance.now()): Standing {
  const idleMs = { lead: now(), standby: now() };
  const stands = (lane: keyof typeof idleMs, { isIdle, meanMs }: Lane) => {
    if (isIdle) idleMs[lane] = now();
    return now() - idleMs[lane] > Math.max(standsAfterMs, standsAfterRuns * meanMs);
  };
  return {
    allowedMs(budgetMs, lead, standby) {
      const [leadStands, standbyStands] = [stands('lead', lead), stands('standby', standby)];
      if (standbyStands) return 0;
      return leadStands ? Math.min(budgetMs, Math.max(shortestMs, shortRuns * lead.meanMs)) : budgetMs;
    },
  };
}
