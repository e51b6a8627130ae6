import type { ModelChain, Prospect } from './chain.ts';
import { retryAfter, toleratedMs } from './decide.ts';
import type { ServedModel } from './place.ts';
import { busy, deadlineExceeded, primaryRequired } from './refusal.ts';
import { laneOf } from './standing.ts';

/**
 * Before anything is received or decoded: refuses where no model is predicted to answer soon. When idle, the function tries in any case:
 * that delays no other request, and corrects a prediction that was too high. Until the model that stands by for all others has answered
 * a few and two seconds have passed since the first of them, the client's patience alone counts: the first runs are slow, and requests
 * may have waited for this tier to start and have come at once.
 * @throws Problem PRIMARY_REQUIRED | DEADLINE_EXCEEDED | BUSY
 */
export function refuseHopeless(chain: ModelChain, { strict, deadlineMs, arriving = 0 }: Prospect): void {
  const candidates = chain.models.slice(0, strict ? 1 : undefined);
  const after = () => retryAfter(waitsOf(chain, candidates));
  const leftMs = deadlineMs - performance.now();
  const [lead] = chain.models;
  if (strict && (!chain.isPrimaryServed || lead.breaker.retryInMs() > 0)) throw primaryRequired(after());
  if (leftMs <= 0) throw deadlineExceeded();
  const ready = candidates.filter(({ pool }) => pool.isReady());
  const decodeMs = chain.decoder.predictMs(arriving);
  const isSettled = chain.decoder.isSettled() && (ready.at(-1)?.pool.isSettled() ?? false);
  const allowedMs = isSettled ? toleratedMs(strict, leftMs, chain.primaryBudgetMs) : leftMs;
  // On average; a strict request, which may use up all of its patience, on the safe side.
  const isLate = ({ pool }: ServedModel, coming: number) =>
    (strict ? pool.predictMs(decodeMs) : pool.expectMs(decodeMs, coming)) > allowedMs;
  const isIdle = ({ pool }: ServedModel) => arriving === 0 && chain.decoder.isIdle() && pool.isIdle();
  const isHopeless = (model: ServedModel, rank: number) => {
    const standby = ready[rank + 1];
    // While a queue stands before the last model the others are not asked: what arrives comes to that one.
    if (standby && chain.standing.allowedMs(chain.primaryBudgetMs, laneOf(model), laneOf(standby)) <= 0) return true;
    return isLate(model, standby || !isSettled ? 0 : arriving) && !isIdle(model);
  };
  if (ready.length === 0 || !ready.every(isHopeless)) return;
  const cause = `no model is expected to answer within ${Math.round(allowedMs)} ms`;
  throw strict ? primaryRequired(after(), cause) : busy(cause, after());
}

/** For each model that is ready: when what waits now will be done and a model that was taken out is tried again. */
export function waitsOf(
  { decoder, models }: ModelChain,
  candidates: readonly ServedModel[] = models,
): readonly number[] {
  const decodeMs = decoder.predictMs();
  const ready = candidates.filter(({ pool }) => pool.isReady()); // one that loads is ready in less than a second
  return ready.map(({ pool, breaker }) => Math.max(pool.predictMs(decodeMs), breaker.retryInMs()));
}
