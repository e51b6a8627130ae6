import { makeSpanId, type Span, type TraceContext } from '../observe/trace.ts';
import type { Tier } from '../task.ts';
import type { Exchange } from './exchange.ts';

/** What all spans of a function have in common. */
export interface SpanFacts {
  readonly path: string;
  readonly tier: Tier;
  /** Empty where the platform names none. */
  readonly revision: string;
}

/** A request as a span of the server, and each part of its way as a span below it; a model that did not answer says why. */
export function spansOf(exchange: Exchange, status: number, trace: TraceContext, facts: SpanFacts): readonly Span[] {
  const nowMs = performance.now();
  const sinceEpochMs = Date.now() - nowMs; // read anew each time: the two clocks drift apart
  const spanId = makeSpanId();
  const { requestId, method, arrivedMs, route, uploadMs, bytes, progress, problem, result } = exchange;
  const { traceId } = trace;
  const path = route?.name === 'task' ? facts.path : undefined;
  const { width, height } = progress?.facts ?? {};
  const isFailed = status >= 500;
  const root: Span = {
    traceId,
    spanId,
    parentId: trace.parentId,
    name: path ? `${method} ${path}` : method,
    kind: 'server',
    startMs: sinceEpochMs + arrivedMs,
    ms: nowMs - arrivedMs,
    isFailed,
    attributes: {
      'http.request.method': method,
      'http.route': path,
      'http.response.status_code': status,
      'error.type': isFailed ? problem?.code : undefined,
      'understudy.request_id': requestId,
      'understudy.tier': facts.tier,
      'understudy.revision': facts.revision || undefined,
      'understudy.model': result?.answer.model,
      'understudy.version': result?.answer.version,
      'understudy.degraded': result?.answer.degraded,
      'understudy.reason': result?.answer.reason ?? undefined,
      'understudy.code': problem?.code,
      'understudy.bytes': bytes,
      'understudy.pixels': Number(width) * Number(height) || undefined,
    },
  };
  const upload = uploadMs === undefined ? [] : [{ stage: 'upload', startMs: arrivedMs, ms: uploadMs } as const];
  const steps = [...upload, ...(progress?.steps.filter(({ ms, miss }) => ms > 0 || miss) ?? [])];
  const children = steps.map(({ stage, startMs, ms, ...about }): Span => {
    const { model = undefined, miss = undefined } = 'model' in about ? about : {};
    return {
      traceId,
      spanId: makeSpanId(),
      parentId: spanId,
      name: stage,
      kind: 'internal',
      startMs: sinceEpochMs + startMs,
      ms,
      isFailed: miss?.status === 'error',
      attributes: {
        'understudy.model': model,
        'understudy.miss': miss?.status,
        'understudy.cause': miss?.cause,
      },
    };
  });
  return [root, ...children];
}
