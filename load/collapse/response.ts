/** A complete HTTP/1.1 response. */
export interface Response {
  readonly status: number;
  /** Media type in lower case, without parameters; empty where there is none. */
  readonly type: string;
  readonly retryAfter: string | undefined;
  readonly body: string;
  /** The server closes the connection after it. */
  readonly closes: boolean;
}

/** Parses what a connection has received so far, as latin1; undefined while the response is incomplete. */
export function readResponse(text: string, isOver = false): Response | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0 || !text.startsWith('HTTP/1.')) return undefined;
  const head = text.slice(0, headEnd + 2);
  const field = (name: string) => new RegExp(`\\r\\n${name}:[ \\t]*([^\\r]*)\\r\\n`, 'i').exec(head)?.[1];
  const body = bodyOf(text.slice(headEnd + 4), field('content-length'), field('transfer-encoding'), isOver);
  if (body === undefined) return undefined;
  return {
    status: Number(text.slice(9, 12)),
    type: field('content-type')?.split(';', 1)[0]?.trim().toLowerCase() ?? '',
    retryAfter: field('retry-after'),
    body,
    closes: field('connection')?.toLowerCase() === 'close' || text.startsWith('HTTP/1.0'),
  };
}

function bodyOf(rest: string, length: string | undefined, coding: string | undefined, isOver: boolean) {
  if (coding?.toLowerCase() === 'chunked') return joinChunks(rest);
  if (length === undefined) return isOver ? rest : undefined;
  return rest.length >= Number(length) ? rest.slice(0, Number(length)) : undefined;
}

function joinChunks(rest: string): string | undefined {
  const chunks: string[] = [];
  for (let at = 0; ; ) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(rest.slice(at, lineEnd), 16);
    if (size === 0)
      return rest.includes('\r\n\r\n', lineEnd) || rest.endsWith('\r\n\r\n') ? chunks.join('') : undefined;
    chunks.push(rest.slice(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
    if (at > rest.length) return undefined;
  }
}

/** Source of an answer: lead model, standby model of the primary function, or fallback function. */
export type By = 'lead' | 'standby' | 'fallback';

/** Kind of a response or of its absence; `broken` is neither a 200 nor a problem document. */
export type Verdict =
  | { readonly kind: 'answer'; readonly by: By }
  | { readonly kind: 'problem'; readonly code: string; readonly retryAfter: string | undefined }
  | { readonly kind: 'broken'; readonly fault: string; readonly status: number };

export function judgeResponse({ status, type, body, retryAfter }: Response): Verdict {
  const content = parse(body);
  if (status === 200 && Array.isArray(content.predictions) && content.predictions.length > 0) {
    const isDegraded = content.degraded === true; // other servers do not say
    return { kind: 'answer', by: content.tier === 'fallback' ? 'fallback' : isDegraded ? 'standby' : 'lead' };
  }
  if (type === 'application/problem+json' && typeof content.code === 'string') {
    return { kind: 'problem', code: content.code, retryAfter };
  }
  return { kind: 'broken', fault: `${status} ${type}`.trim(), status };
}

function parse(body: string): Readonly<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(body);
    return typeof content === 'object' && content !== null ? (content as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
