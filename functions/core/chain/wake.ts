import { get } from 'node:http';

/** Decides when the fallback is to be woken: pure but for its clock. Either answer is true at most once a minute, failures aside. */
export interface WakeRule {
  /** The lead model cannot answer any more; tells whether to wake now. */
  lost(): boolean;
  /** An answer was given, by the lead model or degraded; tells whether to wake now. */
  answered(isDegraded: boolean): boolean;
  /** What was asked did not wake it: whatever comes next may. */
  failed(): void;
}

/** An answer as it is logged and counted; a degraded one has a reason, a problem a code. */
export interface Answered {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
}

/** Wakes the fallback before it is needed. */
export interface Wake {
  /** Tells that the lead model cannot answer any more. */
  lost(): void;
  /** Tells of an answer to a client that had patience for the lead model. */
  answered(answered: Answered): void;
}

export type WakeCause = 'lost' | 'brown-out';

/** `ready` when the fallback said so, `refused` when it or anyone before it answered otherwise, `failed` without an answer. */
export type WakeOutcome = 'ready' | 'refused' | 'failed';

export interface WakeOptions {
  /** A listener that passes a GET of this on to the fallback. */
  readonly url: string;
  /** What became of a request. */
  readonly onEnd: (outcome: WakeOutcome, fields: Readonly<Record<string, unknown>>) => void;
  /** @default createWakeRule() */
  readonly rule?: WakeRule;
  /** Pause after a request that did not wake it. @default 5000 */
  readonly retryMs?: number;
}

/** As long as the ingress skips a primary that failed: what is over by then is no lasting trouble ... */
const windowS = 5;
/** ... and neither is a page of photos that came at once: it degrades answers in two seconds of the clock at the most. */
const leastSeconds = 3;
/** Below that the lead model still does most of the work, and the next pod or the next second helps. */
const leastShare = 0.5;
/** Often enough: a woken fallback stays for at least the minute over which Knative looks back. */
const pauseMs = 60_000;

/** The ingress connects for 1 s and waits 30 s for the fallback: it answers first. */
const patienceMs = 32_000;

/**
 * Wakes at once when the lead model is lost, and in a brown-out: when at least half of the answers of the last 5 seconds
 * are degraded, in at least 3 of these seconds.
 * @param now milliseconds of a monotonic clock
 */
export function createWakeRule(now: () => number = () => performance.now()): WakeRule {
  let seconds: { readonly at: number; answers: number; degraded: number }[] = [];
  let againMs = 0;

  function isDue(): boolean {
    if (now() < againMs) return false;
    againMs = now() + pauseMs;
    return true;
  }

  function isBrownOut(): boolean {
    const sum = (count: 'answers' | 'degraded') => seconds.reduce((total, second) => total + second[count], 0);
    const affected = seconds.filter(({ degraded }) => degraded > 0).length;
    return affected >= leastSeconds && sum('degraded') >= sum('answers') * leastShare;
  }

  return {
    lost: isDue,
    answered(isDegraded) {
      const at = Math.floor(now() / 1000);
      let current = seconds.at(-1);
      if (current?.at !== at) {
        current = { at, answers: 0, degraded: 0 };
        seconds = [...seconds.filter((second) => second.at > at - windowS), current];
      }
      current.answers += 1;
      if (!isDegraded) return false;
      current.degraded += 1;
      return isBrownOut() && isDue();
    },
    failed() {
      againMs = 0;
    },
  };
}

/**
 * Asks `url` whenever the rule says so. It delays neither an answer nor the end of the process. One that did not wake the
 * fallback is followed by another as long as the trouble lasts: at once when the next answer shows a brown-out, and until the
 * lead model answers again when it was lost.
 */
export function createWake({ url, onEnd, rule = createWakeRule(), retryMs = 5000 }: WakeOptions): Wake {
  let isLost = false;

  function ask(cause: WakeCause): void {
    const startedMs = performance.now();
    let isOver = false; // an answer may break off after it has begun
    const end = (outcome: WakeOutcome, fields: object) => {
      if (isOver) return;
      isOver = true;
      onEnd(outcome, { cause, ms: Math.round(performance.now() - startedMs), ...fields });
      if (outcome !== 'ready') setTimeout(retry, retryMs).unref();
    };
    // Not `fetch`: its first use would load it for tens of milliseconds amid the trouble, and its sockets hold the process.
    const request = get(url, { agent: false, signal: AbortSignal.timeout(patienceMs) });
    request.on('socket', (socket) => socket.unref());
    request.on('error', (error) => end('failed', { error }));
    request.on('response', (response) => {
      response.resume();
      end(response.statusCode === 200 ? 'ready' : 'refused', { status: response.statusCode });
    });
  }

  function retry(): void {
    rule.failed();
    if (isLost && rule.lost()) ask('lost');
  }

  return {
    lost() {
      isLost = true;
      if (rule.lost()) ask('lost');
    },
    answered(answered) {
      const isDegraded = judge(answered);
      if (isDegraded === false) isLost = false;
      if (isDegraded !== undefined && rule.answered(isDegraded)) ask('brown-out');
    },
  };
}

/** Undefined for what says nothing about the lead model: it is still loading, the client was at fault or went away. */
function judge({ status, code, reason }: Answered): boolean | undefined {
  if (reason === 'warming' || code === 'STARTING') return undefined;
  if (status === 200) return reason !== '';
  return status >= 500 ? true : undefined;
}
