import type { Span } from '../core/observe/trace.ts';
import type { Visit, Way } from './visit.ts';

const paths = { classify: '/classify', clouds: '/infer', digits: '/predict', jobs: undefined } as const;

/** The first digits of the span that nginx names to a tier: see Traceparent in nginx.conf. */
const digits: Readonly<Record<Way, string>> = { primary: '01', fallback: '02', strict: '03', alone: '04' };

/** The ingress' own span, and one for each attempt below it. They end with the answer, one after the other. */
export function spansOfVisit(visit: Visit): readonly Span[] {
  const { task, isAsking, method, status, outcome, endMs, ms, attempts, tiersMs } = visit;
  const { traceId, spanId, parentId } = visit.trace;
  const path = isAsking && attempts.length > 0 ? paths[task] : undefined;
  const root: Span = {
    traceId,
    spanId,
    parentId,
    name: path ? `${method} ${path}` : method,
    kind: 'server',
    startMs: endMs - ms,
    ms,
    isFailed: status >= 500,
    attributes: {
      'http.request.method': method,
      'http.route': path,
      'http.response.status_code': status,
      'understudy.request_id': visit.requestId,
      'understudy.outcome': outcome,
      'understudy.tier': visit.tier || undefined,
      'understudy.model': visit.model || undefined,
      'understudy.reason': visit.reason || undefined,
      'understudy.revision': visit.revision || undefined,
    },
  };
  let startMs = endMs - tiersMs;
  const below = attempts.map((attempt): Span => {
    const span: Span = {
      traceId,
      spanId: `${digits[attempt.way]}${spanId.slice(2)}`,
      parentId: spanId,
      name: attempt.way,
      kind: 'client',
      startMs,
      ms: attempt.ms,
      isFailed: attempt.status >= 500,
      attributes: { 'http.request.method': method, 'http.response.status_code': attempt.status || undefined },
    };
    startMs += attempt.ms;
    return span;
  });
  return [root, ...below];
}
