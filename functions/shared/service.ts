import { ModelError, type ModelSpec, readModelSpec } from './catalog.ts';
import type { ModelChain, ServedModel, Tier } from './classify.ts';
import type { Config } from './config.ts';
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
}

const workerScript = new URL('./worker.js', import.meta.url);

/** Waiting runs a worker: at 10 ms a run the last one waits 160 ms, well inside the primary budget of 1 s. */
const queuedPerWorker = 16;

/**
 * Reads the model folders and starts their workers, the last model's first: it is the smallest and answers while the others
 * load. A folder that must not be served is logged and left out.
 * @throws ModelError when no folder is left
 */
export function createService({ tier, names, config, log, metrics }: ServiceOptions): Service {
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

  const models = specs.map((spec, rank) => ({ spec, pool: openPool(spec, rank) })) as [ServedModel, ...ServedModel[]];
  const lost = startAll();
  for (const { spec, pool } of models) metrics.watchModel(spec.name, pool.counts);

  async function startAll(): Promise<ModelError> {
    for (const { pool } of models.toReversed()) await pool.start();
    if (models.every(({ pool }) => pool.hasGivenUp())) {
      return new ModelError(`Expected a model that passes its golden case but received ${names.join(', ')}`);
    }
    return new Promise(() => {});
  }

  function openPool(spec: ModelSpec, rank: number): Pool {
    const workers = rank === 0 ? config.workers : Math.ceil(config.workers / 2);
    return createPool({
      script: workerScript,
      load: {
        path: spec.path,
        inputName: spec.input.name,
        outputName: spec.output.name,
        golden: { ...spec.golden, tensor: toTensor(goldenPixels(spec.input.crop), spec.input) },
      },
      workers,
      maxQueued: workers * queuedPerWorker,
      onEvent: (severity, message, fields) => log(severity, message, { model: spec.name, ...fields }),
    });
  }

  const decodeGate = createGate(config.workers);
  let draining = false;
  return {
    chain: {
      tier,
      models,
      isPrimaryServed: tier === 'primary' && models[0].spec.name === names[0],
      primaryBudgetMs: config.primaryBudgetMs,
      decode: (bytes, input, signal) =>
        decodeGate(
          async (waitedMs) => ({ image: await decodeImage(bytes, input, config.maxPixels), waitedMs }),
          signal,
        ),
    },
    missing: () => names.filter((name) => !models.some(({ spec, pool }) => spec.name === name && pool.isReady())),
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
