/** What the ingress' stamps say about time: how long requests were under way, and how far its clock is from ours. */
export interface Skew {
  /**
   * Takes note of a stamp's age and gives the part of it that the request has spent.
   * @param nowMs any clock that goes on evenly
   */
  spentMs(ageMs: number, nowMs: number): number;
  /** The smallest age of the last minutes, in ms: the skew of the clocks and the shortest way between; undefined without any. */
  smallestAgeMs(nowMs: number): number | undefined;
}

/** The smallest age is kept for one such period and the one before: load that lasts shorter than that is not taken for skew. */
const periodMs = 5 * 60_000;
/** Fewer ages may all be of requests that waited, such as those that met a cold start. */
const fewestAges = 20;
/** Nodes that keep their time differ by milliseconds, and half a second is what the shortest deadlines can bear; more is reported only. */
const mostToleratedMs = 500;

/**
 * The age of a stamp is the time that was spent, and the skew of two clocks. Where the ingress' clock is behind, no request is ever
 * younger than the skew, so the smallest age of many is an upper bound of it: that much of each age is not counted as spent, up to half
 * a second. Where it is ahead, ages come out too small and patience too long by the skew, which costs no answer.
 */
export function createSkew(): Skew {
  let periods = [emptyPeriod(0), emptyPeriod(0)] as const;

  function turn(nowMs: number): void {
    const [current] = periods;
    if (nowMs - current.beganMs < periodMs) return;
    const isNext = nowMs - current.beganMs < 2 * periodMs;
    periods = [emptyPeriod(nowMs), isNext ? current : emptyPeriod(0)];
  }

  function smallest(): { ageMs: number; count: number } {
    const [current, previous] = periods;
    return { ageMs: Math.min(current.ageMs, previous.ageMs), count: current.count + previous.count };
  }

  return {
    spentMs(ageMs, nowMs) {
      turn(nowMs);
      const [current] = periods;
      current.ageMs = Math.min(current.ageMs, ageMs);
      current.count += 1;
      const { ageMs: least, count } = smallest();
      const isPlausible = count >= fewestAges && least <= mostToleratedMs;
      return Math.max(0, isPlausible ? ageMs - Math.max(0, least) : ageMs);
    },
    smallestAgeMs(nowMs) {
      turn(nowMs);
      const { ageMs, count } = smallest();
      return count > 0 ? ageMs : undefined;
    },
  };
}

function emptyPeriod(beganMs: number) {
  return { beganMs, ageMs: Number.POSITIVE_INFINITY, count: 0 };
}
