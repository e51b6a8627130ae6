import { createBreaker } from './breaker.ts';
import { ModelError, type ModelSpec, readModelSpec } from './catalog.ts';
import type { ModelChain, ServedModel, Tier } from './classify.ts';
import type { Config } from './config.ts';
import { createEstimate } from './estimate.ts';
import { createGate } from './gate.ts';
import { decodeImage } from './image.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { createPool, type Pool } from './pool.ts';
import { goldenPixels, toTensor } from './tensor.ts';

/** A function's models with their workers, from start to drain. */
export interface Service {
  readonly chain: ModelChain;
  /** Names of models that cannot answer now, the leading model first. */
  missing(): readonly string[];
  /** Whether any model can answer. */
  canAnswer(): boolean;
  isDraining(): boolean;
  /** From here on the function says that it is not ready; requests are still answered. */
  beginDrain(): void;
  /** Settles with the reason when no model can ever answer, else never. */
  readonly lost: Promise<ModelError>;
  /** Ends the workers once they are idle. */
  close(): Promise<void>;
}

export interface ServiceOptions {
  readonly tier: Tier;
  /** Model folders in the order in which they should answer. */
  readonly names: readonly [string, ...string[]];
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Called when the leading model cannot answer any more: refused, taken out, or without a worker. */
  readonly onLost: () => void;
}

const workerScript = new URL('./worker.js', import.meta.url);

/** Waiting runs a worker, 150 kB each at 224 pixels. What time allows is decided by prediction; this bounds the memory. */
const queuedPerWorker = 64;

/** Three failures in a row are no accident, and no more than three clients then had to wait for nothing. */
const breakerFailures = 3;
/** Half of the ten seconds within which a model that is well again should lead again. */
const breakerOpenMs = 5000;

/** The leading model gives way to the event loop, decoders and models that stand by wherever a core is short. */
const leadingNiceness = 10;

/**
 * Reads the model folders and starts their workers, the last model's first: it is the smallest and answers while the others
 * load. A folder that must not be served is logged and left out.
 * @throws ModelError when no folder is left
 */
export function createService({ tier, names, config, log, metrics, onLost }: ServiceOptions): Service {
  const faults: string[] = [];
  const specs = names.flatMap((name) => {
    try {
      return [readModelSpec(config.modelsDir, name)];
    } catch (fault) {
      if (!(fault instanceof ModelError)) throw fault;
      faults.push(fault.message);
      log('error', 'model refused', { model: name, cause: fault.message });
      return [];
    }
  });
  if (specs.length === 0) throw new ModelError(faults.join('\n'));
  if (specs[0]?.name !== names[0]) onLost();

  const models = specs.map((spec, rank) => serveModel(spec, rank)) as [ServedModel, ...ServedModel[]];
  const lost = startAll();
  for (const { spec, pool, breaker } of models) {
    metrics.watchModel(spec.name, () => ({ ...pool.counts(), isTakenOut: !breaker.isClosed() }));
  }

  async function startAll(): Promise<ModelError> {
    for (const { pool } of models.toReversed()) await pool.start();
    if (models.every(({ pool }) => pool.hasGivenUp())) {
      return new ModelError(`Expected a model that passes its golden case but received ${names.join(', ')}`);
    }
    return new Promise(() => {});
  }

  function serveModel(spec: ModelSpec, rank: number): ServedModel {
    const breaker = createBreaker({
      failures: breakerFailures,
      openMs: breakerOpenMs,
      onChange: (isClosed) => {
        log(isClosed ? 'info' : 'error', isClosed ? 'model back in' : 'model taken out', { model: spec.name });
        if (!isClosed && rank === 0) onLost();
      },
    });
    return { spec, pool: openPool(spec, rank), breaker };
  }

  function openPool(spec: ModelSpec, rank: number): Pool {
    const workers = rank === 0 ? config.workers : Math.ceil(config.workers / 2);
    const pool = createPool({
      script: workerScript,
      load: {
        path: spec.path,
        inputName: spec.input.name,
        outputName: spec.output.name,
        golden: { ...spec.golden, tensor: toTensor(goldenPixels(spec.input.crop), spec.input) },
        niceness: rank === 0 && specs.length > 1 ? leadingNiceness : 0,
      },
      workers,
      maxQueued: workers * queuedPerWorker,
      estimate: createEstimate(),
      longestMs: config.primaryBudgetMs,
      onEvent(severity, message, fields) {
        log(severity, message, { model: spec.name, ...fields });
        if (severity === 'error' && rank === 0 && !pool.isReady()) onLost();
      },
    });
    return pool;
  }

  const gate = createGate(config.workers, createEstimate());
  let draining = false;
  return {
    chain: {
      tier,
      models,
      isPrimaryServed: tier === 'primary' && models[0].spec.name === names[0],
      primaryBudgetMs: config.primaryBudgetMs,
      decoder: {
        isIdle: gate.isIdle,
        predictMs: gate.predictMs,
        decode: (bytes, input, signal) =>
          gate.enter(
            async (waitedMs) => ({ image: await decodeImage(bytes, input, config.maxPixels), waitedMs }),
            signal,
          ),
      },
    },
    missing: () => names.filter((name) => !models.some((model) => model.spec.name === name && canServe(model))),
    canAnswer: () => models.some(({ pool }) => pool.isReady()),
    isDraining: () => draining,
    lost,
    beginDrain() {
      draining = true;
    },
    close: async () => {
      await Promise.all(models.map(({ pool }) => pool.close()));
    },
  };
}

/** Whether the model can be expected to answer: loaded, not taken out, and not all of its workers lost to runs that overstay. */
function canServe({ pool, breaker }: ServedModel): boolean {
  const { workers, abandoned } = pool.counts();
  return pool.isReady() && breaker.isClosed() && abandoned < workers;
}
