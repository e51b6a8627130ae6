import type { Breaker, Verdict } from './breaker.ts';
import type { ModelSpec } from './catalog.ts';
import type { Image, Pixels } from './image.ts';
import type { Pool, Run } from './pool.ts';
import { internalDetail, Problem } from './problem.ts';
import { geometryOf } from './resize.ts';
import { type Prediction, topPredictions } from './top.ts';

export type Tier = 'primary' | 'fallback';
export type Reason = 'error' | 'timeout' | 'overload' | 'warming' | 'failover';

/** A model that is being served: its folder, its workers, and what takes it out when it fails again and again. */
export interface ServedModel {
  readonly spec: ModelSpec;
  readonly pool: Pool;
  readonly breaker: Breaker;
}

/** Decodes uploads, a few at a time. */
export interface Decoder {
  /** Whether an upload would be decoded at once. */
  isIdle(): boolean;
  /** Milliseconds after which an upload that came now would be decoded. */
  predictMs(): number;
  /** The image for a model's input; rejects with the signal's reason when that is aborted. */
  decode(bytes: Uint8Array, input: ModelSpec['input'], signal: AbortSignal): Promise<DecodedImage>;
}

/** What a function classifies with. */
export interface ModelChain {
  readonly tier: Tier;
  /** The leading model first; each stands by for the one before it. */
  readonly models: readonly [ServedModel, ...ServedModel[]];
  /** Whether the first of `models` is the primary model, the only one that does not degrade an answer. */
  readonly isPrimaryServed: boolean;
  /** Longest predicted time, waits included, for which a model is chosen while another stands by. */
  readonly primaryBudgetMs: number;
  readonly decoder: Decoder;
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
  /** The decoded image for another model; undefined for one whose image would have to be decoded anew. */
  pixelsFor?: (spec: ModelSpec) => Pixels | undefined;
  /** Why models did not answer, for the log. */
  readonly misses: { readonly model: string; readonly status: string; readonly cause: string }[];
}

/** Kept back of the patience for the model that stands by: its run takes a few milliseconds, its wait a few times that ... */
const reserveMs = 250;
/** ... but of a short patience or budget no more than this share, so that the leading model is tried at all. */
const reserveShare = 0.25;

/**
 * upload → image → tensor → model → top predictions. The image is decoded once for models that take the same; each model's worker
 * makes its tensor of it. A model that would answer too late is not asked; when one raises, overstays or is still loading, the
 * next one answers in its place.
 *
 * @throws Problem IMAGE_* | PRIMARY_REQUIRED | STARTING | BUSY | DEADLINE_EXCEEDED | INTERNAL
 */
export async function classify(
  { bytes, top, strict, deadlineMs, signal }: Classification,
  chain: ModelChain,
  trace: Trace,
): Promise<Answer> {
  const startedMs = performance.now();
  const candidates = chain.models.slice(0, strict ? 1 : undefined); // the chain's own may be replaced meanwhile
  refuseHopeless(chain, candidates, strict, deadlineMs);
  const prepare = createPreparation(bytes, chain, signal, trace);
  let reason: Reason | null = chain.tier === 'fallback' ? 'failover' : chain.isPrimaryServed ? null : 'error';
  const misses: Miss[] = [];

  for (const [rank, model] of candidates.entries()) {
    const pixels = await prepare(model.spec);
    const understudy = candidates.slice(rank + 1).find(({ pool }) => pool.isReady());
    const leftMs = deadlineMs - performance.now();
    const spentMs = performance.now() - startedMs;
    const budgetMs = understudy && budgetFor(model, understudy, chain.primaryBudgetMs, spentMs);
    const run = await runInTime(model, pixels, { leftMs, budgetMs }, strict, signal);
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
    reason ??= run.status;
    misses.push(run);
  }
  if (strict) throw primaryRequired(retryAfter(chain, candidates), misses[0]?.cause);
  throw unanswered(misses, retryAfter(chain, candidates));
}

