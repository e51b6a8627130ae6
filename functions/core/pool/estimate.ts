/** A duration learned from its samples, in milliseconds. */
export interface Estimate {
  observe(ms: number): void;
  /** A guess that holds until the first sample, and is forgotten then. */
  presume(ms: number): void;
  /** Moving mean; 0 before the first sample. */
  meanMs(): number;
  /** What few samples exceed: the mean and four mean deviations; 0 before the first sample. */
  highMs(): number;
  /** Whether it has enough samples to have forgotten a first one that was ten times too long, as those after a start are. */
  isSettled(): boolean;
}

/** Then a first run of 150 ms has become a mean of 24 for runs of 5. */
const settledAfter = 16;

// TCP's estimate of a round trip, RFC 6298: it follows a change within about ten samples and forgives a single outlier.
const meanGain = 1 / 8;
const deviationGain = 1 / 4;
const deviations = 4;

/** Exponentially weighted mean and deviation, as TCP keeps them. */
export function createEstimate(): Estimate {
  let mean = 0;
  let deviation = 0;
  let samples = 0;
  return {
    presume(ms) {
      if (samples === 0) [mean, deviation] = [ms, ms / 2];
    },
    observe(ms) {
      if (samples === 0) [mean, deviation] = [ms, ms / 2];
      else {
        deviation += deviationGain * (Math.abs(mean - ms) - deviation);
        mean += meanGain * (ms - mean);
      }
      samples += 1;
    },
    meanMs: () => mean,
    highMs: () => mean + deviations * deviation,
    isSettled: () => samples >= settledAfter,
  };
}
