/** How an admitted run ended; `unknown` says nothing about the model, a client that went away for example. */
export type Verdict = 'success' | 'failure' | 'unknown';

/** Leave for one run. */
export interface Ticket {
  /** How the run ended. It counts once, and not at all when the breaker has opened or closed since it gave leave. */
  record(verdict: Verdict): void;
}

/** Takes a model out that fails again and again, and tries it again with one run at a time. */
export interface Breaker {
  /** Whether nothing is wrong: every run is admitted. */
  isClosed(): boolean;
  /** Milliseconds until a run is admitted again; 0 when one would be now. */
  retryInMs(): number;
  /** Leave for a run, whose end must be told to it; undefined where none is given. */
  admit(): Ticket | undefined;
}

export interface BreakerOptions {
  /** So many failures in a row open it, as of now. */
  readonly failures: () => number;
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
  let valid = new Set<Ticket>(); // what is not in here any more has nothing to say
  const remainingMs = () => Math.max(0, (openUntilMs ?? 0) - now());

  function turn(untilMs: number | undefined): void {
    const wasClosed = openUntilMs === undefined;
    openUntilMs = untilMs;
    valid = new Set();
    if (wasClosed !== (untilMs === undefined)) onChange(!wasClosed);
  }

  function judge(verdict: Verdict): void {
    if (verdict === 'unknown') return;
    inARow = verdict === 'success' ? 0 : inARow + 1;
    if (inARow >= failures()) turn(now() + openMs);
    else if (openUntilMs !== undefined) turn(undefined);
  }

  return {
    isClosed: () => openUntilMs === undefined,
    retryInMs: remainingMs,
    admit() {
      const isProbing = openUntilMs !== undefined && valid.size > 0;
      if (isProbing || remainingMs() > 0) return undefined;
      const ticket: Ticket = {
        record(verdict) {
          if (valid.delete(ticket)) judge(verdict);
        },
      };
      valid.add(ticket);
      return ticket;
    },
  };
}
