/** What goes to the service, with the settings as they stand. */
export interface Call {
  /** With its query. */
  readonly path: string;
  readonly isStrict: boolean;
  /** Undefined where none is named. */
  readonly deadlineMs: number | undefined;
  /** An API key; empty where none is known. */
  readonly key: string;
}

/** What all systems answer. */
export interface Answer {
  readonly model: string;
  readonly version: string;
  readonly tier: 'primary' | 'fallback';
  readonly degraded: boolean;
  readonly reason: string | null;
}

export interface Problem {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly requestId: string;
  /** Seconds, where the service names them. */
  readonly retryAfter: number | undefined;
}

export type Outcome<Kind extends Answer = Answer> =
  | {
      readonly kind: 'answer';
      readonly answer: Kind;
      readonly timing: string;
      readonly ms: number;
      readonly requestId: string;
    }
  | { readonly kind: 'problem'; readonly problem: Problem; readonly ms: number };

/** The headers that say how to ask. */
export function headersOf({ isStrict, deadlineMs, key }: Call): Readonly<Record<string, string>> {
  return {
    ...(isStrict && { Prefer: 'handling=strict' }),
    ...(deadlineMs !== undefined && { 'X-Deadline-Ms': String(deadlineMs) }),
    ...(key !== '' && { 'X-API-Key': key }),
  };
}

/** One request. @throws an AbortError, where the signal says so, and nothing else */
export async function ask<Kind extends Answer>(call: Call, file: File, signal?: AbortSignal): Promise<Outcome<Kind>> {
  const body = new FormData();
  body.append('image', file);
  const began = performance.now();
  try {
    const sent = { method: 'POST', headers: headersOf(call), body, ...(signal && { signal }) };
    const response = await fetch(call.path, sent);
    const content = await readJson(response);
    const ms = performance.now() - began;
    const requestId = response.headers.get('x-request-id') ?? '';
    if (!response.ok || content === undefined) return { kind: 'problem', problem: problemOf(response, content), ms };
    const timing = response.headers.get('server-timing') ?? '';
    return { kind: 'answer', answer: content as unknown as Kind, timing, ms, requestId };
  } catch (fault) {
    if (signal?.aborted) throw fault;
    return { kind: 'problem', problem: unreached, ms: performance.now() - began };
  }
}

const unreached: Problem = {
  code: 'NO_ANSWER',
  status: 0,
  title: 'No answer',
  detail: 'The service could not be reached',
  requestId: '',
  retryAfter: undefined,
};

/** Undefined where the answer is none of the service's: something between it and this page may answer in its place. */
async function readJson(response: Response): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (!/^application\/(problem\+)?json\b/.test(response.headers.get('content-type') ?? '')) return undefined;
  return response.json();
}

function problemOf(response: Response, content: Readonly<Record<string, unknown>> = {}): Problem {
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  return {
    code: String(content.code ?? `HTTP_${response.status}`),
    status: response.status,
    title: String(content.title ?? 'Unknown answer'),
    detail: String(content.detail ?? 'What answered is not the service, but something in between'),
    requestId: response.headers.get('x-request-id') ?? '',
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : undefined,
  };
}
