import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { createBreaker } from './breaker.ts';
import { allOutcomes, taskNames, type Visit } from './visit.ts';

export interface EdgeMetrics {
  /** Counts a line of the log; undefined for one that could not be read. */
  count(visit: Visit | undefined): void;
  countSpans(outcome: 'sent' | 'dropped', count: number): void;
  /** The Prometheus text and its content type. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** Seconds; the second is what 99 % of all answers have. */
const buckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What became of a request that should have gone to the primary and was answered by the fallback, or not at all. */
const causes = ['failed', 'full', 'skipped'] as const;

/** What no function can see, in a registry of its own. */
export function createEdgeMetrics(): EdgeMetrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ name, help, labelNames, registers });
  const requests = counter('understudy_edge_requests_total', 'Requests by what became of them', ['task', 'outcome']);
  const answers = counter(
    'understudy_edge_answers_total',
    'Answers to clients by status, and what the function told of them',
    ['task', 'status', 'tier', 'reason', 'revision'],
  );
  const failovers = counter(
    'understudy_edge_failovers_total',
    'Requests that left the primary, by cause: it failed, was full, or was skipped (breaker open, or no room)',
    ['cause'],
  );
  const spans = counter('understudy_spans_total', 'Spans of traces, by whether a collector took them', ['outcome']);
  const unread = counter('understudy_edge_lines_unread_total', 'Lines of the log that could not be read', []);
  const seconds = new Histogram({
    name: 'understudy_edge_answer_seconds',
    help: 'Time that the tiers took for a request that was answered; uploads are not in it',
    labelNames: ['task', 'tier'],
    buckets,
    registers,
  });
  // A series that begins with its first failure would show no increase.
  for (const task of taskNames) for (const outcome of allOutcomes) requests.inc({ task, outcome }, 0);
  for (const cause of causes) failovers.inc({ cause }, 0);
  unread.inc(0);
  const breaker = createBreaker();
  new Gauge({
    name: 'understudy_edge_breaker_open',
    help: '1 while nginx skips the primary after repeated failures, as far as its log tells',
    registers,
    collect() {
      this.set(Number(breaker.isOpen(Date.now())));
    },
  });
  return {
    count(visit) {
      if (!visit) return unread.inc();
      const { task, outcome, status, tier, reason, revision, tiersMs } = visit;
      requests.inc({ task, outcome });
      answers.inc({ task, status, tier, reason, revision });
      if (outcome === 'lead' || outcome === 'degraded') seconds.observe({ task, tier }, tiersMs / 1000);
      const cause = causeOf(visit);
      if (cause) failovers.inc({ cause });
      breaker.observe(visit);
    },
    countSpans: (outcome, count) => spans.inc({ outcome }, count),
    expose: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function causeOf({ isTiered, isAsking, attempts: [first, second] }: Visit): (typeof causes)[number] | undefined {
  if (!isTiered || !isAsking) return undefined;
  if (first?.way === 'fallback') return 'skipped';
  if (second?.way !== 'fallback') return undefined;
  return first?.status === 404 ? 'full' : 'failed'; // 404: full, or out of the client's time
}
