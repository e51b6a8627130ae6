/** Middle and tail of times in milliseconds; null where there were none. */
export interface Quantiles {
  readonly p50: number | null;
  readonly p99: number | null;
}

/** What k6 saw, and what it took. */
export interface Load {
  /** How long requests were sent. */
  readonly seconds: number;
  /** Until the last one was answered or given up, k6's own start included. */
  readonly tookSeconds: number;
  readonly serverCpuSeconds: number;
  readonly k6CpuSeconds: number;
  /** Answers within the limit. */
  readonly good: number;
  readonly byPrimary: number;
  /** How many of each; "0": no answer. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Requests that k6 could not send in time, having too many in flight. */
  readonly dropped: number;
  /** Of answers; who gave up counts with its whole patience. */
  readonly answerMs: Quantiles;
  readonly refusalMs: Quantiles;
}

/** What SIGTERM did to those who were waiting, and to those who came after. */
export interface Shutdown {
  readonly inFlight: number;
  /** Of those in flight: neither answered nor refused. */
  readonly lost: number;
  /** Of those in flight: told 429 or 503. */
  readonly refused: number;
  readonly answeredAfter: number;
  /** Of those who came later: let in, and then neither answered nor refused. */
  readonly brokenAfter: number;
  /** Null: it was still there when the measurement ended. */
  readonly endedAfterMs: number | null;
}

/** What the clients of a broken system saw. */
export interface Faults {
  readonly sent: number;
  readonly lost: number;
  /** Answered, but after more than a second. */
  readonly late: number;
  readonly byPrimary: number;
  /** Longest time without any answer. */
  readonly gapMs: number;
  readonly worstMs: number;
  /** Whether everybody was answered in the last two seconds. */
  readonly isServingAtEnd: boolean;
}

export type Outcome =
  | {
      readonly scenario: 'parity';
      readonly tops: Readonly<Record<string, readonly [index: number, score: number] | null>>;
    }
  | { readonly scenario: 'inputs'; readonly statuses: Readonly<Record<string, string>> }
  | ({ readonly scenario: 'closed' } & Load)
  | ({ readonly scenario: 'open'; readonly offeredPerSecond: number } & Load)
  | ({ readonly scenario: 'sigterm' } & Shutdown)
  | ({ readonly scenario: 'kill' | 'stop' } & Faults);

/** One measurement as it is kept. */
export interface Kept {
  /** From the start of the process to the first 200. */
  readonly firstMs: number;
  /** To the first one by the Wide ResNet; null when another model kept answering. */
  readonly primaryMs: number | null;
  /** Of all its processes together, shared pages counted once. */
  readonly peakMb: number;
  readonly processes: number;
  /** Of the machine in the minute before. */
  readonly averageLoad: number;
  readonly measuredAt: string;
  readonly outcome: Outcome;
}
