// Requests a second that the lead model answers when it always has work: a closed loop of strict requests.
import type { Options } from 'k6/options';
import { type SummaryData, summarize } from './summary.ts';
import { ask, common, turn } from './traffic.ts';

const { TARGET = 'http://127.0.0.1:8080', CLIENTS = '4', SECONDS = '13', SUMMARY } = __ENV;

export const options: Options = {
  ...common,
  scenarios: {
    capacity: { executor: 'constant-vus', vus: Number(CLIENTS), duration: `${SECONDS}s`, gracefulStop: '50s' },
  },
  thresholds: { answered: ['rate>=0.99'], iterations: ['count>=10'] },
};

export default function request(): void {
  // Strict: MobileNet's answers would take a core from the lead model and hide that its queue is full.
  ask(TARGET, turn(), { headers: { prefer: 'handling=strict' } });
}

export function handleSummary(data: SummaryData): Record<string, string> {
  return summarize(data, SUMMARY);
}
