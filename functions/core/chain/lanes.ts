import { goldenPixels } from '../../tasks/classify/tensor.ts';
import { topPredictions } from '../../tasks/classify/top.ts';
import { decodeImage } from '../../tasks/image/image.ts';
import { listCandidates, ModelError, type ModelSpec, portable, verifyFiles } from '../card/catalog.ts';
import { type Config, nameOf } from '../config.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { createEstimate } from '../pool/estimate.ts';
import { createPool, type Pool } from '../pool/pool.ts';
import type { ModelChain, ServedModel, Tier, Trace } from './answer.ts';
import { createBreaker } from './breaker.ts';
import { createWorkingClock } from './clock.ts';
import type { Debut } from './debut.ts';
import { createGate } from './gate.ts';
import type { ShadowMiss } from './shadow.ts';
import { createStanding } from './standing.ts';

/** A function's models with their workers, from start to drain. */
export interface Service {
  readonly chain: ModelChain;
  /** Folders of the chosen models that cannot answer now, the leading model first. */
  missing(): readonly string[];
  /** Whether any model can answer. */
  canAnswer(): boolean;
  /** Whether it is not to be called ready yet though it can answer: others lead meanwhile. */
  isHeldBack(): boolean;
  /** Whether nothing is decoded, runs or waits. */
  isIdle(): boolean;
  /** The class that the model standing by names first for an image that was classified; never rejects. */
  askUnderstudy(trace: Trace): Promise<{ readonly class: string } | ShadowMiss>;
  isDraining(): boolean;
  /** From here on the function says that it is not ready; requests are still answered. */
  beginDrain(): void;
  /** Settles with the reasons as soon as no model can ever answer any more, else never. */
  readonly lost: Promise<ModelError>;
  /** Ends the workers once they are idle. */
  close(): Promise<void>;
}

/** A model folder to serve, and the one that is served in its place where it cannot be. */
export interface Choice {
  readonly folder: string;
  readonly embedded: string;
}

export interface ServiceOptions {
  readonly tier: Tier;
  /** In the order in which the models should answer. */
  readonly choices: readonly Choice[];
  /** Instruction-set classes of the processor. */
  readonly instructions: readonly string[];
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Called when the leading model cannot answer any more: refused, taken out, or without a worker. */
  readonly onLost: () => void;
  /** Absent where there are no others to lead meanwhile. */
  readonly debut?: Debut | undefined;
}

const workerScript = new URL('../pool/worker.js', import.meta.url);

/** Waiting runs a worker, 150 kB each at 224 pixels. What time allows is decided by prediction; this bounds the memory. */
const queuedPerWorker = 64;

/** Three failures in a row are no accident, and no more than three clients then had to wait for nothing. */
const breakerFailures = 3;
/** Half of the ten seconds within which a model that is well again should lead again. */
const breakerOpenMs = 5000;

/** Where a core is short, a model that stands by gives way to the event loop and the decoders, and the leading model to all of them. */
const niceness = { leading: 10, last: 5 };

/** Longest run of the model standing by for the sake of a comparison; a pool is not held up by one that hangs. */
const shadowTimeoutMs = 1000;

/**
 * Reads the model folders and starts their workers, the last model's first: it is the smallest and answers while the others
 * load. Of each folder the best file is served that this processor may run and that is what its card says; what is refused is
 * logged. A folder without one gives way to the embedded model, or is left out.
 * @throws ModelError when no folder is left
 */
