import { type IncomingHttpHeaders, request } from 'node:http';
import type { Photo } from './photos.ts';

/**
 * What one request met. `answer`: a 200 that is right in every respect. `problem`: a 503 of ours with its Retry-After. `cut`:
 * no answer, because the connection was refused, reset or closed. `wrong`: anything else, silence included.
 */
export interface Outcome {
  readonly requestId: string;
  readonly photo: string;
  readonly kind: 'answer' | 'problem' | 'cut' | 'wrong';
  /** What was wrong, or the problem's code; empty for an answer. */
  readonly detail: string;
  /** When it had to be sent, on the clock of `performance.now()`; waiting counts from here, whoever is late. */
  readonly dueMs: number;
  /** When it was known what became of it. */
  readonly endedMs: number;
  readonly tier: string;
  readonly model: string;
  readonly degraded: boolean;
}

/** Sends photos at fixed times, whatever becomes of those before. */
export interface Driver {
  /** What is sent from now on: the photo of the n-th request. */
  send(photoOf: (n: number) => Photo): void;
  /** Requests that were due from `fromMs` to `toMs`; settles when it is known what became of all of them. */
  outcomes(fromMs: number, toMs: number): Promise<readonly Outcome[]>;
  /** The first undegraded answer of the Wide ResNet to a request that was due after `afterMs`, as long as `signal` allows. */
  untilPrimary(afterMs: number, signal: AbortSignal): Promise<Outcome>;
  /** Longest time by which a request was sent too late: above a few intervals the driver itself lacked the CPU. */
  latestMs(): number;
  /** Sends no more and gives up what is open. */
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
  const listeners = new Set<(outcome: Outcome) => void>();
  let photoOf: ((n: number) => Photo) | undefined;
  let sent = 0;
  let latestMs = 0;

  /** Everything that is due by now: a timer that comes late must not make the load lighter. */
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
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), patienceMs);
    open.add(patience);
    const verdict = await ask(origin, photo, requestId, patience.signal).then(
      (heard) => judge(photo, requestId, heard),
      (fault: NodeJS.ErrnoException) => ({ ...nothing, ...lossOf(fault, patience.signal) }),
    );
    clearTimeout(timer);
    open.delete(patience);
    const outcome = { requestId, photo: photo.name, dueMs, endedMs: performance.now(), ...verdict };
    for (const listener of listeners) listener(outcome);
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
    untilPrimary(afterMs, signal) {
      return new Promise((resolve, reject) => {
        const leave = () => {
          listeners.delete(listen);
          signal.removeEventListener('abort', giveUp);
        };
        const listen = (outcome: Outcome) => {
          if (!isPrimary(outcome) || outcome.dueMs < afterMs) return;
          leave();
          resolve(outcome);
        };
        const giveUp = () => {
          leave();
          reject(signal.reason);
        };
        if (signal.aborted) return giveUp();
        listeners.add(listen);
        signal.addEventListener('abort', giveUp);
      });
    },
    latestMs: () => latestMs,
    stop() {
      clearInterval(timer);
      for (const patience of open) patience.abort();
    },
  };
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

/** One upload on a connection of its own: a kept one may be closed by the other side at any moment, which is no fault. */
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

interface Body {
  readonly model: string;
  readonly version: string;
  readonly tier: string;
  readonly degraded: boolean;
  readonly reason: string | null;
  readonly predictions: readonly { readonly index: number; readonly label: string; readonly score: number }[];
}

/** Judges what was heard; remembers what a model says of a photo, since it has to say the same each time. */
function createJudge(
  versions: ReadonlyMap<string, number>,
): (photo: Photo, requestId: string, heard: Heard) => Verdict {
  const said = new Map<string, string>();

  return (photo, requestId, { status, headers, text }) => {
    const wrong = (detail: string): Verdict => ({
      kind: 'wrong',
      detail: `${detail}: ${text.slice(0, 300)}`,
      ...nothing,
    });
    if (headers['x-request-id'] !== requestId) return wrong(`status ${status} for ${headers['x-request-id']}`);
    let body: Body;
    try {
      body = JSON.parse(text);
    } catch {
      return wrong(`status ${status}, no JSON`);
    }
    if (status === 503)
      return judgeProblem(body as object, headers) ?? wrong('status 503, no problem with Retry-After');
    if (status !== 200) return wrong(`status ${status}`);
    const fault = bodyFault(body, headers, versions);
    if (fault !== undefined) return wrong(fault);
    const { tier, model, version, degraded } = body;
    const key = `${photo.name}, ${model} ${version}`;
    const indexes = body.predictions.map(({ index }) => index).join(' ');
    if ((said.get(key) ?? indexes) !== indexes) return wrong(`said ${said.get(key)} of ${key} before`);
    said.set(key, indexes);
    return { kind: 'answer', detail: '', tier, model, degraded };
  };
}

function judgeProblem(body: { code?: unknown; status?: unknown }, headers: IncomingHttpHeaders): Verdict | undefined {
  const isProblem = headers['content-type'] === 'application/problem+json' && body.status === 503;
  if (!isProblem || !/^\d+$/.test(headers['retry-after'] ?? '')) return undefined;
  return { kind: 'problem', detail: String(body.code), ...nothing };
}

function bodyFault(
  { model, version, tier, degraded, reason, predictions }: Body,
  headers: IncomingHttpHeaders,
  versions: ReadonlyMap<string, number>,
): string | undefined {
  const classes = versions.get(version);
  if (classes === undefined) return `unknown version ${version}`;
  if (model !== 'wide-resnet' && model !== 'mobilenet') return `unknown model ${model}`;
  if (tier !== 'primary' && tier !== 'fallback') return `unknown tier ${tier}`;
  if (degraded !== (model !== 'wide-resnet') || degraded !== (reason !== null)) return 'degraded without a reason';
  if (headers['x-model'] !== model || headers['x-tier'] !== tier || (headers['x-degraded'] ?? null) !== reason) {
    return 'headers that say something else';
  }
  if (!Array.isArray(predictions) || predictions.length !== Math.min(top, classes)) return 'too few predictions';
  const isSorted = predictions.every(({ score }, i) => score <= (predictions[i - 1]?.score ?? 1) && score >= 0);
  if (!isSorted) return 'unsorted predictions';
  if (predictions.some(({ index, label }) => !(index >= 0 && index < classes) || !label)) return 'no such class';
  return undefined;
}
