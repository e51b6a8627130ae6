import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { listen } from './listen.ts';
import { until } from './stack.ts';

/** A span as it arrived, in milliseconds since 1970. */
export interface Collected {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly isFailed: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export type CollectorBehavior = 'answers' | 'hangs' | 'refuses';

/** A receiver of OTLP over HTTP as JSON. */
export interface Collector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string;
  readonly spans: readonly Collected[];
  readonly headers: readonly IncomingHttpHeaders[];
  /** Spans of each request that arrived, also of those that it did not answer. */
  readonly batches: readonly number[];
  behave(behavior: CollectorBehavior): void;
  /** The spans that a test wants, as soon as there are as many. @throws Error when there are not within 15 s */
  collect(count: number, wanted?: (span: Collected) => boolean): Promise<readonly Collected[]>;
  close(): Promise<void>;
}

export async function startCollector(): Promise<Collector> {
  let behavior: CollectorBehavior = 'answers';
  const spans: Collected[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const batches: number[] = [];
  const answer = (response: ServerResponse, status: number) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end('{"partialSuccess":{}}');
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const isRight = request.method === 'POST' && request.url === '/v1/traces';
      if (!isRight || request.headers['content-type'] !== 'application/json') return answer(response, 404);
      const arrived = readSpans(JSON.parse(Buffer.concat(chunks).toString()));
      headers.push(request.headers);
      batches.push(arrived.length);
      if (behavior === 'refuses') return answer(response, 503);
      if (behavior === 'hangs') return undefined;
      spans.push(...arrived);
      return answer(response, 200);
    });
  });
  return {
    url: await listen(server),
    spans,
    headers,
    batches,
    behave(next) {
      behavior = next;
    },
    async collect(count, wanted = () => true) {
      const found = () => spans.filter(wanted);
      const complain = () => `Expected ${count} spans but received ${JSON.stringify(found(), undefined, 1)}`;
      await until(() => found().length >= count, 15_000, complain);
      return found();
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code?: number };
}

interface Otlp {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

function readSpans({ resourceSpans }: Otlp): Collected[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(readAttributes(resource.attributes)['service.name']);
    return scopeSpans.flatMap((scope) => scope.spans.map((span) => readSpan(service, span)));
  });
}

function readSpan(service: string, { parentSpanId = '', ...span }: OtlpSpan): Collected {
  const toMs = (nanoseconds: string) => Number(BigInt(nanoseconds) / 1000n) / 1000;
  return {
    service,
    traceId: span.traceId,
    spanId: span.spanId,
    parentId: parentSpanId,
    name: span.name,
    kind: span.kind,
    startMs: toMs(span.startTimeUnixNano),
    endMs: toMs(span.endTimeUnixNano),
    isFailed: span.status.code === 2,
    attributes: readAttributes(span.attributes),
  };
}

/** 64-bit integers come as strings. */
function readAttributes(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value: { intValue, ...value } }) => [
      key,
      intValue === undefined ? Object.values(value)[0] : Number(intValue),
    ]),
  );
}
