// Synchronous requests throughout; in a part of each round clients also order jobs:  npm run load -- jobs
import exec from 'k6/execution';
import http from 'k6/http';
import { Rate, Trend } from 'k6/metrics';
import type { Options, Scenario } from 'k6/options';
import { jobRounds, jobShare, planPhases, secondsOf } from './shapes.ts';
import { type SummaryData, summarize } from './summary.ts';
import { ask, common, post, scenariosOf, thresholdsOf, turn, verdictOn } from './traffic.ts';

const { TARGET = 'http://127.0.0.1:8080', CAPACITY, SECONDS, SUMMARY } = __ENV;

/** Each orders its next job when it has the result: while one job runs the next ones are accepted or wait, and no more pile up. */
const jobClients = 4;
/** Longer than an order and the wait for its end may take. */
const gracefulStop = '80s';

const phases = planPhases('jobs', {
  ...(CAPACITY && { capacity: Number(CAPACITY) }),
  ...(SECONDS && { seconds: Number(SECONDS) }),
});
const roundMs = (secondsOf(phases) * 1000) / jobRounds;

const accepted = new Rate('accepted');
const succeeded = new Rate('succeeded');
const orderMs = new Trend('order_ms', true);
const jobMs = new Trend('job_ms', true);
const runMs = new Trend('run_ms', true);

export const options: Options = {
  ...common,
  scenarios: { ...scenariosOf(phases), ...Object.fromEntries(Array.from({ length: jobRounds }, ordering)) },
  thresholds: { ...thresholdsOf(phases), accepted: ['rate==1'], succeeded: ['rate==1'] },
};

/** The clients that order jobs in a round. */
function ordering(_: unknown, round: number): [name: string, scenario: Scenario] {
  const startTime = `${Math.round((round + jobShare) * roundMs)}ms`;
  const duration = `${Math.round(jobShare * roundMs)}ms`;
  const clients = { executor: 'constant-vus', vus: jobClients, exec: 'order' } as const;
  return [`round_${round + 1}`, { ...clients, startTime, duration, gracefulStop }];
}

export default function request(): void {
  const share = ((Date.now() - exec.scenario.startTime) / roundMs) % 1;
  const side = share < jobShare ? 'without' : share < 2 * jobShare ? 'with' : 'after';
  ask(TARGET, turn(), { tags: { side } });
}

/** Orders a job and follows it to its result. */
export function order(): void {
  const key = `${exec.scenario.startTime}-${turn()}`;
  const { status, headers, timings } = post(TARGET, turn(), { prefer: 'respond-async', 'idempotency-key': key });
  accepted.add(status === 202);
  if (status !== 202) return;
  orderMs.add(timings.duration);
  const acceptedAt = Date.now();
  const job = `${TARGET}${headers.Location}`;
  http.get(job, { headers: { prefer: 'wait=30' } });
  jobMs.add(Date.now() - acceptedAt);
  const result = http.get(`${job}/result`, { responseType: 'text' }); // a problem where the job failed or has not ended
  const isAnswer = verdictOn(result).fault === undefined;
  succeeded.add(isAnswer);
  if (isAnswer) runMs.add(msOf(result.headers, 'decode') + msOf(result.headers, 'model'));
}

function msOf(headers: Readonly<Record<string, string>>, stage: string): number {
  return Number(new RegExp(`\\b${stage};dur=([\\d.]+)`).exec(headers['Server-Timing'] ?? '')?.[1]);
}

export function handleSummary(data: SummaryData): Record<string, string> {
  return summarize(data, SUMMARY);
}
