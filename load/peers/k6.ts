import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import type { Options, Scenario } from 'k6/options';

// Run by run.ts, which sets the environment below. What a k6 script needs of k6's globals:
declare const __ENV: Readonly<Record<string, string>>;
declare function open(path: string, mode: 'b'): ArrayBuffer;

/** Statuses with a count of their own: k6 wants every metric named before it starts. */
const statuses = [0, 200, 400, 408, 413, 422, 429, 500, 502, 503, 504];

const { ORIGIN, PHOTOS = '', HEADERS = '{}', SUMMARY = '' } = __ENV;
const [clients, perSecond, seconds, goodMs, patienceMs] = ['CLIENTS', 'RATE', 'SECONDS', 'GOOD_MS', 'PATIENCE_MS'].map(
  (name) => Number(__ENV[name] ?? 0),
) as [number, number, number, number, number];

const photos = PHOTOS.split(',').map((path) => open(path, 'b'));
const headers = JSON.parse(HEADERS);

const counts = new Map(statuses.map((status) => [status, new Counter(`status_${status}`)]));
const otherStatus = new Counter('status_other');
const good = new Counter('good');
const byPrimary = new Counter('by_primary');
/** Of the answers, and of who gave up waiting: they waited at least that long. */
const answerMs = new Trend('answer_ms', true);
const refusalMs = new Trend('refusal_ms', true);

const whole = (value: number) => Math.max(1, Math.round(value));
const closed: Scenario = { executor: 'constant-vus', vus: whole(clients), duration: `${seconds}s` };
const opened: Scenario = {
  executor: 'constant-arrival-rate',
  rate: whole(perSecond * 60),
  timeUnit: '1m', // k6 wants whole numbers: a minute makes the rate exact to a sixtieth
  duration: `${seconds}s`,
  preAllocatedVUs: whole(perSecond * 2) + 5,
  maxVUs: whole((perSecond * patienceMs) / 1000) + 20, // all who may wait at once
};

export const options: Options = {
  scenarios: {
    load: { exec: 'classify', gracefulStop: `${patienceMs + 1000}ms`, ...(clients > 0 ? closed : opened) } as Scenario,
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max', 'count'],
  systemTags: ['status'], // fewer tags make k6 cheaper
  noUsageReport: true,
};

/** One request, judged by its status, its body and its time. */
export function classify(): void {
  const photo = photos[exec.scenario.iterationInTest % photos.length] as ArrayBuffer;
  const response = http.post(
    `${ORIGIN}/classify`,
    { image: http.file(photo, 'photo.jpg', 'image/jpeg') },
    { headers, timeout: `${patienceMs}ms`, responseType: 'text' },
  );
  const { status, body } = response;
  const ms = response.timings.duration;
  (counts.get(status) ?? otherStatus).add(1);
  const isAnswered = status === 200 && body?.includes('"predictions"') === true;
  if (isAnswered) {
    answerMs.add(ms);
    if (ms <= goodMs) good.add(1);
    if (/"model":\s*"wide-resnet"/.test(body)) byPrimary.add(1);
  } else if (status === 0 && response.error_code === timedOut) {
    answerMs.add(patienceMs);
  } else {
    refusalMs.add(ms);
  }
}

/** k6's code for a request that took longer than it may. */
const timedOut = 1050;

/** Writes what run.ts reads. */
export function handleSummary(data: { readonly metrics: unknown }): Record<string, string> {
  return { [SUMMARY]: JSON.stringify(data.metrics) };
}
