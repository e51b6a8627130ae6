import type { ModelError, ModelSpec } from '../card/card.ts';
import type { ModelChoice } from '../config.ts';
import type { Log } from '../observe/log.ts';
import { createEstimate } from '../pool/estimate.ts';
import { createPool, type Pool } from '../pool/pool.ts';
import type { ServedModel } from './answer.ts';
import { createBreaker } from './breaker.ts';
import type { Choosing } from './choice.ts';

export interface LanesOptions {
  /** In the order in which the models should answer. */
  readonly choices: readonly ModelChoice[];
  readonly choosing: Choosing;
  /** Address of the task's module for the workers. */
  readonly thread: URL;
  /** Of each model. */
  readonly workers: number;
  readonly log: Log;
  /** Milliseconds of a clock that stands still with the process. */
  readonly now: () => number;
  /** Called when the lead model cannot answer any more: refused, taken out, or without a worker. */
  readonly onLost: () => void;
}

/** The models of a function with their workers. */
export interface Lanes {
  /** The lead model first; a model whose file is refused is replaced in place. */
  readonly models: readonly [ServedModel, ...ServedModel[]];
  /** Whether the first of the models is the chosen lead model. */
  isLeading(): boolean;
  /** Whether a model is not asked after repeated failures, since another one answers in its place. */
  isTakenOut(rank: number): boolean;
  /** Folders of the chosen models that cannot answer now. */
  missing(): readonly string[];
  /** Settles with the reasons as soon as no model can ever answer any more, else never. */
  readonly lost: Promise<ModelError>;
  /** Ends the workers once they are idle. */
  close(): Promise<void>;
}

interface Lane {
  readonly rank: number;
  /** The files to try when the present one is refused. */
  readonly others: Generator<ModelSpec, undefined>;
}

interface State extends LanesOptions {
  readonly lanes: readonly Lane[];
  readonly models: ServedModel[];
  markLost(fault: ModelError): void;
}

const workerScript = new URL('../pool/worker.js', import.meta.url);

/** Waiting runs a worker, 150 kB each at 224 pixels. What time allows is decided by prediction; this bounds the memory. */
const queuedPerWorker = 64;

/** Three failures in a row are no accident, and no more than three clients then had to wait for nothing. */
const breakerFailures = 3;
/** Half of the ten seconds within which a model that is well again should lead again. */
const breakerOpenMs = 5000;

/** Where a core is short, a standby model gives way to the event loop and the decoders, and the lead model to all of them. */
const niceness = { lead: 10, last: 5 };

/**
 * Starts the models' workers, the last model's first: it is the smallest and answers while the others load. Of each folder the best file
 * is served that this processor may run and that is what its card says. A folder without one gives way to the embedded model, or is
 * left out.
 * @throws ModelError when no folder is left
 */
export function createLanes(options: LanesOptions): Lanes {
  const { choices, choosing } = options;
  const found = choices.flatMap((choice) => {
    const others = choosing.list(choice);
    const spec = others.next().value;
    return spec === undefined ? [] : [{ spec, others }];
  });
  if (found.length === 0) throw choosing.fault();
  let markLost: (fault: ModelError) => void = () => {};
  const lost = new Promise<ModelError>((resolve) => {
    markLost = resolve;
  });
  const lanes = found.map(({ others }, rank) => ({ rank, others }));
  const state: State = { ...options, lanes, models: [], markLost: (fault) => markLost(fault) };
  state.models.push(...found.map(({ spec }, rank) => serveModel(state, spec, rank)));
  if (!isLeading(state)) options.onLost();
  startAll(state);
  return {
    models: state.models as unknown as Lanes['models'],
    isLeading: () => isLeading(state),
    isTakenOut: (rank) => isTakenOut(state, rank),
    missing() {
      const serving = state.models.filter((model, rank) => canServe(state, model, rank)).map(({ spec }) => spec.folder);
      return choices.map(({ folder }) => folder).filter((folder) => !serving.includes(folder));
    },
    lost,
    close: async () => {
      await Promise.all(state.models.map(({ pool }) => pool.close()));
    },
  };
}

async function startAll(state: State): Promise<void> {
  for (const rank of [...state.models.keys()].toReversed()) await startModel(state, rank);
}

/** Settles when a file serves or the last one is refused. */
async function startModel({ models }: State, rank: number): Promise<void> {
  let pool: Pool | undefined;
  while (pool !== models[rank]?.pool) {
    pool = models[rank]?.pool;
    await pool?.start();
  }
}

function isLeading({ models, choices }: State): boolean {
  return models[0]?.spec.folder === choices[0]?.folder;
}

function isTakenOut({ models }: State, rank: number): boolean {
  return models[rank]?.breaker.isClosed() === false && models.slice(rank + 1).some(({ pool }) => pool.isReady());
}

/** Whether it can be expected to answer: loaded, not taken out, and not all of its workers lost to runs that overstay. */
function canServe(state: State, { pool }: ServedModel, rank: number): boolean {
  const { workers, abandoned } = pool.counts();
  return pool.isReady() && !isTakenOut(state, rank) && abandoned < workers;
}

function serveModel(state: State, spec: ModelSpec, rank: number): ServedModel {
  const { log, onLost, lanes } = state;
  const breaker = createBreaker({
    failures: rank < lanes.length - 1 ? breakerFailures : Number.POSITIVE_INFINITY, // no model stands by for the last one
    openMs: breakerOpenMs,
    onChange: (isClosed) => {
      log(isClosed ? 'info' : 'error', isClosed ? 'model back in' : 'model taken out', { model: spec.name });
      if (!isClosed && rank === 0) onLost();
    },
  });
  return { spec, pool: openPool(state, spec, rank), breaker };
}

function openPool(state: State, spec: ModelSpec, rank: number): Pool {
  const { lanes, workers, thread, now, log, onLost } = state;
  const { name, version, variant, path, input, output, optimizedBy, details } = spec;
  const pool = createPool({
    script: workerScript,
    load: {
      path,
      input,
      output,
      optimizedBy,
      details,
      thread: thread.href,
      niceness: rank < lanes.length - 1 ? niceness.lead : niceness.last,
    },
    workers,
    maxQueued: workers * queuedPerWorker,
    estimate: createEstimate(),
    now,
    onEvent(severity, message, fields) {
      log(severity, message, { model: name, version, variant, ...fields });
      if (severity !== 'error' || pool.isReady()) return;
      const refusal = pool.refusal();
      if (refusal !== undefined) replace(state, rank, refusal);
      else if (rank === 0) onLost();
    },
  });
  return pool;
}

/** Puts the next file in the place of one that has turned out not to be what its card says. */
function replace(state: State, rank: number, cause: string): void {
  const { models, lanes, choosing, onLost } = state;
  const former = models[rank] as ServedModel;
  choosing.refuse(former.spec, cause);
  const spec = lanes[rank]?.others.next().value;
  if (spec !== undefined) {
    models[rank] = serveModel(state, spec, rank);
    startModel(state, rank);
    former.pool.close();
  }
  if (rank === 0 && (spec === undefined || !isLeading(state))) onLost();
  if (models.every(({ pool }) => pool.refusal() !== undefined)) state.markLost(choosing.fault());
}
