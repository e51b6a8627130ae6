// k6 run -e TARGET=http://127.0.0.1:8080 -e TASK=classify -e SHAPE=overload -e CAPACITY=80 load/k6/classify.ts
import type { Options } from 'k6/options';
import { type Asked, planPhases } from './shapes.ts';
import { type SummaryData, summarize } from './summary.ts';
import { asHost, ask, common, scenariosOf, task, thresholdsOf, turn } from './traffic.ts';

const { TARGET = 'http://127.0.0.1:8080', TARGET_HOST, TARGET_REVISION, SHAPE = 'smoke', SUMMARY } = __ENV;
const { CAPACITY, RATE, SECONDS, FACTORS } = __ENV;

const asked: Asked = {
  inTimeMs: task.inTimeMs,
  ...(CAPACITY && { capacity: Number(CAPACITY) }),
  ...(RATE && { rate: Number(RATE) }),
  ...(SECONDS && { seconds: Number(SECONDS) }),
  ...(FACTORS && { factors: FACTORS.split(',').map(Number) }),
};
const phases = planPhases(SHAPE, asked);

const thresholds = { ...thresholdsOf(phases), ...(TARGET_REVISION && { own_revision: ['rate==1'] }) };

export const options: Options = { ...common, scenarios: scenariosOf(phases), thresholds };

export default function request(): void {
  ask(TARGET, turn(), { headers: asHost(TARGET_HOST), revision: TARGET_REVISION });
}

export function handleSummary(data: SummaryData): Record<string, string> {
  return summarize(data, SUMMARY);
}
