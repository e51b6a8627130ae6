import { EventEmitter, on } from 'node:events';
import { type IncomingHttpHeaders, request } from 'node:http';
import { judge, judgePredictions } from '../../load/k6/answer.ts';
import type { Photo } from './photos.ts';

/**
 * Result of one request. `answer`: a 200 that is right in every respect. `problem`: a 503 problem document with Retry-After.
 * `cut`: the connection was refused, reset or closed. `wrong`: everything else, silence included.
 */
export interface Outcome {
  readonly requestId: string;
  readonly photo: string;
  readonly kind: 'answer' | 'problem' | 'cut' | 'wrong';
  /** What was wrong, or the problem's code; empty for an answer. */
  readonly detail: string;
  /** When it was due, on the clock of `performance.now()`; waits count from here, also when the driver was late. */
  readonly dueMs: number;
  readonly endedMs: number;
  readonly tier: string;
  readonly model: string;
  readonly degraded: boolean;
}

/** Sends photos at fixed times, independent of earlier answers. */
export interface Driver {
  /** Sets the photo of the n-th request from now on. */
  send(photoOf: (n: number) => Photo): void;
  /** Requests that were due from `fromMs` to `toMs`; settles when all have a result. */
  outcomes(fromMs: number, toMs: number): Promise<readonly Outcome[]>;
  /** The first undegraded answer of the Wide ResNet to a request that was due after `afterMs`, as long as `signal` allows. */
  untilPrimary(afterMs: number, signal: AbortSignal): Promise<Outcome>;
  /** Longest delay of a request; more than a few intervals mean that the driver lacked processor time. */
  latestMs(): number;
  /** Stops sending and aborts open requests. */
  stop(): void;
}

export interface DriverOptions {
  /** Address of the front door. */
  readonly origin: string;
  readonly perSecond: number;
  /** Classes of each model by the version that answers name; an answer of any other version is wrong. */
  readonly versions: ReadonlyMap<string, number>;
  /** @default 45000, above all that nginx grants both tiers */
  readonly patienceMs?: number;
}

/** Predictions that a client gets when it names no number. */
const top = 5;

/** Starts to send at once. */
export function startDriver({ origin, perSecond, versions, patienceMs = 45_000 }: DriverOptions): Driver {
  const judge = createJudge(versions);
  const open = new Set<AbortController>();
  const intervalMs = 1000 / perSecond;
  const startedMs = performance.now();
  const pending = new Map<number, Promise<Outcome>>();
  const outcomes = new EventEmitter();
  let photoOf: ((n: number) => Photo) | undefined;
  let sent = 0;
  let latestMs = 0;

  /** Sends all that is due: a late timer must not reduce the load. */
  function sendDue(): void {
    const nowMs = performance.now();
    for (; startedMs + sent * intervalMs <= nowMs; sent += 1) {
      if (photoOf === undefined) continue;
      const dueMs = startedMs + sent * intervalMs;
      latestMs = Math.max(latestMs, nowMs - dueMs);
      pending.set(sent, post(photoOf(sent), `chaos-${sent}`, dueMs));
    }
  }
  const timer = setInterval(sendDue, Math.min(intervalMs / 2, 10));

  async function post(photo: Photo, requestId: string, dueMs: number): Promise<Outcome> {
    const verdict = await withPatience(patienceMs, open, (signal) =>
      ask(origin, photo, requestId, signal).then(
        (heard) => judge(photo, requestId, heard),
        (fault: NodeJS.ErrnoException) => ({ ...nothing, ...lossOf(fault, signal) }),
      ),
    );
    const outcome = { requestId, photo: photo.name, dueMs, endedMs: performance.now(), ...verdict };
    outcomes.emit('outcome', outcome);
    return outcome;
  }

  return {
    send(next) {
      sendDue();
      photoOf = next;
    },
    async outcomes(fromMs, toMs) {
      const numbers = [...pending.keys()].filter((n) => {
        const dueMs = startedMs + n * intervalMs;
        return dueMs >= fromMs && dueMs < toMs;
      });
      const settled = await Promise.all(numbers.map((n) => pending.get(n) as Promise<Outcome>));
      for (const n of numbers) pending.delete(n);
      return settled;
    },
    async untilPrimary(afterMs, signal) {
      for await (const [outcome] of on(outcomes, 'outcome', { signal }) as AsyncIterable<[Outcome]>) {
        if (isPrimary(outcome) && outcome.dueMs >= afterMs) return outcome;
      }
      throw new Error('Expected outcomes until the signal but received none'); // `on` ends only by its signal
    },
    latestMs: () => latestMs,
    stop() {
      clearInterval(timer);
      for (const patience of open) patience.abort();
    },
  };
}

