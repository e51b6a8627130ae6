import type { Visit } from './visit.ts';

/** nginx' breaker for the primary, as far as its log tells. */
export interface Breaker {
  observe(visit: Visit): void;
  isOpen(nowMs: number): boolean;
}

/** As nginx.conf has them for the primary: max_fails and fail_timeout. */
const maxFails = 3;
const failTimeoutMs = 5000;
/** What nginx logs for an outage, at which the primary's private server closes the connection. */
const outage = 502;

/**
 * Counts as nginx does: a success clears the failures only where it began more than `fail_timeout` after the last one. What the log
 * cannot tell is when a request was sent, so the picture may be late by the length of a request.
 */
export function createBreaker(): Breaker {
  let fails = 0;
  let failedMs = 0;
  let checkedMs = 0;
  return {
    observe({ isTiered, attempts: [first], endMs, tiersMs }) {
      if (!isTiered || first?.way !== 'primary') return;
      const beganMs = endMs - tiersMs;
      if (beganMs - checkedMs > failTimeoutMs) checkedMs = beganMs;
      if (first.status === outage) {
        fails += 1;
        failedMs = beganMs + first.ms;
        checkedMs = failedMs;
      } else if (failedMs < checkedMs) fails = 0;
    },
    isOpen: (nowMs) => fails >= maxFails && nowMs - checkedMs <= failTimeoutMs,
  };
}