/**
 * Before anything is decoded: whether any model can be expected to answer in time. Where nobody waits, prediction has no say:
 * what is tried then costs nobody else time, and shows whether a prediction was too dark.
 * @throws Problem PRIMARY_REQUIRED | DEADLINE_EXCEEDED | BUSY
 */
function refuseHopeless(
  chain: ModelChain,
  candidates: readonly ServedModel[],
  strict: boolean,
  deadlineMs: number,
): void {
  const leftMs = deadlineMs - performance.now();
  const [leading] = chain.models;
  if (strict && (!chain.isPrimaryServed || leading.breaker.retryInMs() > 0)) {
    throw primaryRequired(retryAfter(chain, candidates));
  }
  if (leftMs <= 0) throw deadlineExceeded();
  const ready = candidates.filter(({ pool }) => pool.isReady());
  const decodeMs = chain.decoder.predictMs();
  const isHopeless = ({ pool }: ServedModel) =>
    pool.predictMs(decodeMs) > leftMs && !(chain.decoder.isIdle() && pool.isIdle());
  if (ready.length === 0 || !ready.every(isHopeless)) return;
  const cause = `no model is expected to answer within ${Math.round(leftMs)} ms`;
  throw strict ? primaryRequired(retryAfter(chain, candidates), cause) : busy(cause, retryAfter(chain, candidates));
}

interface Time {
  /** Of the client's patience. */
  readonly leftMs: number;
  /** Of the budget that a model has while another stands by; undefined where none does. */
  readonly budgetMs: number | undefined;
}

/**
 * What an answer takes beside decoding and its run: receiving the upload, a crowded event loop, the way back through the ingress. At
 * twice the capacity the latest answer of MobileNet for a Wide ResNet that overstayed came after 1,002 ms without it, 989 with it.
 */
const hopsMs = 15;

/** What is left of the budget for the model after decoding, after what its understudy would need, and after the hops. */
function budgetFor(model: ServedModel, understudy: ServedModel, budgetMs: number, spentMs: number): number {
  // Twice: nobody stands by for it.
  const reservedMs = Math.min(2 * understudy.pool.predictMs() + hopsMs, budgetMs * reserveShare);
  // Leaving a worker idle because decoding took long would make nobody's answer come sooner.
  return budgetMs - reservedMs - (model.pool.isIdle() ? 0 : spentMs);
}

/** Runs the model, unless it is taken out or its answer is predicted to come too late. */
async function runInTime(
  { pool, breaker }: ServedModel,
  pixels: Pixels,
  { leftMs, budgetMs }: Time,
  strict: boolean,
  signal: AbortSignal,
): Promise<Run> {
  if (!pool.isReady()) return pool.run(pixels, leftMs, signal); // it says why not
  const hasUnderstudy = budgetMs !== undefined;
  const deadlineMs = hasUnderstudy ? leftMs - Math.min(reserveMs, leftMs * reserveShare) : leftMs;
  const predictedMs = pool.predictMs();
  const isIdle = pool.isIdle();
  // With somebody standing by an idle worker is tried when the average run is in time: the first runs after a start are slow and
  // scattered, and a model that is left alone because of them would never show that it is not.
  const isWorthTrying = isIdle && (!hasUnderstudy || pool.isStale() || pool.meanMs() <= deadlineMs);
  const isTooLate = predictedMs > deadlineMs && !isWorthTrying;
  const isOverBudget = hasUnderstudy && predictedMs > budgetMs && !isIdle;
  if (isTooLate || isOverBudget) {
    const allowedMs = Math.round(isTooLate ? deadlineMs : (budgetMs as number));
    return { status: 'overload', cause: `predicted to take ${Math.round(predictedMs)} ms of ${allowedMs}` };
  }
  const ticket = breaker.admit();
  if ((hasUnderstudy || strict) && !ticket) return { status: 'error', cause: 'taken out after repeated failures' };
  const timeoutMs = hasUnderstudy ? Math.min(deadlineMs, budgetMs) : deadlineMs;
  const run = await pool.run(pixels, timeoutMs, signal);
  ticket?.record(verdictOn(run, timeoutMs < deadlineMs));
  return run;
}

