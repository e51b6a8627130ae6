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
 * others are sent to the other tier or refused there, for 0.1 ms. In 200 ms no client gives up, and refusals are due within 300.
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
