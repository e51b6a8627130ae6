/** The fallback answers 40 photos a second on a machine with little to spare, too: all that the ingress lets in leave within 2 s. */
const intervalMs = 25;
/** The ingress leaves a silent primary after 8 s, and what is late has waited for 5. */
const longestMs = 2000;

/**
 * Spaces answers by which the ingress asks the other tier: a function that hung has all that it held late at once, which is more than the
 * other tier takes at a time.
 * @returns milliseconds from `nowMs` to the turn of an answer
 */
export function createPacer(): (nowMs: number) => number {
  let nextMs = 0;
  return (nowMs) => {
    const waitMs = Math.min(Math.max(0, nextMs - nowMs), longestMs);
    nextMs = nowMs + waitMs + intervalMs;
    return waitMs;
  };
}