export function createService(options: ServiceOptions): Service {
  const { tier, choices, instructions, config, log, metrics, onLost, debut } = options;
  const faults: string[] = [];
  const now = createWorkingClock();

  function refuse(fault: unknown, folder: string, variant: string): void {
    if (!(fault instanceof ModelError)) throw fault;
    faults.push(fault.message);
    if (variant === portable) log('error', 'model refused', { model: folder, cause: fault.message });
    else log('warn', 'variant refused', { model: folder, variant, cause: fault.message });
  }

  /** The files to try for a choice, one after the other; none is read before its turn comes. */
  function* listIntact({ folder, embedded }: Choice): Generator<ModelSpec, undefined> {
    yield* listIntactOf(folder);
    const isServedAnyway = choices.some((other) => other.embedded !== embedded && nameOf(other.folder) === embedded);
    if (folder === embedded || isServedAnyway) return;
    log('warn', 'embedded model instead', { model: folder, embedded });
    yield* listIntactOf(embedded);
  }

  function* listIntactOf(folder: string): Generator<ModelSpec, undefined> {
    let specs: readonly ModelSpec[] = [];
    try {
      specs = listCandidates(config.modelsDir, folder, instructions);
    } catch (fault) {
      refuse(fault, folder, portable);
    }
    for (const spec of specs) {
      try {
        verifyFiles(spec);
      } catch (fault) {
        refuse(fault, folder, spec.variant);
        continue;
      }
      yield spec;
    }
  }

  const lanes = choices.flatMap((choice) => {
    const others = listIntact(choice);
    const spec = others.next().value;
    return spec === undefined ? [] : [{ spec, others }];
  });
  if (lanes.length === 0) throw new ModelError(faults.join('\n'));
  const models = lanes.map(({ spec }, rank) => serveModel(spec, rank)) as [ServedModel, ...ServedModel[]];
  const leads = () => models[0].spec.folder === choices[0]?.folder;
  if (!leads()) onLost();
  let markLost: (fault: ModelError) => void = () => {};
  const lost = new Promise<ModelError>((resolve) => {
    markLost = resolve;
  });
  startAll();
  metrics.watchModels(() =>
    models.map(({ spec: { name, version, variant }, pool }, rank) => {
      return { model: name, version, variant, ...pool.counts(), isTakenOut: isTakenOut(rank) };
    }),
  );

  async function startAll(): Promise<void> {
    for (const rank of [...models.keys()].toReversed()) await startModel(rank);
  }

  /** Settles when a file serves or the last one is refused. */
  async function startModel(rank: number): Promise<void> {
    let pool: Pool | undefined;
    while (pool !== models[rank]?.pool) {
      pool = models[rank]?.pool;
      await pool?.start();
    }
  }

  /** Puts the next file in the place of one that has turned out not to be what its card says. */
  function replace(rank: number, cause: string): void {
    const former = models[rank] as ServedModel;
    refuse(new ModelError(cause), former.spec.folder, former.spec.variant);
    const spec = lanes[rank]?.others.next().value;
    if (spec !== undefined) {
      models[rank] = serveModel(spec, rank);
      startModel(rank);
      former.pool.close();
    }
    if (rank === 0 && (spec === undefined || !leads())) onLost();
    if (models.every(({ pool }) => pool.refusal() !== undefined)) markLost(new ModelError(faults.join('\n')));
  }

  /** Whether another model answers in its place after repeated failures; where none can, it is asked all the same. */
  function isTakenOut(rank: number): boolean {
    return models[rank]?.breaker.isClosed() === false && models.slice(rank + 1).some(({ pool }) => pool.isReady());
  }

  /** Whether it can be expected to answer: loaded, not taken out, and not all of its workers lost to runs that overstay. */
  function canServe({ pool }: ServedModel, rank: number): boolean {
    const { workers, abandoned } = pool.counts();
    return pool.isReady() && !isTakenOut(rank) && abandoned < workers;
  }

  function serveModel(spec: ModelSpec, rank: number): ServedModel {
    const breaker = createBreaker({
      failures: rank < lanes.length - 1 ? breakerFailures : Number.POSITIVE_INFINITY, // nobody stands by for the last one
      openMs: breakerOpenMs,
      onChange: (isClosed) => {
        log(isClosed ? 'info' : 'error', isClosed ? 'model back in' : 'model taken out', { model: spec.name });
        if (!isClosed && rank === 0) onLost();
      },
    });
    return { spec, pool: openPool(spec, rank), breaker };
  }

  function openPool(spec: ModelSpec, rank: number): Pool {
    const { name, version, variant, path, input, output, optimizedBy, golden } = spec;
    const pool = createPool({
      script: workerScript,
      load: {
        path,
        input,
        output,
        optimizedBy,
        golden: { ...golden, pixels: goldenPixels(input.crop) },
        niceness: rank < lanes.length - 1 ? niceness.leading : niceness.last,
      },
      workers: config.workers,
      maxQueued: config.workers * queuedPerWorker,
      estimate: createEstimate(),
      now,
      onEvent(severity, message, fields) {
        log(severity, message, { model: name, version, variant, ...fields });
        if (severity !== 'error' || pool.isReady()) return;
        const refusal = pool.refusal();
        if (refusal !== undefined) replace(rank, refusal);
        else if (rank === 0) onLost();
      },
    });
    return pool;
  }

  const gate = createGate(config.workers, createEstimate(), now);
  let draining = false;
  return {
    chain: {
      tier,
      models,
      get isPrimaryServed() {
        return tier === 'primary' && leads();
      },
      primaryBudgetMs: config.primaryBudgetMs,
      standing: createStanding(),
      decoder: {
        isIdle: gate.isIdle,
        predictMs: gate.predictMs,
        decode: (bytes, input, precision, signal) =>
          gate.enter(
            async (waitedMs) => ({ image: await decodeImage(bytes, input, config.maxPixels, precision), waitedMs }),
            signal,
          ),
      },
    },
    missing() {
      const serving = models.filter(canServe).map(({ spec }) => spec.folder);
      return choices.map(({ folder }) => folder).filter((folder) => !serving.includes(folder));
    },
    canAnswer: () => models.some(({ pool }) => pool.isReady()),
    isHeldBack: () => debut?.waits(leads() && models[0].pool.isReady()) ?? false,
    isIdle() {
      const isAtWork = ({ pool }: ServedModel) => pool.counts().busy + pool.counts().queued > 0;
      return !draining && gate.isEmpty() && !models.some(isAtWork);
    },
    async askUnderstudy({ pixelsFor }) {
      const [, understudy] = models;
      if (!understudy?.pool.isReady()) return 'failed';
      const { spec, pool } = understudy;
      const pixels = pixelsFor?.(spec);
      if (!pixels) return 'unlike';
      const run = await pool.run(pixels, shadowTimeoutMs);
      if (run.status !== 'done') return 'failed';
      return topPredictions(run.logits, spec.labels, 1)[0] ?? 'failed';
    },
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
