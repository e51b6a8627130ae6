import { jobShare } from './k6/shapes.ts';
import type { SummaryData } from './k6/summary.ts';
import { quantile, table } from './report.ts';
import type { Sample } from './samples.ts';

/** With k6's names. The 99th is three answers of three hundred: it is shown and not judged. */
const percentiles = [
  { share: 0.5, name: 'med', isJudged: true },
  { share: 0.95, name: 'p(95)', isJudged: true },
  { share: 0.99, name: 'p(99)', isJudged: false },
] as const;
const mostDegradedMore = 0.01;

/**
 * Judges synchronous answers beside jobs by those without: later by one run at most, and degraded a point more often at most. One run
 * is decode and model of a job, at the same percentile, since neither can be interrupted.
 */
export function judgeDelays(samples: readonly Sample[], { metrics }: SummaryData, seconds: number) {
  const onSide = (name: string) => samples.filter(({ side }) => side === name);
  const [without, beside] = [onSide('without'), onSide('with')];
  const ofJobs = (metric: string) => metrics[metric]?.values ?? {};
  const laterMs = percentiles.map(({ share }) => msAt(beside, share) - msAt(without, share));
  const degradedMore = degradedShare(beside) - degradedShare(without);
  // NaN, of a side without answers, is within no limit.
  const areInTime = percentiles.every(
    ({ name, isJudged }, index) => !isJudged || Number(laterMs[index]) <= Number(ofJobs('run_ms')[name]),
  );
  const jobs = ofJobs('run_ms').count ?? 0;
  const isOver = !(jobs > 0 && areInTime && degradedMore <= mostDegradedMore);
  const jobRow = (text: string, metric: string) => {
    const { count = 0, ...values } = ofJobs(metric);
    return [text, String(count), '', ...percentiles.map(({ name }) => toText(values[name]))];
  };
  const rows = [
    answerRow('answers without jobs', without),
    answerRow('answers with jobs', beside),
    ['later by', '', `${(degradedMore * 100).toFixed(2)} points`, ...laterMs.map(toText)],
    jobRow('one run of a job', 'run_ms'),
    jobRow('order to 202', 'order_ms'),
    jobRow('202 to result', 'job_ms'),
  ];
  const jobsASecond = jobs / (seconds * jobShare);
  const verdict = isOver ? 'later by more than one run at p50 or p95, or degraded more often,' : 'in time';
  return {
    isOver,
    text: `${table(['ms', 'number', 'degraded', 'p50', 'p95', 'p99'], rows)}
${jobsASecond.toFixed(1)} jobs a second. Synchronous answers were ${verdict} beside them.\n`,
  };
}

function answerRow(text: string, samples: readonly Sample[]): string[] {
  const times = percentiles.map(({ share }) => toText(msAt(samples, share)));
  return [text, String(samples.length), `${(degradedShare(samples) * 100).toFixed(2)} %`, ...times];
}

function msAt(samples: readonly Sample[], share: number): number {
  return quantile(
    samples.map(({ ms }) => ms),
    share,
  );
}

function degradedShare(samples: readonly Sample[]): number {
  return samples.filter(({ reason }) => reason !== '').length / samples.length;
}

function toText(ms = Number.NaN): string {
  return ms.toFixed(1);
}
