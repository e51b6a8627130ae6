/** By which tier an attempt went: a private server of nginx. */
export type Way = 'primary' | 'fallback' | 'strict' | 'alone';

export interface Attempt {
  readonly way: Way;
  /** 0 where nginx got none. */
  readonly status: number;
  readonly ms: number;
}

const outcomes = ['lead', 'degraded', 'unanswered', 'strict', 'hurried', 'client', 'gone', 'other'] as const;

/**
 * What became of a request: answered by the `lead` model or `degraded`; `unanswered`, which is a failure of ours; `strict`, when only
 * the lead model would have done; `hurried`, when the client left too little time; a fault of the `client`; or the client was `gone`.
 */
export type Outcome = (typeof outcomes)[number];
export const allOutcomes: readonly Outcome[] = outcomes;

/** What was asked for; `jobs` are looked at, and run elsewhere. */
export type TaskName = 'classify' | 'clouds' | 'digits' | 'jobs';
export const taskNames: readonly TaskName[] = ['classify', 'clouds', 'digits', 'jobs'];

/** A request as nginx has logged it. */
export interface Visit {
  readonly task: TaskName;
  /** Whether it asks for an answer: a look at a job, metadata or a page is none, though a function may tell it. */
  readonly isAsking: boolean;
  /** Whether it may have a second tier. */
  readonly isTiered: boolean;
  readonly outcome: Outcome;
  readonly method: string;
  readonly status: number;
  readonly requestId: string;
  /** Of the answer; empty where it has none. */
  readonly model: string;
  readonly tier: string;
  readonly reason: string;
  readonly revision: string;
  /** In milliseconds since 1970. */
  readonly endMs: number;
  /** From the first byte of the request, a slow upload included, to the last one of the answer. */
  readonly ms: number;
  readonly attempts: readonly Attempt[];
  /** What the attempts took together: the client's line counts for nothing. */
  readonly tiersMs: number;
  readonly trace: { readonly traceId: string; readonly spanId: string; readonly parentId: string | undefined };
  readonly isSampled: boolean;
}

/** The breaker ignores what fails within a shorter deadline, too: a client could open it otherwise. */
const shortDeadlineMs = 1800;

const tasks: Readonly<Record<string, TaskName>> = {
  tiers: 'classify',
  strict: 'classify',
  infer: 'clouds',
  predict: 'digits',
  jobs: 'jobs',
};

/** The access line in a syslog message, or alone; undefined for anything else. */
export function readVisit(message: string): Visit | undefined {
  const line = parse(message.slice(message.indexOf('{')));
  if (!line) return undefined;
  const text = (name: string) => String(line[name] ?? '');
  const known = (name: string, pattern: RegExp) => (pattern.test(text(name)) ? text(name) : '');
  const [status, seconds, at] = [Number(line.status), Number(line.seconds), Number(line.at)];
  const task = Object.hasOwn(tasks, text('group')) ? tasks[text('group')] : undefined;
  const [traceId, spanId] = [known('trace', /^[0-9a-f]{32}$/), known('span', /^[0-9a-f]{16}$/)];
  if (!task || !Number.isInteger(status) || !Number.isFinite(seconds + at) || traceId === '' || spanId === '') {
    return undefined;
  }
  const attempts = readAttempts(text('tiers'), text('answers'), text('times'));
  const reason = known('degraded', /^[a-z]{1,20}$/);
  const isAsking = /^(?:POST|PUT)$/.test(text('method'));
  const outcome = judge({
    status,
    reason,
    isStrict: text('group') === 'strict',
    isShort: /^\d{1,5}$/.test(text('deadline')) && Number(text('deadline')) < shortDeadlineMs,
    isAsking,
    wasAsked: attempts.length > 0,
  });
  return {
    task,
    isAsking,
    isTiered: text('group') === 'tiers',
    outcome,
    method: known('method', /^[A-Z]{1,16}$/),
    status,
    requestId: text('requestId'),
    model: known('model', /^[\w.-]{1,100}$/),
    tier: known('tier', /^(?:primary|fallback)$/),
    reason,
    revision: known('revision', /^[a-z0-9.-]{1,253}$/),
    endMs: at * 1000,
    ms: seconds * 1000,
    attempts,
    tiersMs: attempts.reduce((sum, { ms }) => sum + ms, 0),
    trace: { traceId, spanId, parentId: known('parent', /^[0-9a-f]{16}$/) || undefined },
    isSampled: text('sampled') === '01',
  };
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

interface Judged {
  readonly status: number;
  readonly reason: string;
  readonly isStrict: boolean;
  readonly isShort: boolean;
  readonly isAsking: boolean;
  readonly wasAsked: boolean;
}

function judge({ status, reason, isStrict, isShort, isAsking, wasAsked }: Judged): Outcome {
  if (status === 499) return 'gone'; // nginx' number for a client that went away
  if (!isAsking && !(status >= 400 && status < 500)) return 'other';
  if (status >= 500) return isStrict ? 'strict' : isShort ? 'hurried' : 'unanswered';
  if (status >= 400) return 'client';
  if (status !== 200 || !wasAsked) return 'other'; // a page of the ingress itself
  return reason === '' ? 'lead' : 'degraded';
}

/** nginx separates attempts by commas, and by colons after an internal redirect. A group's name is no attempt: no server had room. */
export function readAttempts(addresses: string, statuses: string, times: string): readonly Attempt[] {
  const [all, codes, seconds] = [addresses, statuses, times].map((list) => list.split(/ : |, /)) as [
    string[],
    string[],
    string[],
  ];
  return all.flatMap((address, i): readonly Attempt[] => {
    const [, way] = /\/(primary|fallback|strict|alone)\.sock$/.exec(address) ?? [];
    if (way === undefined) return [];
    return [{ way: way as Way, status: Number(codes[i]) || 0, ms: (Number(seconds[i]) || 0) * 1000 }];
  });
}
