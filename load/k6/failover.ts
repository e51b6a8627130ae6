// Steady traffic; the runner kills or stops the primary half-way:  npm run load -- failover
import { Counter } from 'k6/metrics';
import type { Options } from 'k6/options';
import { planPhases } from './shapes.ts';
import { type SummaryData, summarize } from './summary.ts';
import { ask, common, scenariosOf, thresholdsOf, turn } from './traffic.ts';

const { TARGET = 'http://127.0.0.1:8080', RATE, SECONDS, LONGEST_MS = '2000', SUMMARY } = __ENV;

const phases = planPhases('failover', {
  ...(RATE && { rate: Number(RATE) }),
  ...(SECONDS && { seconds: Number(SECONDS) }),
});

const failedOver = new Counter('failed_over');

export const options: Options = {
  ...common,
  scenarios: scenariosOf(phases),
  thresholds: {
    ...thresholdsOf(phases),
    failed_over: ['count>0'], // else there was no fault
    'latency{scenario:fault}': [`max<=${LONGEST_MS}`],
  },
};

export default function request(): void {
  const { verdict } = ask(TARGET, turn());
  if (verdict.fault === undefined && verdict.tier === 'fallback') failedOver.add(1);
}

export function handleSummary(data: SummaryData): Record<string, string> {
  return summarize(data, SUMMARY);
}
