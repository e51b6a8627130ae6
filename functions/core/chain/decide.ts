import type { Absence, Run } from '../pool/queue.ts';

/** A model at one moment, as far as it decides whether to ask it. */
export interface LaneState {
  /** Why no run could start, undefined where one could. */
  readonly absence: Absence | undefined;
  /** Whether a run would start at once. */
  readonly isIdle: boolean;
  /** Whether what it predicts may be wrong by now. */
  readonly isStale: boolean;
  /** What a run takes on average. */
  readonly meanMs: number;
  /** What decoding its input takes first; 0 for an input that is decoded. */
  readonly decodeMs: number;
  /** When a run that follows the decoding would have ended, on the safe side; on average of the last model for a short patience. */
  readonly predictedMs: number;
  /** Until the breaker admits a run; 0 where it does now. */
  readonly retryInMs: number;
}

export interface Time {
  /** Of the client's patience. */
  readonly leftMs: number;
  /** Of the budget that a model has while a standby model is ready; undefined where none is. */
  readonly budgetMs: number | undefined;
  /** How long the model may be predicted to take then: the budget, or less while a queue stands. */
  readonly allowedMs: number;
}

/** Why a model did not answer. */
export type Miss = Extract<Run, { cause: string }>;

/** Whether a model is asked, and for how long. */
export type Decision =
  | { readonly asks: true; readonly timeoutMs: number; readonly hasWholeBudget: boolean }
  | { readonly asks: false; readonly miss: Miss };

/** Kept back of the patience for the standby model: its run takes a few milliseconds, its wait a few times that ... */
const reserveMs = 250;
/** ... but of a short patience or budget no more than this share, so that the lead model is tried at all. */
const reserveShare = 0.25;

/**
 * What an answer takes beside decoding and its run: receiving the upload, a crowded event loop, the way back through the ingress. At
 * twice the capacity the latest answer of a standby model for a lead model that overstayed came after 1,002 ms without it, 989 with it.
 */
const hopsMs = 15;

/**
 * What is left of the budget for a lead model: less what the standby model would need, the hops, and the time since the request began.
 * @param standbyMs what a run of the standby model that came now is predicted to take
 */
export function budgetFor(
  { isIdle, meanMs }: Pick<LaneState, 'isIdle' | 'meanMs'>,
  { standbyMs, budgetMs, spentMs }: { readonly standbyMs: number; readonly budgetMs: number; readonly spentMs: number },
): number {
  // Twice: no model stands by for the standby model.
  const reservedMs = Math.min(2 * standbyMs + hopsMs, budgetMs * reserveShare);
  const wholeMs = budgetMs - reservedMs;
  const remainingMs = wholeMs - spentMs;
  // Leaving a worker idle because decoding took long would make no answer come sooner.
  return isIdle ? Math.max(remainingMs, Math.min(wholeMs, 2 * meanMs)) : remainingMs;
}

/** The patience that the model has: all of it, or what is not kept for the standby model. */
function patienceOf({ leftMs, budgetMs }: Time): number {
  return budgetMs === undefined ? leftMs : leftMs - Math.min(reserveMs, leftMs * reserveShare);
}

/** Whether to ask a model, before its input is decoded or after. */
export function decide(lane: LaneState, time: Time): Decision {
  const miss = missOf(lane, time);
  if (miss) return { asks: false, miss };
  const patienceMs = patienceOf(time);
  const timeoutMs = Math.min(patienceMs, time.budgetMs ?? patienceMs);
  return { asks: true, timeoutMs, hasWholeBudget: timeoutMs < patienceMs };
}

/** A model that the breaker does not admit. */
export const takenOut: Miss = { status: 'error', cause: 'taken out after repeated failures' };

function missOf(lane: LaneState, time: Time): Miss | undefined {
  const { absence, isIdle, isStale, meanMs, decodeMs, predictedMs, retryInMs } = lane;
  if (absence) return absence;
  const hasStandby = time.budgetMs !== undefined;
  const patienceMs = patienceOf(time);
  // With a standby model, an idle worker is tried when the average run is in time: the first runs after a start are slow and
  // scattered, and a model that is left alone because of them would never show that it is not.
  const isWorthTrying = isIdle && (!hasStandby || isStale || decodeMs + meanMs <= patienceMs);
  const isTooLate = predictedMs > patienceMs && !isWorthTrying;
  const isOverBudget = hasStandby && predictedMs > time.allowedMs && (!isIdle || time.allowedMs <= 0);
  if (isTooLate || isOverBudget) {
    const allowedMs = Math.round(isTooLate ? patienceMs : time.allowedMs);
    return { status: 'overload', cause: `predicted to take ${Math.round(predictedMs)} ms of ${allowedMs}` };
  }
  return hasStandby && retryInMs > 0 ? takenOut : undefined;
}

/**
 * A request may be predicted to take this share of the patience and of the budget: a prediction is a mean, and half of them take less.
 * With 0.65 of the budget 9 % were refused in the first 4 s at 1.5 times the capacity after a start.
 */
const queueShare = 0.9;

/** How long a request may be predicted to take before it is refused: a longer queue makes every answer late and adds none. */
export function toleratedMs(strict: boolean, leftMs: number, budgetMs: number): number {
  // No other model can answer a strict request, so it may wait for its whole patience.
  return strict ? leftMs : Math.min(leftMs, budgetMs) * queueShare;
}

/** Whole seconds, from 1 to 30, until the first of these is over; up to two more, so that clients refused together do not return together. */
export function retryAfter(waitsMs: readonly number[]): string {
  const seconds = waitsMs.length > 0 ? Math.ceil(Math.min(...waitsMs) / 1000) : 1;
  return String(Math.max(1, Math.min(30, seconds + Math.floor(Math.random() * 3))));
}
