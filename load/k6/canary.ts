// k6 run -e BASELINE=http://127.0.0.1:8080 -e CANDIDATE=http://127.0.0.1:8081 load/k6/canary.ts
import { Counter, Gauge, Rate, Trend } from 'k6/metrics';
import type { Options } from 'k6/options';
import { type SummaryData, summarize } from './summary.ts';
import { asHost, ask, common, turn } from './traffic.ts';

const { BASELINE, BASELINE_HOST, BASELINE_REVISION } = __ENV;
const { CANDIDATE, CANDIDATE_HOST, CANDIDATE_REVISION, SECONDS = '30', SUMMARY } = __ENV;
if (!BASELINE || !CANDIDATE) throw new Error('Expected two addresses for BASELINE and CANDIDATE but received fewer');

const sides = [
  ['baseline', BASELINE, asHost(BASELINE_HOST), BASELINE_REVISION],
  ['candidate', CANDIDATE, asHost(CANDIDATE_HOST), CANDIDATE_REVISION],
] as const;

/** Pairs that both lead models answered; with fewer of them a 95th percentile is one request. */
const fewestPairs = 40;

const p95Ratio = new Gauge('p95_ratio');
const degradedMore = new Trend('degraded_more');
const agrees = new Rate('top1_agrees');
const pairs = new Counter('pairs');

export const options: Options = {
  ...common,
  // One client: the two sides never compete for cores.
  scenarios: { canary: { executor: 'constant-vus', vus: 1, duration: `${SECONDS}s`, gracefulStop: '100s' } },
  thresholds: {
    'answered{side:baseline}': ['rate==1'], // else there is nothing to compare with
    'answered{side:candidate}': ['rate==1'],
    ...(BASELINE_REVISION && { 'own_revision{side:baseline}': ['rate==1'] }),
    ...(CANDIDATE_REVISION && { 'own_revision{side:candidate}': ['rate==1'] }),
    p95_ratio: ['value<=1.25'],
    degraded_more: ['avg<=0.02'],
    top1_agrees: ['rate>=0.95'], // of three photos, one with another class is too many
    pairs: [`count>=${fewestPairs}`],
  },
  summaryTrendStats: ['count', 'avg', 'med', 'p(95)', 'p(99)', 'max'],
};

const times: Record<(typeof sides)[number][0], number[]> = { baseline: [], candidate: [] };

export default function compare(): void {
  const number = turn();
  // The second request finds warmer caches, so the sides take turns.
  const inTurn = number % 2 === 0 ? sides : sides.toReversed();
  const answers = Object.fromEntries(
    inTurn.map(([side, origin, headers, revision]) => [
      side,
      ask(origin, number, { headers, tags: { side }, revision }),
    ]),
  );
  const { baseline, candidate } = answers;
  if (baseline?.verdict.fault !== undefined || candidate?.verdict.fault !== undefined) return;
  if (baseline === undefined || candidate === undefined) return;
  const [before, after] = [baseline.verdict, candidate.verdict];
  degradedMore.add(Number(after.reason !== '') - Number(before.reason !== ''));
  if (before.reason !== '' || after.reason !== '') return;
  agrees.add(before.top === after.top);
  pairs.add(1);
  times.baseline.push(baseline.ms);
  times.candidate.push(candidate.ms);
  if (times.baseline.length >= fewestPairs) p95Ratio.add(p95(times.candidate) / p95(times.baseline));
}

function p95(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length * 0.95)] ?? Number.NaN;
}

export function handleSummary(data: SummaryData): Record<string, string> {
  return summarize(data, SUMMARY);
}
