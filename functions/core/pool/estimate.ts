/** A duration learned from its samples, in milliseconds. */
export interface Estimate {
  observe(ms: number): void;
  /** A guess that holds until the first sample, and is forgotten then. */
  presume(ms: number): void;
  /** Moving mean; 0 before the first sample. */
  meanMs(): number;
  /** What few samples exceed: the mean and four mean deviations; 0 before the first sample. */
  highMs(): number;
}

// TCP's estimate of a round trip, RFC 6298: it follows a change within about ten samples and forgives a single outlier.
const meanGain = 1 / 8;
const deviationGain = 1 / 4;
const deviations = 4;

/** Exponentially weighted mean and deviation, as TCP keeps them. */
export function createEstimate(): Estimate {
  let mean = 0;
  let deviation = 0;
  let isFirst = true;
  return {
    presume(ms) {
      if (isFirst) [mean, deviation] = [ms, ms / 2];
    },
    observe(ms) {
      if (isFirst) [mean, deviation] = [ms, ms / 2];
      else {
        deviation += deviationGain * (Math.abs(mean - ms) - deviation);
        mean += meanGain * (ms - mean);
      }
      isFirst = false;
    },
    meanMs: () => mean,
    highMs: () => mean + deviations * deviation,
  };
}

/** Where a run comes in that waits for a line. */
export interface Place {
  /** When its line is free for it. */
  readonly ms: number;
  /** How many of those that wait are run on that line before it. */
  readonly before: number;
}

/**
 * Where a run would come in after `waiting` others of `runMs` each, in order and each on the line that is free first. `freeMs`
 * tells when the lines, one at least, are free. What it costs does not depend on how many wait.
 */
export function placeAfter(freeMs: readonly number[], waiting: number, runMs: number): Place {
  const lines = freeMs.toSorted((one, other) => one - other);
  const [firstMs = 0] = lines;
  if (waiting === 0 || runMs <= 0) return { ms: firstMs, before: 0 };
  // Up to this level the lines would fill if runs could be split like water.
  let levelMs = Number.POSITIVE_INFINITY;
  let sumMs = 0;
  let filled = 0;
  for (const ms of lines) {
    if (ms >= levelMs) break;
    sumMs += ms;
    filled += 1;
    levelMs = (sumMs + waiting * runMs) / filled;
  }
  // Each of these lines has one turn within the last `runMs` below the level; the turns before that are all taken.
  const turns = lines.slice(0, filled).map((ms) => {
    const before = Math.floor((levelMs - ms) / runMs + rounding);
    return { ms: ms + before * runMs, before };
  });
  const taken = turns.reduce((sum, { before }) => sum + before, 0);
  return turns.toSorted((one, other) => one.ms - other.ms)[waiting - taken] as Place;
}

/** So that a level which is a whole number of runs away is not taken for one less. */
const rounding = 1e-6;
