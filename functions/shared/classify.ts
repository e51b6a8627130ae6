import type { ModelSpec } from './catalog.ts';
import type { Image } from './image.ts';
import type { Pool, Run } from './pool.ts';
import { internalDetail, Problem } from './problem.ts';
import { type Tensor, toTensor } from './tensor.ts';
import { type Prediction, topPredictions } from './top.ts';

export type Tier = 'primary' | 'fallback';
export type Reason = 'error' | 'timeout' | 'overload' | 'warming' | 'failover';

/** A model that is being served: its folder and its workers. */
export interface ServedModel {
  readonly spec: ModelSpec;
  readonly pool: Pool;
}

/** What a function classifies with. */
export interface ModelChain {
  readonly tier: Tier;
  /** The leading model first; each stands by for the one before it. */
  readonly models: readonly [ServedModel, ...ServedModel[]];
  /** Whether the first of `models` is the primary model, the only one that does not degrade an answer. */
  readonly isPrimaryServed: boolean;
  /** Longest time, wait included, that a model is given while another stands by. */
  readonly primaryBudgetMs: number;
  /** Decodes the upload for a model's input, a few at a time; rejects with the signal's reason when that is aborted. */
  readonly decode: (bytes: Uint8Array, input: ModelSpec['input'], signal: AbortSignal) => Promise<DecodedImage>;
}

export interface DecodedImage {
  readonly image: Image;
  /** How long it waited for its turn. */
  readonly waitedMs: number;
}

export interface Classification {
  readonly bytes: Uint8Array;
  readonly top: number;
  readonly strict: boolean;
  /** When the client's patience ends, on the clock of `performance.now()`. */
  readonly deadlineMs: number;
  /** Aborted with a Problem when the client's patience ends or the client has gone. */
  readonly signal: AbortSignal;
}

type Miss = Exclude<Run, { status: 'done' }>;

export interface Answer {
  readonly model: string;
  readonly version: string;
  readonly tier: Tier;
  readonly degraded: boolean;
  readonly reason: Reason | null;
  readonly predictions: readonly Prediction[];
}

/** What a classification took, stage by stage, for `Server-Timing`, metrics and the log. */
export interface Trace {
  sourceWidth?: number;
  sourceHeight?: number;
  decodeMs?: number;
  queueMs?: number;
  modelMs?: number;
  /** Why models did not answer, for the log. */
  readonly misses: { readonly model: string; readonly status: string; readonly cause: string }[];
}

/** Kept back for the model that stands by: its run takes a few milliseconds, its wait behind others a few times that ... */
const reserveMs = 250;
/** ... but of a short patience no more than this share, so that the leading model is tried at all. */
const reserveShare = 0.25;

/**
 * upload → image → tensor → model → top predictions. The image is decoded once, the tensor shared by models that take the
 * same input; when a model raises, overstays, is full or still loading, the next one answers in its place.
 *
 * @throws Problem IMAGE_* | PRIMARY_REQUIRED | STARTING | BUSY | DEADLINE_EXCEEDED | INTERNAL
 */
export async function classify(
  { bytes, top, strict, deadlineMs, signal }: Classification,
  chain: ModelChain,
  trace: Trace,
): Promise<Answer> {
  if (strict && !chain.isPrimaryServed) throw primaryRequired();
  if (deadlineMs <= performance.now()) throw deadlineExceeded();
  const prepare = createPreparation(bytes, chain, signal, trace);
  let reason: Reason | null = chain.tier === 'fallback' ? 'failover' : chain.isPrimaryServed ? null : 'error';
  const misses: Miss[] = [];

  for (const [rank, model] of chain.models.entries()) {
    const tensor = await prepare(model.spec);
    const leftMs = deadlineMs - performance.now();
    const hasUnderstudy = !strict && chain.models.slice(rank + 1).some(({ pool }) => pool.isReady());
    const reservedMs = Math.min(reserveMs, leftMs * reserveShare);
    const timeoutMs = hasUnderstudy ? Math.min(chain.primaryBudgetMs, leftMs - reservedMs) : leftMs;
    const run = await model.pool.run(tensor, timeoutMs, signal);
    if (run.status === 'done') {
      trace.queueMs = (trace.queueMs ?? 0) + run.queueMs;
      trace.modelMs = run.modelMs;
      return {
        model: model.spec.name,
        version: model.spec.version,
        tier: chain.tier,
        degraded: reason !== null,
        reason,
        predictions: topPredictions(run.logits, model.spec.labels, top),
      };
    }
    trace.misses.push({ model: model.spec.name, status: run.status, cause: run.cause });
    if (strict) throw primaryRequired(run.cause);
    reason ??= run.status;
    misses.push(run);
  }
  throw unanswered(misses);
}

/** The tensor for a model's input, from an image decoded once for each geometry and converted once for each recipe. */
function createPreparation(
  bytes: Uint8Array,
  chain: ModelChain,
  signal: AbortSignal,
  trace: Trace,
): (spec: ModelSpec) => Promise<Tensor> {
  const images = new Map<string, DecodedImage>();
  const tensors = new Map<string, Tensor>();
  return async ({ input, inputKey }) => {
    const known = tensors.get(inputKey);
    if (known) return known;
    const startedMs = performance.now();
    const geometry = `${input.resize}/${input.crop}`;
    const { image, waitedMs } = images.get(geometry) ?? (await chain.decode(bytes, input, signal));
    const tensor = toTensor(image.pixels, input);
    images.set(geometry, { image, waitedMs: 0 });
    tensors.set(inputKey, tensor);
    trace.queueMs = (trace.queueMs ?? 0) + waitedMs;
    trace.decodeMs = (trace.decodeMs ?? 0) + performance.now() - startedMs - waitedMs;
    trace.sourceWidth = image.sourceWidth;
    trace.sourceHeight = image.sourceHeight;
    return tensor;
  };
}

function primaryRequired(cause?: string): Problem {
  const detail = 'Expected the primary model for handling=strict but received no answer from it in time';
  return new Problem('PRIMARY_REQUIRED', detail, { cause, headers: { 'retry-after': '1', 'x-reason': 'strict' } });
}

/** What the client is told when no model answered: what time or room could mend comes before what is broken. */
function unanswered(misses: readonly Miss[]): Problem {
  const causeOf = (status: Miss['status']) => misses.find((miss) => miss.status === status)?.cause;
  const [overload, timeout, warming] = [causeOf('overload'), causeOf('timeout'), causeOf('warming')];
  if (overload !== undefined) return busy(overload);
  if (timeout !== undefined) return deadlineExceeded(timeout);
  if (warming !== undefined) return starting(warming);
  return new Problem('INTERNAL', internalDetail, { cause: misses.at(-1)?.cause });
}

export function deadlineExceeded(cause?: string): Problem {
  return new Problem('DEADLINE_EXCEEDED', 'Expected an answer within the deadline but received none', { cause });
}

/** This function is full; another may not be. */
export function busy(cause?: string): Problem {
  const detail = 'Expected a free place in the queue but received more requests than can be answered in time';
  return new Problem('BUSY', detail, { cause, headers: { 'retry-after': '1', 'x-reason': 'busy' } });
}

export function starting(cause?: string): Problem {
  const detail = 'Expected a loaded model but received the request before any was';
  return new Problem('STARTING', detail, { cause, headers: { 'retry-after': '1', 'x-reason': 'starting' } });
}