/** Aborts the signal after `ms`, or earlier by what it adds to `open`. */
function withPatience<Result>(
  ms: number,
  open: Set<AbortController>,
  act: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), ms);
  open.add(patience);
  return act(patience.signal).finally(() => {
    clearTimeout(timer);
    open.delete(patience);
  });
}

/** Whether the Wide ResNet of the primary gave this answer. */
export function isPrimary({ kind, tier, degraded }: Outcome): boolean {
  return kind === 'answer' && tier === 'primary' && !degraded;
}

interface Heard {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** One upload on a connection of its own: the server may close a kept one at any moment, which is no fault. */
function ask(origin: string, photo: Photo, requestId: string, signal: AbortSignal): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const { bytes, deadlineMs } = photo;
    const headers = {
      'content-type': 'image/jpeg',
      'content-length': bytes.length,
      'x-request-id': requestId,
      ...(deadlineMs !== undefined && { 'x-deadline-ms': deadlineMs }),
    };
    const outgoing = request(`${origin}/classify`, { method: 'POST', agent: false, headers, signal });
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    outgoing.end(bytes);
  });
}

type Verdict = Pick<Outcome, 'kind' | 'detail' | 'tier' | 'model' | 'degraded'>;

const nothing = { tier: '', model: '', degraded: false };
const cutCodes = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'];

function lossOf(fault: NodeJS.ErrnoException, patience: AbortSignal): Pick<Outcome, 'kind' | 'detail'> {
  if (patience.aborted) return { kind: 'wrong', detail: 'no answer in time' };
  return { kind: cutCodes.includes(fault.code ?? '') ? 'cut' : 'wrong', detail: fault.code ?? fault.message };
}

/** Judges responses. A model has to give the same predictions for the same photo each time. */
function createJudge(
  versions: ReadonlyMap<string, number>,
): (photo: Photo, requestId: string, heard: Heard) => Verdict {
  const said = new Map<string, string>();

  return (photo, requestId, { status, headers, text }) => {
    const wrong = (detail: string): Verdict => ({
      ...nothing,
      kind: 'wrong',
      detail: `${detail}: ${text.slice(0, 300)}`,
    });
    if (headers['x-request-id'] !== requestId) return wrong(`status ${status} for ${headers['x-request-id']}`);
    if (status === 503) return judgeProblem(text, headers) ?? wrong('status 503, no problem with Retry-After');
    const classes = versions.get(String(parse(text).version));
    if (status === 200 && classes === undefined) return wrong('unknown version');
    const names = { 'X-Model': 'x-model', 'X-Tier': 'x-tier', 'X-Degraded': 'x-degraded' };
    const asGo = Object.entries(names).flatMap(([name, own]) => (headers[own] ? [[name, String(headers[own])]] : []));
    const received = { status, headers: Object.fromEntries(asGo), body: text };
    const answer = judge(received, ({ predictions }) => judgePredictions(predictions, Math.min(top, classes ?? top)));
    if (answer.fault !== undefined) return wrong(answer.fault);
    const { model, version, tier, reason, indexes } = answer;
    if (reason === '' ? model !== 'wide-resnet' : model !== 'mobilenet')
      return wrong(`${model} with reason "${reason}"`);
    if (indexes.some((index) => index < 0 || index >= (classes ?? 0))) return wrong('no such class');
    const key = `${photo.name}, ${model} ${version}`;
    const all = indexes.join(' ');
    if ((said.get(key) ?? all) !== all) return wrong(`said ${said.get(key)} of ${key} before`);
    said.set(key, all);
    return { kind: 'answer', detail: '', tier, model, degraded: reason !== '' };
  };
}

function judgeProblem(text: string, headers: IncomingHttpHeaders): Verdict | undefined {
  const { status, code } = parse(text);
  if (headers['content-type'] !== 'application/problem+json' || status !== 503) return undefined;
  if (!/^\d+$/.test(headers['retry-after'] ?? '')) return undefined;
  return { kind: 'problem', detail: String(code), ...nothing };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
