import type { ModelError } from '../card/card.ts';
import type { Config, ModelChoice } from '../config.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { createEstimate } from '../pool/estimate.ts';
import type { Task, Tier } from '../task.ts';
import type { Result } from './answer.ts';
import type { Decoder, ModelChain } from './chain.ts';
import { createChoosing } from './choice.ts';
import { createWorkingClock } from './clock.ts';
import type { Debut } from './debut.ts';
import { createGate } from './gate.ts';
import { createLanes } from './lanes.ts';
import type { ServedModel } from './place.ts';
import type { ShadowMiss } from './shadow.ts';
import { createStanding } from './standing.ts';

/** A function's models with their workers, from start to drain. */
export interface Service {
  readonly chain: ModelChain;
  /** Folders of the chosen models that cannot answer now, the lead model first. */
  missing(): readonly string[];
  /** Whether any model can answer. */
  canAnswer(): boolean;
  /** Whether it is not to be called ready yet though it can answer: others lead meanwhile. */
  isHeldBack(): boolean;
  /** Whether nothing is decoded, runs or waits. */
  isIdle(): boolean;
  /** Whether the standby model's first guess for an input that was answered is the lead model's; never rejects. */
  compareStandby(result: Result): Promise<'agrees' | 'differs' | ShadowMiss>;
  isDraining(): boolean;
  /** From here on the function says that it is not ready; requests are still answered. */
  beginDrain(): void;
  /** Reads the model folders again and serves what has changed in them; nothing comes of it during a drain. Never rejects. */
  reload(): Promise<void>;
  /** Settles with the reasons as soon as no model can ever answer any more, else never. */
  readonly lost: Promise<ModelError>;
  /** Ends the workers once they are idle. */
  close(): Promise<void>;
}

export interface ServiceOptions {
  readonly tier: Tier;
  readonly task: Task;
  /** In the order in which the models should answer. */
  readonly choices: readonly ModelChoice[];
  /** Instruction-set classes of the processor. */
  readonly instructions: readonly string[];
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Called when the lead model cannot answer any more: refused, taken out, or without a worker. */
  readonly onLost: () => void;
  /** Absent where there are no others to lead meanwhile. */
  readonly debut?: Debut | undefined;
}

/** Longest run of the standby model for the sake of a comparison; a pool is not held up by one that hangs. */
const shadowTimeoutMs = 1000;

/** Reads the model folders and starts their workers. @throws ModelError when no folder can be served */
export function createService(options: ServiceOptions): Service {
  const { tier, task, choices, instructions, config, log, metrics, onLost, debut } = options;
  const now = createWorkingClock();
  const choose = () => createChoosing({ choices, modelsDir: config.modelsDir, instructions, card: task.card, log });
  const lanes = createLanes({ choices, choose, thread: task.thread, workers: config.workers, log, now, onLost });
  metrics.watchModels(() =>
    lanes.models().map((model) => {
      const { name, version, variant } = model.spec;
      return { model: name, version, variant, ...model.pool.counts(), isTakenOut: lanes.isTakenOut(model) };
    }),
  );
  metrics.watchMissing(lanes.missing);
  const gate = createGate(config.workers, createEstimate(), now);
  const decoder: Decoder = {
    isIdle: gate.isIdle,
    isSettled: gate.isSettled,
    predictMs: gate.predictMs,
    keyOf: ({ details }) => task.keyOf(details),
    suits: (input, { details }) => task.suits?.(input, details) ?? true,
    decode(bytes, { spec: { details }, ask, precision, isBackground }, signal) {
      const decode = async (waitedMs: number) => {
        const decoded = await task.decode(bytes, { details, ask, settings: config.settings, precision });
        return { decoded, waitedMs };
      };
      return isBackground ? decode(0) : gate.enter(decode, signal);
    },
  };
  let draining = false;
  return {
    chain: {
      tier,
      get models() {
        return lanes.models();
      },
      get isPrimaryServed() {
        return tier === 'primary' && lanes.isLeading();
      },
      primaryBudgetMs: config.primaryBudgetMs,
      standing: createStanding(),
      decoder,
    },
    missing: lanes.missing,
    canAnswer: () => lanes.models().some(({ pool }) => pool.isReady()),
    isHeldBack: () => debut?.waits(lanes.isLeading() && lanes.models()[0].pool.isReady()) ?? false,
    isIdle() {
      const isAtWork = ({ pool }: ServedModel) => {
        const { busy, background, queued } = pool.counts();
        return busy - background + queued > 0;
      };
      return !draining && gate.isEmpty() && !lanes.models().some(isAtWork);
    },
    compareStandby: (result) => compare(task, lanes.models()[1], result),
    isDraining: () => draining,
    lost: lanes.lost,
    beginDrain() {
      draining = true;
    },
    reload: async () => {
      if (!draining) await lanes.reload();
    },
    close: lanes.close,
  };
}

async function compare(task: Task, standby: ServedModel | undefined, { inputFor, output, spec }: Result) {
  if (!standby?.pool.isReady()) return 'failed';
  const input = inputFor(standby.spec);
  if (!input) return 'unlike';
  const run = await standby.pool.run(input, shadowTimeoutMs);
  if (run.status !== 'done') return 'failed';
  const first = task.summarize(output, spec.details);
  return task.summarize(run.output, standby.spec.details) === first ? 'agrees' : 'differs';
}