/** A run that overstays counts against the model only where it had its whole budget: a hasty client proves nothing. */
function verdictOn(run: Run, hadBudget: boolean): Verdict {
  if (run.status === 'done') return 'success';
  return run.status === 'error' || (run.status === 'timeout' && run.overstayed && hadBudget) ? 'failure' : 'unknown';
}

/** The pixels for a model's input, decoded once for each geometry. */
function createPreparation(
  bytes: Uint8Array,
  chain: ModelChain,
  signal: AbortSignal,
  trace: Trace,
): (spec: ModelSpec) => Promise<Pixels> {
  const known = new Map<string, Pixels>();
  trace.pixelsFor = ({ input }) => known.get(geometryOf(input));
  return async ({ input }) => {
    const geometry = geometryOf(input);
    const already = known.get(geometry);
    if (already) return already;
    const startedMs = performance.now();
    const { image, waitedMs } = await chain.decoder.decode(bytes, input, signal);
    known.set(geometry, image.pixels);
    trace.queueMs = (trace.queueMs ?? 0) + waitedMs;
    trace.decodeMs = (trace.decodeMs ?? 0) + performance.now() - startedMs - waitedMs;
    trace.sourceWidth = image.sourceWidth;
    trace.sourceHeight = image.sourceHeight;
    return image.pixels;
  };
}

function primaryRequired(retryAfter: string, cause?: string): Problem {
  const detail = 'Expected the primary model for handling=strict but received no answer from it in time';
  return new Problem('PRIMARY_REQUIRED', detail, {
    cause,
    headers: { 'retry-after': retryAfter, 'x-reason': 'strict' },
  });
}

/** Whole seconds, from 1 to 30, after which what waits now will be done and a model that is taken out tried again. */
function retryAfter({ decoder }: ModelChain, candidates: readonly ServedModel[]): string {
  const decodeMs = decoder.predictMs();
  const waits = candidates
    .filter(({ pool }) => pool.isReady()) // one that loads is ready in less than a second
    .map(({ pool, breaker }) => Math.max(pool.predictMs(decodeMs), breaker.retryInMs()));
  const seconds = waits.length > 0 ? Math.ceil(Math.min(...waits) / 1000) : 1;
  return String(Math.max(1, Math.min(30, seconds)));
}

/** What the client is told when no model answered: what time or room could mend comes before what is broken. */
function unanswered(misses: readonly Miss[], retryAfter: string): Problem {
  const causeOf = (status: Miss['status']) => misses.find((miss) => miss.status === status)?.cause;
  const [overload, timeout, warming] = [causeOf('overload'), causeOf('timeout'), causeOf('warming')];
  if (misses.at(-1)?.status === 'timeout') return deadlineExceeded(timeout); // the last model had all the time that was left
  if (overload !== undefined) return busy(overload, retryAfter);
  if (timeout !== undefined) return deadlineExceeded(timeout);
  if (warming !== undefined) return starting(warming);
  return new Problem('INTERNAL', internalDetail, { cause: misses.at(-1)?.cause });
}

export function deadlineExceeded(cause?: string): Problem {
  return new Problem('DEADLINE_EXCEEDED', 'Expected an answer within the deadline but received none', { cause });
}

/** This function is full; another may not be. */
export function busy(cause: string, retryAfter: string): Problem {
  const detail = 'Expected a free place in the queue but received more requests than can be answered in time';
  return new Problem('BUSY', detail, { cause, headers: { 'retry-after': retryAfter, 'x-reason': 'busy' } });
}

export function starting(cause?: string): Problem {
  const detail = 'Expected a loaded model but received the request before any was';
  return new Problem('STARTING', detail, { cause, headers: { 'retry-after': '1', 'x-reason': 'starting' } });
}
