import exec from 'k6/execution';
import http, { type RefinedResponse } from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';
import type { Options, Scenario } from 'k6/options';
import { judge, judgeForeign, type Verdict } from './answer.ts';
import { type Phase, requestIdPrefix, requestsOf } from './shapes.ts';
import { taskOf } from './tasks.ts';

const { FOREIGN, DEADLINE_MS, TASK = 'classify', UPLOAD } = __ENV;

export const task = taskOf(TASK);

/** Above what the ingress grants both tiers together (38 s). */
const timeout = '45s';
/** Above that time-out, so that k6 interrupts no request. */
const gracefulStop = '50s';
/** Share of the requests that k6 may fail to send in time; with more it was no open loop. */
const droppedShare = 0.01;
/** Seconds of traffic that may be unanswered at once; the default deadlines are 5 times what is in time. */
const mostOpenSeconds = 6;

const paths = UPLOAD ? [UPLOAD] : task.files.map((file) => `../../tests/images/${file}`);
const uploads = paths.map((path) => open(path, 'b'));

const latency = new Trend('latency', true);
const answered = new Rate('answered');
const inTime = new Rate('in_time');
const degraded = new Rate('degraded');
const nonAnswers = new Counter('non_answers');
const ownRevision = new Rate('own_revision');

/** Options of every script; fewer tags make k6 cheaper. */
export const common: Options = {
  systemTags: ['scenario', 'status'],
  summaryTrendStats: ['count', 'med', 'p(95)', 'p(99)', 'max'],
  userAgent: 'understudy-load',
};

export interface Asking {
  readonly headers?: Record<string, string>;
  readonly tags?: Record<string, string>;
  /** Knative revision that has to answer. */
  readonly revision?: string | undefined;
}

/** Posts one upload. */
export function post(origin: string, turn: number, headers: Record<string, string>): RefinedResponse<'text'> {
  const upload = uploads[turn % uploads.length] as ArrayBuffer;
  const { path, contentType, files } = task;
  // Every fourth is a form, as curl and browsers send it; three photos and four turns have no common divisor.
  const isForm = Boolean(FOREIGN) || turn % 4 === 0;
  const sent = isForm ? { image: http.file(upload, files[0], contentType) } : upload;
  const type = isForm ? {} : { 'content-type': contentType };
  return http.post(`${origin}${path}`, sent, {
    headers: { ...type, 'x-request-id': `${requestIdPrefix}${exec.scenario.name}-${turn}`, ...headers },
    timeout,
    responseType: 'text',
  });
}

/** The same, counts the result, and returns it with its time in ms. */
export function ask(
  origin: string,
  turn: number,
  { headers = {}, tags = {}, revision }: Asking = {},
): { readonly verdict: Verdict; readonly ms: number } {
  const deadline = DEADLINE_MS ? { 'x-deadline-ms': DEADLINE_MS } : {};
  const response = post(origin, turn, { ...deadline, ...headers });
  const verdict = verdictOn(response);
  const ms = response.timings.duration;
  count(response.status, verdict, ms, tags);
  if (revision && verdict.fault === undefined) ownRevision.add(response.headers['X-Revision'] === revision, tags);
  return { verdict, ms };
}

/** What a response is, as an answer of the task. */
export function verdictOn({ status, headers, body }: RefinedResponse<'text'>): Verdict {
  const received = { status, headers, body: body ?? '' };
  return FOREIGN ? judgeForeign(received) : judge(received, task.judgeContent);
}

/** Host header for an address that is a gateway. */
export function asHost(host: string | undefined): Record<string, string> {
  return host ? { host } : {};
}

function count(status: number, verdict: Verdict, ms: number, tags: Record<string, string>): void {
  const isAnswer = verdict.fault === undefined;
  answered.add(isAnswer, tags);
  inTime.add(isAnswer && ms <= task.inTimeMs, tags);
  if (isAnswer) {
    const { tier, model, version, reason } = verdict;
    degraded.add(reason !== '', tags);
    latency.add(ms, { ...tags, status: String(status), tier, model, version, reason });
  } else {
    nonAnswers.add(1, { ...tags, fault: verdict.fault });
    latency.add(ms, { ...tags, status: String(status), fault: verdict.fault });
  }
}

/** Number of the iteration in its scenario; selects the upload. */
export function turn(): number {
  return exec.scenario.iterationInTest;
}

/** One k6 scenario a phase, one after the other, each an open loop. */
export function scenariosOf(phases: readonly Phase[]): Record<string, Scenario> {
  let startSeconds = 0;
  const scenarios: Record<string, Scenario> = {};
  for (const { name, fromRate, toRate, seconds, openSeconds } of phases) {
    const rate = Math.max(fromRate, toRate);
    const shared = {
      timeUnit: '1m', // k6 takes whole numbers: a minute makes the rate exact to a sixtieth
      startTime: `${Math.round(startSeconds * 1000)}ms`,
      gracefulStop,
      preAllocatedVUs: Math.ceil(rate * openSeconds) + 5,
      maxVUs: Math.ceil(rate * Math.max(openSeconds, mostOpenSeconds)) + 10,
    };
    const duration = `${Math.round(seconds * 1000)}ms`;
    const perMinute = (perSecond: number) => Math.max(1, Math.round(perSecond * 60));
    scenarios[name] =
      fromRate === toRate
        ? { executor: 'constant-arrival-rate', ...shared, rate: perMinute(rate), duration }
        : {
            executor: 'ramping-arrival-rate',
            ...shared,
            startRate: perMinute(fromRate),
            stages: [{ target: perMinute(toRate), duration }],
          };
    startSeconds += seconds;
  }
  return scenarios;
}

/** Thresholds of k6 for the phases. */
export function thresholdsOf(phases: readonly Phase[]): Record<string, string[]> {
  const requests = requestsOf(phases);
  const thresholds: Record<string, string[]> = {
    non_answers: ['count==0'],
    answered: ['rate==1'],
    dropped_iterations: [`count<=${Math.ceil(requests * droppedShare)}`],
    // A threshold on a metric without samples holds, so the number of requests is one, too.
    iterations: [`count>=${Math.floor(requests * (1 - droppedShare) * 0.99)}`],
  };
  for (const { name, limits } of phases) {
    const inPhase = `{scenario:${name}}`;
    if (limits.degraded !== undefined) thresholds[`degraded${inPhase}`] = [`rate<=${limits.degraded}`];
    if (limits.inTime !== undefined) thresholds[`in_time${inPhase}`] = [`rate>=${limits.inTime}`];
    const times = [
      ...(limits.p95Ms === undefined ? [] : [`p(95)<=${limits.p95Ms}`]),
      ...(limits.p99Ms === undefined ? [] : [`p(99)<=${limits.p99Ms}`]),
    ];
    if (times.length === 0) continue;
    for (const tier of ['primary', 'fallback']) thresholds[`latency{scenario:${name},tier:${tier}}`] = times;
  }
  return thresholds;
}
