import type { Expect } from './reading.ts';

/** Where traces go, by the names and rules of OpenTelemetry's specification. */
export interface TraceConfig {
  /** Of a collector, for OTLP over HTTP. */
  readonly url: string;
  /** Sent with every request to it. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the traces are of; `service.name` where the environment names it. */
  readonly resource: Readonly<Record<string, string>>;
}

/** Undefined where no collector is named: then no span is made. */
export function readTraceConfig(env: NodeJS.ProcessEnv, expect: Expect): TraceConfig | undefined {
  const all = env.OTEL_EXPORTER_OTLP_ENDPOINT || '';
  const own = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || '';
  const named = { OTEL_EXPORTER_OTLP_ENDPOINT: all, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: own };
  for (const [name, url] of Object.entries(named)) {
    expect(url === '' || isWebUrl(url), 'an http or https URL', name, url);
  }
  const headers = readPairs(env.OTEL_EXPORTER_OTLP_HEADERS);
  const attributes = readPairs(env.OTEL_RESOURCE_ATTRIBUTES);
  const areHeaders = headers && Object.entries(headers).every(([name, value]) => isHeader(name, value));
  // Its values may be keys, which have no place in a message.
  expect(Boolean(areHeaders), 'NAME=VALUE pairs with commas', 'OTEL_EXPORTER_OTLP_HEADERS', 'something else');
  const received = env.OTEL_RESOURCE_ATTRIBUTES;
  expect(attributes !== undefined, 'NAME=VALUE pairs with commas', 'OTEL_RESOURCE_ATTRIBUTES', received);
  const service = env.OTEL_SERVICE_NAME;
  if (all + own === '') return undefined;
  return {
    url: own || `${all.replace(/\/+$/, '')}/v1/traces`,
    headers: headers ?? {},
    resource: { ...attributes, ...(service && { 'service.name': service }) },
  };
}

function isWebUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

function isHeader(name: string, value: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name) && /^[\t\x20-\x7e]*$/.test(value);
}

/** `a=1,b=two%20words`, as W3C's baggage without properties; undefined for anything else. */
function readPairs(text = ''): Readonly<Record<string, string>> | undefined {
  const pairs: [string, string][] = [];
  for (const piece of text.split(',').filter((one) => one.trim() !== '')) {
    const [, name, value] = /^\s*([^\s=]+)\s*=\s*(.*?)\s*$/.exec(piece) ?? [];
    if (name === undefined || value === undefined || !/^(?:[^%]|%[0-9a-f]{2})*$/i.test(value)) return undefined;
    pairs.push([name, decode(value)]);
  }
  return Object.fromEntries(pairs);
}

/** Bytes that are no UTF-8 stay as they were written. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
