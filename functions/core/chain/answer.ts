import { type Prediction, topPredictions } from '../../tasks/classify/top.ts';
import type { Image, Pixels, Precision } from '../../tasks/image/image.ts';
import { geometryOf } from '../../tasks/image/resize.ts';
import type { ModelSpec } from '../card/catalog.ts';
import type { Pool, Run } from '../pool/pool.ts';
import { internalDetail, Problem } from '../problem.ts';
import type { Breaker, Verdict } from './breaker.ts';
import type { Standing } from './standing.ts';

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
  /** Milliseconds after which an upload that came now, after `arriving` others, would be decoded. */
  predictMs(arriving?: number): number;
  /** The image for a model's input; rejects with the signal's reason when that is aborted. */
  decode(
    bytes: Uint8Array,
    input: ModelSpec['input'],
    precision: Precision,
    signal: AbortSignal,
  ): Promise<DecodedImage>;
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
  /** Tells a queue that stands from a burst. */
  readonly standing: Standing;
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
 * upload → image → tensor → model → top predictions. Who answers is decided before the image is decoded, and again after it: a model
 * that would answer too late is not asked; when one raises, overstays or is still loading, the next one answers in its place. An
 * image is decoded once for models that take the same, for the primary model exactly and for others as cheaply as its format
 * allows; each model's worker makes its tensor of it.
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
  refuseHopeless(chain, { strict, deadlineMs });
  const preparation = createPreparation(bytes, chain, signal, trace);
  let reason: Reason | null = chain.tier === 'fallback' ? 'failover' : chain.isPrimaryServed ? null : 'error';
  const misses: Miss[] = [];

  for (const [rank, model] of candidates.entries()) {
    const understudy = candidates.slice(rank + 1).find(({ pool }) => pool.isReady());
    const timeLeft = () => timeFor(model, understudy, chain, { deadlineMs, startedMs });
    const decodeMs = preparation.isReadyFor(model.spec) ? 0 : chain.decoder.predictMs();
    let run: Run | undefined = understudy && judge(model, timeLeft(), decodeMs);
    if (run === undefined) {
      const precision = chain.isPrimaryServed && rank === 0 ? 'exact' : 'reduced';
      const pixels = await preparation.decode(model.spec, precision);
      run = await runInTime(model, pixels, timeLeft(), strict, signal);
    }
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
 * A request that has to wait may be predicted to take this share of the patience and of the budget. A prediction is a mean of what
 * was: with a queue as long as that, some requests wait twice as long and are still in time.
 */
const queueShare = 0.5;

/** What is known of a request before its upload. */
export interface Prospect {
  readonly strict: boolean;
  /** When the client's patience ends, on the clock of `performance.now()`. */
  readonly deadlineMs: number;
  /** Uploads before it that are still arriving. @default 0 */
  readonly arriving?: number;
}

/**
 * Before anything is received or decoded: refuses where no model is predicted to answer soon, that is within half of the client's
 * patience and of the budget. A longer queue makes every answer late and adds none. When idle, the function tries in any case: that
 * delays no other request, and corrects a prediction that was too high.
 * @throws Problem PRIMARY_REQUIRED | DEADLINE_EXCEEDED | BUSY
 */
export function refuseHopeless(chain: ModelChain, { strict, deadlineMs, arriving = 0 }: Prospect): void {
  const candidates = chain.models.slice(0, strict ? 1 : undefined);
  const leftMs = deadlineMs - performance.now();
  const [leading] = chain.models;
  if (strict && (!chain.isPrimaryServed || leading.breaker.retryInMs() > 0)) {
    throw primaryRequired(retryAfter(chain, candidates));
  }
  if (leftMs <= 0) throw deadlineExceeded();
  const ready = candidates.filter(({ pool }) => pool.isReady());
  const decodeMs = chain.decoder.predictMs(arriving);
  // No other model can answer a strict request, so it may wait for its whole patience.
  const allowedMs = strict ? leftMs : Math.min(leftMs, chain.primaryBudgetMs) * queueShare;
  const isHopeless = ({ pool }: ServedModel) =>
    pool.predictMs(decodeMs) > allowedMs && !(arriving === 0 && chain.decoder.isIdle() && pool.isIdle());
  if (ready.length === 0 || !ready.every(isHopeless)) return;
  const cause = `no model is expected to answer within ${Math.round(allowedMs)} ms`;
  throw strict ? primaryRequired(retryAfter(chain, candidates), cause) : busy(cause, retryAfter(chain, candidates));
}

interface Time {
  /** Of the client's patience. */
  readonly leftMs: number;
  /** Of the budget that a model has while another stands by, at least what an idle one needs; undefined where none does. */
  readonly budgetMs: number | undefined;
  /** How long the model may be predicted to take while another stands by: the budget, or less while a queue stands. */
  readonly allowedMs: number;
}

/**
 * What an answer takes beside decoding and its run: receiving the upload, a crowded event loop, the way back through the ingress. At
 * twice the capacity the latest answer of MobileNet for a Wide ResNet that overstayed came after 1,002 ms without it, 989 with it.
 */
const hopsMs = 15;

/** What is left for the model: of the budget after decoding, after what its understudy would need, and after the hops. */
function timeFor(
  { pool }: ServedModel,
  understudy: ServedModel | undefined,
  { primaryBudgetMs, standing }: ModelChain,
  { deadlineMs, startedMs }: { readonly deadlineMs: number; readonly startedMs: number },
): Time {
  const leftMs = deadlineMs - performance.now();
  if (!understudy) return { leftMs, budgetMs: undefined, allowedMs: leftMs };
  // Twice: nobody stands by for it.
  const reservedMs = Math.min(2 * understudy.pool.predictMs() + hopsMs, primaryBudgetMs * reserveShare);
  const wholeMs = primaryBudgetMs - reservedMs;
  const remainingMs = wholeMs - (performance.now() - startedMs);
  // Leaving a worker idle because decoding took long would make nobody's answer come sooner.
  const budgetMs = pool.isIdle() ? Math.max(remainingMs, Math.min(wholeMs, 2 * pool.meanMs())) : remainingMs;
  const laneOf = (one: Pool) => ({ isIdle: one.isIdle(), meanMs: one.meanMs() });
  return { leftMs, budgetMs, allowedMs: standing.allowedMs(budgetMs, laneOf(pool), laneOf(understudy.pool)) };
}

/** Why the model is not to be asked, before or after decoding: not ready, predicted to answer too late, or taken out. */
function judge({ pool, breaker }: ServedModel, time: Time, decodeMs: number): Miss | undefined {
  const absence = pool.absence();
  if (absence) return absence;
  const hasUnderstudy = time.budgetMs !== undefined;
  const deadlineMs = patienceOf(time);
  const predictedMs = pool.predictMs(decodeMs);
  const isIdle = pool.isIdle();
  // With somebody standing by an idle worker is tried when the average run is in time: the first runs after a start are slow and
  // scattered, and a model that is left alone because of them would never show that it is not.
  const isWorthTrying = isIdle && (!hasUnderstudy || pool.isStale() || decodeMs + pool.meanMs() <= deadlineMs);
  const isTooLate = predictedMs > deadlineMs && !isWorthTrying;
  const isOverBudget = hasUnderstudy && predictedMs > time.allowedMs && (!isIdle || time.allowedMs <= 0);
  if (isTooLate || isOverBudget) {
    const allowedMs = Math.round(isTooLate ? deadlineMs : time.allowedMs);
    return { status: 'overload', cause: `predicted to take ${Math.round(predictedMs)} ms of ${allowedMs}` };
  }
  return hasUnderstudy && breaker.retryInMs() > 0 ? takenOut : undefined;
}

const takenOut: Miss = { status: 'error', cause: 'taken out after repeated failures' };

/** The patience that the model has: all of it, or what is not kept for one that stands by. */
function patienceOf({ leftMs, budgetMs }: Time): number {
  return budgetMs === undefined ? leftMs : leftMs - Math.min(reserveMs, leftMs * reserveShare);
}

/** Runs the model, unless it is taken out or its answer is predicted to come too late. */
async function runInTime(
  model: ServedModel,
  pixels: Pixels,
  time: Time,
  strict: boolean,
  signal: AbortSignal,
): Promise<Run> {
  const miss = judge(model, time, 0);
  if (miss) return miss;
  const { pool, breaker } = model;
  const ticket = breaker.admit();
  if ((time.budgetMs !== undefined || strict) && !ticket) return takenOut;
  const deadlineMs = patienceOf(time);
  const timeoutMs = Math.min(deadlineMs, time.budgetMs ?? deadlineMs);
  const run = await pool.run(pixels, timeoutMs, signal);
  ticket?.record(verdictOn(run, timeoutMs < deadlineMs));
  return run;
}

/** A run that overstays counts against the model only where it had its whole budget: a hasty client proves nothing. */
function verdictOn(run: Run, hadBudget: boolean): Verdict {
  if (run.status === 'done') return 'success';
  return run.status === 'error' || (run.status === 'timeout' && run.overstayed && hadBudget) ? 'failure' : 'unknown';
}

interface Preparation {
  /** Whether the image is decoded for the model. */
  isReadyFor(spec: ModelSpec): boolean;
  /** The pixels for the model's input. */
  decode(spec: ModelSpec, precision: Precision): Promise<Pixels>;
}

/** Decodes once for each geometry. */
function createPreparation(bytes: Uint8Array, chain: ModelChain, signal: AbortSignal, trace: Trace): Preparation {
  const known = new Map<string, Pixels>();
  trace.pixelsFor = ({ input }) => known.get(geometryOf(input));
  return {
    isReadyFor: ({ input }) => known.has(geometryOf(input)),
    async decode({ input }, precision) {
      const already = known.get(geometryOf(input));
      if (already) return already;
      const startedMs = performance.now();
      const { image, waitedMs } = await chain.decoder.decode(bytes, input, precision, signal);
      known.set(geometryOf(input), image.pixels);
      trace.queueMs = (trace.queueMs ?? 0) + waitedMs;
      trace.decodeMs = (trace.decodeMs ?? 0) + performance.now() - startedMs - waitedMs;
      trace.sourceWidth = image.sourceWidth;
      trace.sourceHeight = image.sourceHeight;
      return image.pixels;
    },
  };
}

function primaryRequired(retryAfter: string, cause?: string): Problem {
  const detail = 'Expected the primary model for handling=strict but received no answer from it in time';
  return new Problem('PRIMARY_REQUIRED', detail, {
    cause,
    headers: { 'retry-after': retryAfter, 'x-reason': 'strict' },
  });
}

/**
 * Whole seconds, from 1 to 30, after which what waits now will be done and a model that is taken out tried again; up to two more, so
 * that those who are refused together do not come back together.
 */
function retryAfter({ decoder }: ModelChain, candidates: readonly ServedModel[]): string {
  const decodeMs = decoder.predictMs();
  const waits = candidates
    .filter(({ pool }) => pool.isReady()) // one that loads is ready in less than a second
    .map(({ pool, breaker }) => Math.max(pool.predictMs(decodeMs), breaker.retryInMs()));
  const seconds = waits.length > 0 ? Math.ceil(Math.min(...waits) / 1000) : 1;
  return String(Math.max(1, Math.min(30, seconds + Math.floor(Math.random() * 3))));
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
