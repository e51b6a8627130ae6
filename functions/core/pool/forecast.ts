import type { Estimate } from './estimate.ts';

/** A pool at one moment, as far as it decides when a run that comes now would have ended. */
export interface Load {
  /** For each ready worker how long its run has taken so far; undefined for an idle one. */
  readonly ranMs: readonly (number | undefined)[];
  /** Runs that wait. */
  readonly waiting: number;
}

/** Milliseconds after which a run would have ended; Infinity without a ready worker. */
export interface Forecast {
  readonly meanMs: number;
  /** On the safe side: few runs take longer. */
  readonly highMs: number;
}

/** Of a run that came in `afterMs`. A run that has overstayed is expected to take as long again. */
export function forecast({ ranMs, waiting }: Load, estimate: Estimate, afterMs = 0): Forecast {
  if (ranMs.length === 0) return { meanMs: Number.POSITIVE_INFINITY, highMs: Number.POSITIVE_INFINITY };
  const [meanMs, highMs] = [estimate.meanMs(), estimate.highMs()];
  const remaining = ranMs.map((ran) => {
    if (ran === undefined) return 0;
    return ran <= highMs ? Math.max(0, meanMs - ran) : ran;
  });
  const { ms, before } = placeAfter(remaining, waiting, meanMs);
  const isIdle = waiting === 0 && ranMs.includes(undefined);
  const runs = before + (isIdle ? 1 : 2);
  // The deviations of independent runs add up by their squares.
  const spreadMs = (highMs - meanMs) * Math.sqrt(runs);
  const endMs = Math.max(afterMs, ms) + meanMs;
  return { meanMs: endMs, highMs: endMs + spreadMs };
}

/** Where a run comes in that waits for a worker. */
export interface Place {
  /** When its worker is free for it. */
  readonly ms: number;
  /** How many of those that wait run on that worker before it. */
  readonly before: number;
}

/**
 * Where a run would come in after `waiting` others of `runMs` each, in order and each on the worker that is free first. `freeMs`
 * tells when the workers, one at least, are free. What it costs does not depend on how many wait.
 */
export function placeAfter(freeMs: readonly number[], waiting: number, runMs: number): Place {
  const lines = freeMs.toSorted((one, other) => one - other);
  const [firstMs = 0] = lines;
  if (waiting === 0 || runMs <= 0) return { ms: firstMs, before: 0 };
  // Up to this level the workers would fill if runs could be split like water.
  let levelMs = Number.POSITIVE_INFINITY;
  let sumMs = 0;
  let filled = 0;
  for (const ms of lines) {
    if (ms >= levelMs) break;
    sumMs += ms;
    filled += 1;
    levelMs = (sumMs + waiting * runMs) / filled;
  }
  // Each of these workers has one turn within the last `runMs` below the level; the turns before that are all taken.
  const turns = lines.slice(0, filled).map((ms) => {
    const before = Math.floor((levelMs - ms) / runMs + rounding);
    return { ms: ms + before * runMs, before };
  });
  const taken = turns.reduce((sum, { before }) => sum + before, 0);
  return turns.toSorted((one, other) => one.ms - other.ms)[waiting - taken] as Place;
}

/** So that a level which is a whole number of runs away is not taken for one less. */
const rounding = 1e-6;
