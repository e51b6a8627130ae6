import type { Exchange } from './exchange.ts';

/** How answers are spaced. */
export interface Pace {
  readonly intervalMs: number;
  /** The longest wait. */
  readonly longestMs: number;
}

/**
 * Of what is late without a deadline of the client's: a function that hung has all that it held late at once, and the ingress asks the
 * other tier, which answers 40 photos a second on a machine with little to spare, too. All that the ingress lets in leave within 2 s; it
 * leaves a silent primary after 8 s, and what is late has waited for 5.
 */
export const latePace: Pace = { intervalMs: 25, longestMs: 2000 };

/**
 * Of what is refused for want of room, each of which takes 0.4 to 1 ms of a core. Until it leaves it has its place at the ingress, so that
 * others are sent to the other tier or refused there, for 0.1 ms. 200 ms are the longest, as 99 % of all refusals are due within 300.
 */
export const fullPace: Pace = { intervalMs: 5, longestMs: 200 };

/**
 * Spaces answers.
 * @returns milliseconds from `nowMs` to the turn of an answer
 */
export function createPacer({ intervalMs, longestMs }: Pace): (nowMs: number) => number {
  let nextMs = 0;
  return (nowMs) => {
    const waitMs = Math.min(Math.max(0, nextMs - nowMs), longestMs);
    nextMs = nowMs + waitMs + intervalMs;
    return waitMs;
  };
}

/**
 * When a refusal may leave.
 * @returns milliseconds from `nowMs`; of what is refused for want of room a quarter at most of what is left of its patience, so that
 * another tier can still answer
 */
export function createRefusalPacer(): (
  code: string,
  exchange: Pick<Exchange, 'arrivedMs' | 'parameters'> | undefined,
  nowMs: number,
) => number {
  const [paceLate, paceFull] = [createPacer(latePace), createPacer(fullPace)];
  return (code, exchange, nowMs) => {
    const parameters = exchange?.parameters;
    if (code === 'DEADLINE_EXCEEDED') return parameters?.namesDeadline ? 0 : paceLate(nowMs);
    if (code !== 'BUSY' && code !== 'PRIMARY_REQUIRED') return 0;
    const leftMs = exchange && parameters ? exchange.arrivedMs + parameters.patienceMs - nowMs : 0;
    return Math.min(paceFull(nowMs), Math.max(0, leftMs) / 4);
  };
}
