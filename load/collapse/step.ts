import { quantile } from '../report.ts';
import type { Outcome } from './connections.ts';
import type { By } from './response.ts';

/** Result of one multiple of the capacity. */
export interface Step extends Counts {
  readonly factor: number;
  readonly seconds: number;
  /** Of the load generator and this process, while requests were sent. */
  readonly loadCpuSeconds: number;
  /** By program, until the last answer. */
  readonly cpuSeconds: Readonly<Record<string, number>>;
  readonly mostMb: Readonly<Record<string, number>>;
  /** 99th percentile by probe; null where a probe was not answered. */
  readonly probeMs: Readonly<Record<string, number | null>>;
}

export interface Counts {
  readonly offered: number;
  /** Requests that left within `onTimeMs` of their due time. */
  readonly onTime: number;
  readonly sent: number;
  /** 200s within a second of their due time. */
  readonly good: number;
  readonly late: number;
  readonly busy: number;
  /** Values of Retry-After of the refusals; empty text for an absent one. */
  readonly retryAfter: readonly string[];
  /** Problems other than BUSY, by code. */
  readonly problems: Readonly<Record<string, number>>;
  /** Neither 200 nor a problem document, by kind. */
  readonly broken: Readonly<Record<string, number>>;
  readonly by: Readonly<Record<By, number>>;
  readonly answerMs: Times;
  readonly refusalMs: Times;
}

/** Percentiles; null where there are no values. */
export interface Times {
  readonly p50: number | null;
  readonly p99: number | null;
}

/** A later answer counts as late. */
const goodMs = 1000;
const onTimeMs = 50;

/** Counts a step's outcomes. A foreign server may answer any status; its 429 and 503 count as BUSY. */
export function summarize(outcomes: readonly Outcome[], isForeign: boolean): Counts {
  const [problems, broken]: Record<string, number>[] = [{}, {}];
  const by = { lead: 0, standby: 0, fallback: 0 };
  const [answers, refusals]: number[][] = [[], []];
  const retryAfter = new Set<string>();
  const count = (counts: Record<string, number> = {}, name: string) => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  for (const { ms, verdict } of outcomes) {
    const isForeignStatus = isForeign && verdict.kind === 'broken' && verdict.status > 0;
    if (verdict.kind === 'answer') {
      by[verdict.by] += 1;
      answers?.push(ms);
    } else if (
      isForeignStatus ? [429, 503].includes(verdict.status) : verdict.kind === 'problem' && verdict.code === 'BUSY'
    ) {
      refusals?.push(ms);
      if (verdict.kind === 'problem') retryAfter.add(verdict.retryAfter ?? '');
    } else if (isForeignStatus) {
      count(problems, String(verdict.status));
    } else if (verdict.kind === 'problem') {
      count(problems, verdict.code);
    } else {
      count(broken, verdict.fault);
    }
  }
  const lateness = outcomes.map(({ lateMs }) => lateMs).filter((ms) => ms !== undefined);
  const good = answers?.filter((ms) => ms <= goodMs).length ?? 0;
  return {
    offered: outcomes.length,
    sent: lateness.length,
    onTime: lateness.filter((ms) => ms <= onTimeMs).length,
    good,
    late: (answers?.length ?? 0) - good,
    busy: refusals?.length ?? 0,
    retryAfter: [...retryAfter].sort(),
    problems: problems ?? {},
    broken: broken ?? {},
    by,
    answerMs: timesOf(answers ?? []),
    refusalMs: timesOf(refusals ?? []),
  };
}

function timesOf(values: readonly number[]): Times {
  const at = (share: number) => (values.length === 0 ? null : quantile(values, share));
  return { p50: at(0.5), p99: at(0.99) };
}

/** Good answers for each processor second that the load generator left. */
export function goodPerCpuSecond(step: Step, cores: number): number {
  return step.good / cpuSecondsLeft(step, cores);
}

export function cpuSecondsLeft({ seconds, loadCpuSeconds }: Step, cores: number): number {
  return cores * seconds - loadCpuSeconds;
}
