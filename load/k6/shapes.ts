/** A stretch of open-loop traffic: requests arrive at a rate, whether or not earlier ones are answered. */
export interface Phase {
  /** Name of the k6 scenario. */
  readonly name: string;
  /** Requests a second at its start; the rate changes linearly to `toRate`. */
  readonly fromRate: number;
  readonly toRate: number;
  readonly seconds: number;
  /** Seconds of traffic that may be unanswered at once; sets the number of clients at the start. */
  readonly openSeconds: number;
  readonly limits: Limits;
}

/** Limits of a phase's answers. A non-answer is a failure in every phase. */
export interface Limits {
  /** Largest share of answers that the lead model did not give; absent where there is no limit. */
  readonly degraded?: number;
  /** Smallest share of requests that are answered in time. */
  readonly inTime?: number;
  readonly p95Ms?: number;
  readonly p99Ms?: number;
}

/** Parameters of a shape. */
export interface Asked {
  /** Requests a second that the lead model can answer. */
  readonly capacity?: number;
  /** Requests a second of the shapes that do not depend on the capacity. */
  readonly rate?: number;
  /** Length of the whole shape; its phases keep their proportions. */
  readonly seconds?: number;
  /** Multiples of the capacity; overload only. */
  readonly factors?: readonly number[];
  /** What counts as in time. @default 1000 */
  readonly inTimeMs?: number;
}

/** The default of PRIMARY_BUDGET_MS for photos; a later answer counts as late. */
export const inTimeMs = 1000;

/** Start of the request ids of k6 in the logs of the service. */
export const requestIdPrefix = 'k6-';

/** The same with times in multiples of what is in time. */
type Bounds = Omit<Limits, 'p95Ms' | 'p99Ms'> & { readonly p95?: number; readonly p99?: number };

/** Below capacity: a queue that takes half the budget is growing. */
const calm: Bounds = { degraded: 0.01, inTime: 0.999, p95: 0.5, p99: 1 };
/** Beyond capacity: answers may lose accuracy, but not time. */
const crowded: Bounds = { inTime: 0.999, p99: 1 };

/** Requests a second: far below what one core can classify. */
const smokeRate = 2;
const failoverRate = 20;

interface Part {
  readonly name: string;
  /** Multiple of the base rate. */
  readonly from: number;
  readonly to?: number;
  readonly seconds: number;
  readonly openSeconds?: number;
  readonly limits: Bounds;
}

interface Shape {
  /** Base rate of the parts; the measured capacity by default. */
  readonly rate?: number;
  readonly parts: readonly Part[];
}

const shapes: Readonly<Record<string, Shape>> = {
  // For busy machines: within the client's deadline, and half of the answers undegraded.
  smoke: { rate: smokeRate, parts: [{ name: 'smoke', from: 1, seconds: 15, limits: { degraded: 0.5, p99: 5 } }] },
  average: { parts: [{ name: 'average', from: 0.5, seconds: 60, limits: calm }] },
  stress: {
    parts: [
      { name: 'up', from: 0.5, to: 1.5, seconds: 60, limits: crowded },
      { name: 'hold', from: 1.5, seconds: 30, limits: crowded },
      { name: 'down', from: 1.5, to: 0.5, seconds: 30, limits: crowded },
      { name: 'after', from: 0.5, seconds: 20, limits: calm },
    ],
  },
  spike: {
    parts: [
      { name: 'before', from: 0.3, seconds: 20, limits: calm },
      { name: 'spike', from: 3, seconds: 10, limits: crowded },
      { name: 'settle', from: 0.3, seconds: 5, limits: crowded }, // the queue of the spike drains
      { name: 'after', from: 0.3, seconds: 25, limits: calm },
    ],
  },
  soak: { parts: [{ name: 'soak', from: 0.8, seconds: 1200, limits: { ...calm, degraded: 0.05 } }] },
  // The fault comes half-way, lasts a sixth of the whole at most, and ends a sixth before `recovered` begins.
  failover: {
    rate: failoverRate,
    parts: [
      { name: 'calm', from: 1, seconds: 28, limits: calm },
      { name: 'fault', from: 1, seconds: 22, openSeconds: 10, limits: {} }, // nginx waits 8 s for a stopped primary
      { name: 'recovered', from: 1, seconds: 10, limits: calm },
    ],
  },
  // Judged in its rounds.
  jobs: { parts: [{ name: 'jobs', from: 0.2, seconds: 60, limits: {} }] },
};

/** Of the shape `jobs`: short beside what else changes on a busy machine. */
export const jobRounds = 6;
/** Of a round: without jobs, then as long beside jobs; what these leave behind ends in the rest. */
export const jobShare = 0.45;

const overloadFactors = [0.5, 1, 2, 3];
const overloadSeconds = 60;

/** The shapes of `classify.ts`. */
export const shapeNames = ['smoke', 'average', 'stress', 'spike', 'soak', 'jobs', 'overload'] as const;

/** Whether the shape's rates are multiples of the capacity. */
export function needsCapacity(name: string): boolean {
  return shapeOf(name, {}).rate === undefined;
}

/** The phases of a shape, in order. @throws Error where the shape or the capacity it needs is unknown */
export function planPhases(name: string, asked: Asked = {}): readonly Phase[] {
  const { rate: ownRate, parts } = shapeOf(name, asked);
  const base = ownRate === undefined ? asked.capacity : (asked.rate ?? ownRate);
  if (base === undefined || !(base > 0)) throw new Error(`Expected a rate above 0 for CAPACITY but received ${base}`);
  const wholeSeconds = parts.reduce((sum, { seconds }) => sum + seconds, 0);
  const stretch = (asked.seconds ?? wholeSeconds) / wholeSeconds;
  return parts.map(({ name, from, to = from, seconds, openSeconds = 1, limits }) => ({
    name,
    fromRate: from * base,
    toRate: to * base,
    seconds: seconds * stretch,
    openSeconds,
    limits: limitsOf(limits, asked.inTimeMs ?? inTimeMs),
  }));
}

function limitsOf({ p95, p99, ...shares }: Bounds, inTimeMs: number): Limits {
  return {
    ...shares,
    ...(p95 !== undefined && { p95Ms: p95 * inTimeMs }),
    ...(p99 !== undefined && { p99Ms: p99 * inTimeMs }),
  };
}

/** Seconds that the phases last together. */
export function secondsOf(phases: readonly Phase[]): number {
  return phases.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** Requests of all phases together. */
export function requestsOf(phases: readonly Phase[]): number {
  return phases.reduce((sum, { fromRate, toRate, seconds }) => sum + ((fromRate + toRate) / 2) * seconds, 0);
}

function shapeOf(name: string, { factors = overloadFactors }: Asked): Shape {
  if (name === 'overload') return { parts: factors.map(overloadPart) };
  const shape = shapes[name];
  if (shape === undefined) {
    throw new Error(`Expected one of ${shapeNames.join(', ')} for SHAPE but received ${JSON.stringify(name)}`);
  }
  return shape;
}

/** At half capacity no answer is degraded; at capacity and beyond only time is limited. */
function overloadPart(factor: number): Part {
  const limits: Bounds = factor <= 0.5 ? { ...calm, degraded: 0 } : crowded;
  return { name: `x${String(factor).replace('.', '_')}`, from: factor, seconds: overloadSeconds, limits };
}
