/** Takes a model out that fails again and again, and tries it again with one run at a time. */
export interface Breaker {
  /** Whether nothing is wrong: every run is admitted. */
  isClosed(): boolean;
  /** Milliseconds until a run is admitted again; 0 when one would be now. */
  retryInMs(): number;
  /** Asks leave for a run, whose end must be told to `record`. */
  admits(): boolean;
  /** How an admitted run ended; `unknown` says nothing about the model, a client that went away for example. */
  record(verdict: 'success' | 'failure' | 'unknown'): void;
}

export interface BreakerOptions {
  /** So many failures in a row open it. */
  readonly failures: number;
  /** So long no run is admitted; then one is. */
  readonly openMs: number;
  readonly onChange: (isClosed: boolean) => void;
  /** Milliseconds of a monotonic clock. @default performance.now */
  readonly now?: () => number;
}

/** Closed at first. After `failures` in a row open; after `openMs` half-open: one run decides whether it closes or opens again. */
export function createBreaker({ failures, openMs, onChange, now = () => performance.now() }: BreakerOptions): Breaker {
  let inARow = 0;
  let openUntilMs: number | undefined;
  let isProbing = false;
  const remainingMs = () => Math.max(0, (openUntilMs ?? 0) - now());

  return {
    isClosed: () => openUntilMs === undefined,
    retryInMs: remainingMs,
    admits() {
      if (openUntilMs === undefined) return true;
      if (isProbing || remainingMs() > 0) return false;
      isProbing = true;
      return true;
    },
    record(verdict) {
      isProbing = false;
      if (verdict === 'unknown') return;
      inARow = verdict === 'success' ? 0 : inARow + 1;
      const wasClosed = openUntilMs === undefined;
      openUntilMs = inARow < failures ? undefined : now() + openMs;
      if (wasClosed !== (openUntilMs === undefined)) onChange(!wasClosed);
    },
  };
}
