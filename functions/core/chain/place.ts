import type { ModelSpec } from '../card/card.ts';
import type { ModelChoice } from '../config.ts';
import type { Log } from '../observe/log.ts';
import { createEstimate } from '../pool/estimate.ts';
import { createPool, type Pool } from '../pool/pool.ts';
import { type Breaker, createBreaker } from './breaker.ts';
import { createHolds, type Holds } from './holds.ts';

/** A model that is being served: its folder, its workers, and what takes it out when it fails again and again. */
export interface ServedModel {
  readonly spec: ModelSpec;
  readonly pool: Pool;
  readonly breaker: Breaker;
  /** Requests that began with it: its workers serve at least until they have ended. */
  readonly holds: Holds;
}

/** A place in the chain of models. */
export interface Place {
  readonly choice: ModelChoice;
  /** The files to try when the present one is refused. */
  readonly others: Generator<ModelSpec, undefined>;
  /** Undefined where no file may be served. */
  model: ServedModel | undefined;
}

/** What the workers of all models have in common. */
export interface WorkerOptions {
  /** Address of the task's module for the workers. */
  readonly thread: URL;
  /** Of each model. */
  readonly workers: number;
  readonly log: Log;
  /** Milliseconds of a clock that stands still with the process. */
  readonly now: () => number;
}

export interface PreparedOptions extends WorkerOptions {
  readonly place: Place;
  readonly spec: ModelSpec;
  /** Of its workers, 0 to 19. */
  readonly niceness: number;
  /** Whether another model would answer in its place. */
  readonly isBacked: () => boolean;
  /** It was taken out or has no worker left. */
  readonly onTrouble: () => void;
  /** Its file has turned out not to be what the card says. */
  readonly onRefused: (cause: string) => void;
}

const workerScript = new URL('../pool/worker.js', import.meta.url);

/** Waiting runs a worker, 150 kB each at 224 pixels. What time allows is decided by prediction; this bounds the memory. */
const queuedPerWorker = 64;

/** Three failures in a row are no accident, and no more than three clients then had to wait for nothing. */
const breakerFailures = 3;
/** Half of the ten seconds within which a model that is well again should lead again. */
const breakerOpenMs = 5000;

/**
 * A model for a place, its workers not started yet. What becomes of it while it is not in the place, because it still loads or another
 * has taken it, is logged and has no other consequence.
 */
export function prepareModel(options: PreparedOptions): ServedModel {
  const { place, spec, log, isBacked, onTrouble } = options;
  const isServed = () => place.model === model;
  const breaker = createBreaker({
    failures: () => (isBacked() ? breakerFailures : Number.POSITIVE_INFINITY),
    openMs: breakerOpenMs,
    onChange: (isClosed) => {
      if (!isServed()) return;
      log(isClosed ? 'info' : 'error', isClosed ? 'model back in' : 'model taken out', { model: spec.name });
      if (!isClosed) onTrouble();
    },
  });
  const model: ServedModel = { spec, pool: openPool(options, isServed), breaker, holds: createHolds() };
  return model;
}

function openPool(options: PreparedOptions, isServed: () => boolean): Pool {
  const { spec, workers, thread, niceness, now, log, onTrouble, onRefused } = options;
  const { name, version, variant, path, input, output, optimizedBy, details } = spec;
  const pool = createPool({
    script: workerScript,
    load: { path, input, output, optimizedBy, details, thread: thread.href, niceness },
    workers,
    maxQueued: workers * queuedPerWorker,
    estimate: createEstimate(),
    now,
    onEvent(severity, message, fields) {
      log(severity, message, { model: name, version, variant, ...fields });
      if (severity !== 'error' || pool.isReady() || !isServed()) return;
      const refusal = pool.refusal();
      if (refusal === undefined) onTrouble();
      else onRefused(refusal);
    },
  });
  return pool;
}
