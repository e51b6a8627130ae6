import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Stage = 'upload' | 'decode' | 'queue' | 'model';

interface Counts {
  readonly workers: number;
  readonly busy: number;
  readonly abandoned: number;
  readonly queued: number;
  readonly busySeconds: number;
  readonly isTakenOut: boolean;
}

export interface Metrics {
  /** Counts one answer; the labels that do not apply are empty. */
  countRequest(labels: { status: number; code: string; tier: string; model: string; reason: string }): void;
  observeStage(stage: Stage, ms: number): void;
  /** Counts one request that should wake the fallback, by what became of it. */
  countWake(outcome: string): void;
  /** Reads a model's workers and queue at every scrape. */
  watchModel(model: string, counts: () => Counts): void;
  /** The Prometheus text and its content type. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** Metrics of one function in a registry of their own. Durations are in seconds, as Prometheus asks. */
export function createMetrics(): Metrics {
  const registers = [new Registry()];
  const [register] = registers as [Registry];
  collectDefaultMetrics({ register });
  const requests = new Counter({
    name: 'understudy_requests_total',
    help: 'Answers by status, problem code, tier, model and degraded reason',
    labelNames: ['status', 'code', 'tier', 'model', 'reason'],
    registers,
  });
  const stages = new Histogram({
    name: 'understudy_stage_seconds',
    help: 'Time that a classification spends in a stage',
    labelNames: ['stage'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  });
  const wakes = new Counter({
    name: 'understudy_wakes_total',
    help: 'Requests that should wake the fallback, by what became of them',
    labelNames: ['outcome'],
    registers,
  });
  const watched = new Map<string, () => Counts>();
  const gauge = (name: string, help: string, read: (counts: Counts) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['model'],
      registers,
      collect() {
        for (const [model, counts] of watched) this.set({ model }, read(counts()));
      },
    });
  gauge('understudy_workers', 'Workers that can run the model', (counts) => counts.workers);
  gauge('understudy_workers_busy', 'Workers with a run in flight', (counts) => counts.busy);
  gauge('understudy_workers_abandoned', 'Busy workers whose run overstayed', (counts) => counts.abandoned);
  new Counter({
    name: 'understudy_workers_busy_seconds_total',
    help: 'Time for which workers had a run in flight, all workers together',
    labelNames: ['model'],
    registers,
    collect() {
      this.reset();
      for (const [model, counts] of watched) this.inc({ model }, counts().busySeconds);
    },
  });
  gauge('understudy_breaker_open', '1 while the model is taken out after repeated failures', (counts) =>
    Number(counts.isTakenOut),
  );
  gauge('understudy_queue', 'Runs that wait for a worker', (counts) => counts.queued);

  return {
    countRequest: (labels) => requests.inc(labels),
    observeStage: (stage, ms) => stages.observe({ stage }, ms / 1000),
    countWake: (outcome) => wakes.inc({ outcome }),
    watchModel: (model, counts) => watched.set(model, counts),
    expose: async () => ({ contentType: register.contentType, text: await register.metrics() }),
  };
}
