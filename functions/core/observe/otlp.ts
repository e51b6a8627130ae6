import { Agent, type ClientRequest, request as requestHttp } from 'node:http';
import type { Attributes, Span } from './trace.ts';
import type { Traces } from './traces.ts';

export interface ExporterOptions {
  /** Where OTLP takes traces over HTTP. */
  readonly url: string;
  /** Sent with every batch, such as a key. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the spans are of: at least `service.name`. */
  readonly resource: Attributes;
  /** Called after every batch, and for spans that have no room. */
  readonly onEnd: (outcome: 'sent' | 'dropped', count: number, fault?: unknown) => void;
}

/** The three sizes and times are OpenTelemetry's defaults for a batch processor, but for the first, which is 5 s there. */
const gatherMs = 1000;
const maxBatch = 512;
const maxHeld = 2048;
/** A collector answers in milliseconds. One that does not must not keep spans in memory for long. */
const patienceMs = 5000;
/** After a failure. Looking up a name that has no answer occupies a thread that decodes pictures, for seconds. */
const pauseMs = 30_000;

/**
 * Sends spans in batches as JSON, one batch at a time. A batch that fails is dropped, and so is what does not fit while no
 * collector answers. OpenTelemetry's own packages would do the same for 157 ms of processor time and 14 MB at the start.
 */
export function createExporter({ url, headers, resource, onEnd }: ExporterOptions): Traces {
  const agent = url.startsWith('https:') ? undefined : new Agent({ keepAlive: true, maxSockets: 1 });
  let held: Span[] = [];
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let leaving: ClientRequest | undefined;
  let isClosed = false;

  async function send(): Promise<void> {
    const spans = held.slice(0, maxBatch);
    held = held.slice(maxBatch);
    const ended = await post(spans).catch((fault: unknown) => ({ fault }));
    leaving = undefined;
    if (ended === undefined) onEnd('sent', spans.length);
    else onEnd('dropped', spans.length, ended.fault);
    sending = undefined;
    if (!isClosed && held.length > 0) arm(ended === undefined ? gatherMs : pauseMs);
    else if (ended !== undefined) arm(pauseMs);
  }

  async function post(spans: readonly Span[]): Promise<void> {
    const body = Buffer.from(JSON.stringify(toOtlp(spans, resource)));
    const request = agent ? requestHttp : (await import('node:https')).request;
    await new Promise<void>((resolve, reject) => {
      const sent = request(url, {
        method: 'POST',
        agent,
        headers: { ...headers, 'content-type': 'application/json', 'content-length': body.length },
        signal: AbortSignal.timeout(patienceMs),
      });
      leaving = sent;
      sent.on('error', reject);
      sent.on('response', (response) => {
        response.resume(); // the rest of an answer says nothing, and its socket is kept
        response.on('error', reject);
        const { statusCode: status = 0 } = response;
        if (status >= 300)
          return reject(new Error(`Expected a status below 300 of the collector but received ${status}`));
        response.on('end', resolve);
      });
      sent.end(body);
    });
  }

  function arm(ms: number): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      if (held.length > 0) sending ??= send();
    }, ms).unref();
  }

  return {
    add(spans) {
      const room = isClosed ? 0 : maxHeld - held.length;
      if (spans.length > room) return onEnd('dropped', spans.length);
      held.push(...spans);
      if (held.length >= maxBatch && timer === undefined) sending ??= send();
      else if (!sending) arm(gatherMs);
    },
    async close(withinMs) {
      isClosed = true;
      clearTimeout(timer);
      const late = setTimeout(
        () => leaving?.destroy(new Error('Expected an answer of the collector before the end')),
        withinMs,
      );
      const endMs = performance.now() + withinMs;
      await sending;
      while (held.length > 0 && performance.now() < endMs) await send();
      clearTimeout(late);
      clearTimeout(timer);
      if (held.length > 0) onEnd('dropped', held.length);
      agent?.destroy();
    },
  };
}

/** The numbers of OTLP's enumerations. */
const kinds = { internal: 1, server: 2, client: 3 } as const;
const failed = 2;

/** An `ExportTraceServiceRequest` in OTLP's JSON: ids are hexadecimal, 64-bit numbers are strings. */
function toOtlp(spans: readonly Span[], resource: Attributes): object {
  const scopeSpans = [{ scope: { name: 'understudy' }, spans: spans.map(toSpan) }];
  return { resourceSpans: [{ resource: { attributes: toAttributes(resource) }, scopeSpans }] };
}

function toSpan({ traceId, spanId, parentId, name, kind, startMs, ms, attributes, isFailed }: Span): object {
  return {
    traceId,
    spanId,
    ...(parentId && { parentSpanId: parentId }),
    name,
    kind: kinds[kind],
    startTimeUnixNano: toNanoseconds(startMs),
    endTimeUnixNano: toNanoseconds(startMs + ms),
    attributes: toAttributes(attributes),
    status: isFailed ? { code: failed } : {},
  };
}

/** By way of whole microseconds: a double has no room for more. */
function toNanoseconds(ms: number): string {
  return `${Math.round(ms * 1000)}000`;
}

function toAttributes(attributes: Attributes): object[] {
  const known = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return known.map(([key, value]) => ({ key, value: toValue(value) }));
}

function toValue(value: Attributes[string]): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
