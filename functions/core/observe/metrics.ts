import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Stage = 'upload' | 'decode' | 'queue' | 'model';

/** A model that is being served, as it is now. */
export interface ModelState {
  readonly model: string;
  readonly version: string;
  readonly variant: string;
  readonly workers: number;
  readonly busy: number;
  readonly abandoned: number;
  readonly queued: number;
  readonly busySeconds: number;
  readonly isTakenOut: boolean;
}

/** Jobs as they are now. */
export interface JobsState {
  readonly waiting: number;
  readonly running: number;
  readonly dead: number;
  readonly oldestS: number;
}

export interface Metrics {
  /** Counts one answer; the labels that do not apply are empty. */
  countRequest(labels: { status: number; code: string; tier: string; model: string; reason: string }): void;
  observeStage(stage: Stage, ms: number): void;
  /** Counts one request that should wake the fallback, by what became of it. */
  countWake(outcome: string): void;
  /** Counts one sample of the comparison of both models by its outcome. */
  countShadow(outcome: string): void;
  /** Counts spans by what became of them. */
  countSpans(outcome: 'sent' | 'dropped', count: number): void;
  /** Reads the models with their workers and queues at every scrape. */
  watchModels(read: () => readonly ModelState[]): void;
  /** Reads at every scrape the folders of chosen models that cannot answer now. */
  watchMissing(read: () => readonly string[]): void;
  /** Reads the smallest age of the ingress' stamps at every scrape, in ms; undefined where there was none. */
  watchStampAge(read: () => number | undefined): void;
  /** Counts one job that has ended. */
  countJob(labels: { task: string; state: string; code: string }): void;
  /** Counts one run of a job. */
  countJobRun(task: string): void;
  /** Reads the jobs at every scrape; those of a store that does not answer are left out. */
  watchJobs(task: string, read: () => Promise<JobsState>): void;
  /** The Prometheus text and its content type. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** Seconds, from what a small model takes to the longest default deadline of a task. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Metrics of one function in a registry of their own. Durations are in seconds, as Prometheus asks. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ name, help, labelNames, registers });
  const requests = counter(
    'understudy_requests_total',
    'Answers by status, problem code, tier, model and degraded reason',
    ['status', 'code', 'tier', 'model', 'reason'],
  );
  const wakes = counter('understudy_wakes_total', 'Requests that should wake the fallback, by outcome', ['outcome']);
  const spans = counter('understudy_spans_total', 'Spans of traces, by whether a collector took them', ['outcome']);
  const shadows = counter(
    'understudy_shadow_runs_total',
    "The lead model's answers that the standby model gave as well, by whether both agree",
    ['agrees'],
  );
  const skippedShadows = counter(
    'understudy_shadow_skipped_total',
    'Samples for which the standby model did not run, by cause',
    ['cause'],
  );
  const jobs = counter('understudy_jobs_ended_total', 'Jobs by the state in which they ended, and problem code', [
    'task',
    'state',
    'code',
  ]);
  const jobRuns = counter('understudy_job_attempts_total', 'Runs of jobs', ['task']);
  const stages = new Histogram({
    name: 'understudy_stage_seconds',
    help: 'Time that a request spends in a stage',
    labelNames: ['stage'],
    buckets,
    registers,
  });
  let readModels: () => readonly ModelState[] = () => [];
  let readMissing: () => readonly string[] = () => [];
  let readStampAge: () => number | undefined = () => undefined;
  registerModels(registers, () => readModels());
  registerMissing(registers, () => readMissing());
  registerStampAge(registers, () => readStampAge());
  return {
    countRequest: (labels) => requests.inc(labels),
    observeStage: (stage, ms) => stages.observe({ stage }, ms / 1000),
    countWake: (outcome) => wakes.inc({ outcome }),
    countSpans: (outcome, count) => spans.inc({ outcome }, count),
    countShadow(outcome) {
      if (outcome === 'agrees' || outcome === 'differs') shadows.inc({ agrees: String(outcome === 'agrees') });
      else skippedShadows.inc({ cause: outcome });
    },
    watchModels(read) {
      readModels = read;
    },
    watchMissing(read) {
      readMissing = read;
    },
    watchStampAge(read) {
      readStampAge = read;
    },
    countJob: (labels) => jobs.inc(labels),
    countJobRun: (task) => jobRuns.inc({ task }),
    watchJobs: (task, read) => registerJobs(registers, task, read),
    expose: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

/** What is read of the models at every scrape. */
function registerModels(registers: Registry[], readModels: () => readonly ModelState[]): void {
  const labelNames = ['model'];
  new Gauge({
    name: 'understudy_model_info',
    help: '1 for each model that is served, by the version and the file of its folder',
    labelNames: ['model', 'version', 'variant'],
    registers,
    collect() {
      this.reset();
      for (const { model, version, variant } of readModels()) this.set({ model, version, variant }, 1);
    },
  });
  const gauge = (name: string, help: string, read: (state: ModelState) => number) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const state of readModels()) this.set({ model: state.model }, read(state));
      },
    });
  gauge('understudy_workers', 'Workers that can run the model', ({ workers }) => workers);
  gauge('understudy_workers_busy', 'Workers with a run in flight', ({ busy }) => busy);
  gauge('understudy_workers_abandoned', 'Workers whose run outlived its caller', ({ abandoned }) => abandoned);
  gauge('understudy_queue', 'Runs that wait for a worker', ({ queued }) => queued);
  const isOpen = ({ isTakenOut }: ModelState) => Number(isTakenOut);
  gauge('understudy_breaker_open', '1 while the model is taken out after repeated failures', isOpen);
  new Counter({
    name: 'understudy_workers_busy_seconds_total',
    help: 'Time for which workers had a run in flight, all workers together',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const { model, busySeconds } of readModels()) this.inc({ model }, busySeconds);
    },
  });
}

function registerMissing(registers: Registry[], readMissing: () => readonly string[]): void {
  new Gauge({
    name: 'understudy_models_missing',
    help: 'Chosen model folders that cannot answer now: still loading, refused, or without a worker',
    registers,
    collect() {
      this.set(readMissing().length);
    },
  });
}

function registerStampAge(registers: Registry[], readStampAge: () => number | undefined): void {
  new Gauge({
    name: 'understudy_stamp_age_min_seconds',
    help: "Smallest age of the ingress' stamps in the last minutes: how far its clock is behind ours, and the way here",
    registers,
    collect() {
      this.remove();
      const ageMs = readStampAge();
      if (ageMs !== undefined) this.set(ageMs / 1000);
    },
  });
}

/** What is read of the jobs at every scrape. */
function registerJobs(registers: Registry[], task: string, read: () => Promise<JobsState>): void {
  const gauge = (name: string, help: string, labelNames: string[], fill: (gauge: Gauge, state: JobsState) => void) =>
    new Gauge({
      name,
      help,
      labelNames: ['task', ...labelNames],
      registers,
      async collect() {
        this.reset();
        const state = await read().catch(() => undefined);
        if (state) fill(this, state);
      },
    });
  gauge('understudy_jobs', 'Jobs that have not ended', ['state'], (jobs, { waiting, running }) => {
    jobs.set({ task, state: 'waiting' }, waiting);
    jobs.set({ task, state: 'running' }, running);
  });
  gauge('understudy_jobs_oldest_seconds', 'Age of the oldest job that has not ended', [], (jobs, { oldestS }) =>
    jobs.set({ task }, oldestS),
  );
  gauge('understudy_jobs_dead', 'Jobs that have failed too often', [], (jobs, { dead }) => jobs.set({ task }, dead));
}
