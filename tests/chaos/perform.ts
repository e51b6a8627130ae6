import { setTimeout as sleep } from 'node:timers/promises';
import { type Fault, pause, type Stage, untilReady } from './fault.ts';
import { type Row, summarize } from './row.ts';

/** Times around a fault. */
export interface Frame {
  /** Before the fault, and after the return to the primary. */
  readonly quietMs: number;
  /** Shortest row. */
  readonly shortestMs: number;
  /** A longer fault fails its row; the longest one takes a third of it. @default 60,000 */
  readonly strikeWithinMs?: number;
}

/** Longest wait for the Wide ResNet after a fault: delayed restarts, load and breaker take less than half. */
const returnWithinMs = 45_000;

/** An access line arrives through a pipe just after its answer. */
const lineMs = 200;

/** Causes one fault while the driver sends, waits for the Wide ResNet, and sums up. */
export async function perform(
  fault: Fault,
  stage: Stage,
  { quietMs, shortestMs, strikeWithinMs = 60_000 }: Frame,
): Promise<Row> {
  const { driver, stack, signal } = stage;
  const fromMs = performance.now();
  await pause(stage, quietMs);
  let mishap: string | undefined;
  await strikeInTime(fault, stage, strikeWithinMs).catch((reason: Error) => {
    signal.throwIfAborted();
    mishap = `Expected the fault to happen but received ${reason.message}`;
  });
  const endedMs = performance.now();

  const patience = new AbortController();
  const giveUp = () => patience.abort();
  const timer = setTimeout(giveUp, returnWithinMs);
  signal.addEventListener('abort', giveUp);
  const waiting = { ...stage, signal: patience.signal };
  const moment = () => performance.now();
  const ifNever = () => undefined;
  const [readyMs, recoveredMs] = await Promise.all([
    untilReady(waiting, 'primary').then(moment, ifNever),
    driver.untilPrimary(endedMs, patience.signal).then(moment, ifNever),
    untilReady(waiting, 'fallback').catch(ifNever), // the next fault must find both
  ]);
  clearTimeout(timer);
  signal.removeEventListener('abort', giveUp);
  signal.throwIfAborted();
  await pause(stage, Math.max(quietMs, fromMs + shortestMs - performance.now()));
  const toMs = performance.now();

  const outcomes = await driver.outcomes(fromMs, toMs);
  await sleep(lineMs);
  const row = summarize(fault, outcomes, stack.lines, { fromMs, endedMs, readyMs, recoveredMs, toMs });
  for (const { requestId } of outcomes) stack.lines.delete(requestId);
  return mishap === undefined ? row : { ...row, faults: [mishap, ...row.faults] };
}

/** @throws Error when the fault fails or takes too long; its signal is aborted then */
async function strikeInTime(fault: Fault, stage: Stage, withinMs: number): Promise<void> {
  const limit = AbortSignal.timeout(withinMs);
  await fault.strike({ ...stage, signal: AbortSignal.any([stage.signal, limit]) }).catch((reason: Error) => {
    throw limit.aborted ? new Error(`no end of it within ${withinMs / 1000} s`) : reason;
  });
}
