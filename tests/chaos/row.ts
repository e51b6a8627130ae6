import { readAttempts } from '../../functions/edge/visit.ts';
import { isPrimary, type Outcome } from './driver.ts';

/** Which non-answers a fault excuses. */
export type Allowance = keyof typeof excuses;

const excuses = {
  none: () => false,
  /** While no tier is alive. */
  problems: ({ kind }) => kind === 'problem',
  /** While nginx is down. */
  cuts: ({ kind }) => kind === 'cut',
} as const satisfies Readonly<Record<string, (outcome: Outcome) => boolean>>;

/** The used part of a line of nginx' access log. */
export interface AccessLine {
  readonly requestId: string;
  /** Every attempt in order, separated by commas: sockets, statuses, seconds. */
  readonly tiers: string;
  readonly answers: string;
  readonly times: string;
}

/** Moments on the clock of `performance.now()`. */
export interface Times {
  readonly fromMs: number;
  /** The fault is over. */
  readonly endedMs: number;
  /** `/readyz` of the primary reported its Wide ResNet; undefined if it never did. */
  readonly readyMs: number | undefined;
  /** The first answer of the Wide ResNet at the front door; undefined where none came. */
  readonly recoveredMs: number | undefined;
  readonly toMs: number;
}

/** What clients received from a quiet second before a fault to a quiet second after it. */
export interface Row {
  readonly fault: string;
  readonly allows: Allowance;
  readonly requests: number;
  /** All but right 200s. */
  readonly nonAnswers: number;
  /** Of them: 503 problems, and connections that were refused or reset. */
  readonly problems: number;
  readonly cuts: number;
  /** Share of the answers that the Wide ResNet did not give. */
  readonly degradedShare: number;
  /** Longest time in which no answer came, row's ends included. */
  readonly worstGapMs: number;
  /** Of the answers, from the moment when each request was due. */
  readonly p99Ms: number;
  /** From the fault's end to the first answer of the Wide ResNet; undefined where nothing was degraded. */
  readonly recoveryMs: number | undefined;
  /** The same from the moment when the primary was ready: the ingress' part. */
  readonly returnMs: number | undefined;
  /** See `failuresBeforeSkip`; undefined where nothing failed. */
  readonly failuresBeforeSkip: number | undefined;
  /** Why the row fails; empty when it passes. */
  readonly faults: readonly string[];
}

/** Three failures open the breaker (max_fails). */
const mostFailures = 3;

/** How long nginx remembers failures, and skips the primary (fail_timeout). */
const memoryMs = 5000;

/** Longest time from the primary's readiness to its first answer. */
const mostReturnMs = 10_000;

/** Sums up and judges one fault. */
export function summarize(
  fault: { readonly name: string; readonly allows?: Allowance; readonly breakers?: number },
  outcomes: readonly Outcome[],
  lines: ReadonlyMap<string, AccessLine>,
  times: Times,
): Row {
  const { allows = 'none' } = fault;
  const answers = outcomes.filter(({ kind }) => kind === 'answer');
  const others = outcomes.filter(({ kind }) => kind !== 'answer');
  const degraded = answers.filter((outcome) => !isPrimary(outcome));
  const isAway = degraded.length > 0;
  const waits = answers.map(({ dueMs, endedMs }) => endedMs - dueMs).sort((one, other) => one - other);
  const ends = answers.map(({ endedMs }) => endedMs).filter((endedMs) => endedMs < times.toMs);
  const row = {
    fault: fault.name,
    allows,
    requests: outcomes.length,
    nonAnswers: others.length,
    problems: others.filter(({ kind }) => kind === 'problem').length,
    cuts: others.filter(({ kind }) => kind === 'cut').length,
    degradedShare: degraded.length / Math.max(1, answers.length),
    worstGapMs: longestGap([times.fromMs, ...ends, times.toMs]),
    p99Ms: waits[Math.ceil(waits.length * 0.99) - 1] ?? Number.POSITIVE_INFINITY,
    recoveryMs: isAway && times.recoveredMs !== undefined ? times.recoveredMs - times.endedMs : undefined,
    returnMs:
      isAway && times.recoveredMs !== undefined && times.readyMs !== undefined
        ? Math.max(0, times.recoveredMs - times.readyMs)
        : undefined,
    failuresBeforeSkip: failuresBeforeSkip(outcomes, lines),
  };
  const unexcused = others.filter((outcome) => !excuses[allows](outcome));
  const faults = [
    ...(unexcused.length === 0 ? [] : [`${unexcused.length} without an answer, such as ${tell(unexcused[0], lines)}`]),
    ...(answers.length === 0 ? ['no answer at all'] : []),
    ...(times.recoveredMs === undefined ? ['the Wide ResNet did not come back'] : []),
    ...((row.returnMs ?? 0) > mostReturnMs
      ? [`the primary was ready ${seconds(row.returnMs)} before it was asked`]
      : []),
    ...((row.failuresBeforeSkip ?? 0) > mostFailures * (fault.breakers ?? 1)
      ? [`${row.failuresBeforeSkip} failures before the first skip`]
      : []),
  ];
  return { ...row, faults };
}

function tell(outcome: Outcome | undefined, lines: ReadonlyMap<string, AccessLine>): string {
  if (outcome === undefined) return '';
  const line = lines.get(outcome.requestId);
  const asked = line === undefined ? 'not in the access log' : `asked ${line.tiers}: ${line.answers}: ${line.times}`;
  return `${outcome.requestId} (${outcome.photo}): ${outcome.kind}, ${outcome.detail}; ${asked}`;
}

function seconds(ms: number | undefined): string {
  return `${((ms ?? 0) / 1000).toFixed(1)} s`;
}

function longestGap(moments: readonly number[]): number {
  const sorted = moments.toSorted((one, other) => one - other);
  return sorted.reduce((longest, moment, i) => Math.max(longest, moment - (sorted[i - 1] ?? moment)), 0);
}

/**
 * The most failures that nginx knew within its 5 s when it asked a failing primary again, that failure included; the breaker
 * allows 3. nginx knows a failure, at the latest, at the answer's end less the second tier's time. Requests that were on
 * their way to the primary by then do not count.
 */
export function failuresBeforeSkip(
  outcomes: readonly Outcome[],
  lines: ReadonlyMap<string, AccessLine>,
): number | undefined {
  const failures = outcomes.flatMap(({ requestId, dueMs, endedMs }) => {
    const line = lines.get(requestId);
    const [first, second] = line === undefined ? [] : readAttempts(line.tiers, line.answers, line.times);
    if (first?.way !== 'primary') return [];
    if (![500, 502, 503, 504].includes(first.status)) return []; // 404: the primary is full, which is no failure
    return [{ begunMs: dueMs, knownMs: endedMs - (second?.ms ?? 0) }];
  });
  if (failures.length === 0) return undefined;
  return Math.max(
    ...failures.map(
      ({ begunMs }) => 1 + failures.filter(({ knownMs }) => knownMs < begunMs && knownMs > begunMs - memoryMs).length,
    ),
  );
}
