import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Collected, type Collector, startCollector } from '../support/collector.ts';
import { cleanAfterEach, linesOf, plain } from '../support/served.ts';

const { later, modelsDir, startReady } = cleanAfterEach();
const photo = readFileSync('tests/images/test_image_1.jpg');
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const sampled = `00-${traceId}-${parentId}-01`;

let collector: Collector;
beforeEach(async () => {
  collector = await startCollector();
});
afterEach(() => collector.close());

const post = (url: string, headers: Record<string, string> = {}, body: Uint8Array = photo, path = '/classify') =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', ...headers },
    body: new Uint8Array(body),
  });
const rootOf = (spans: readonly Collected[]) => spans.find(({ kind }) => kind === 2) as Collected;
const lengthOf = ({ startMs, endMs }: Collected) => endMs - startMs;

async function startTraced(env: NodeJS.ProcessEnv = {}, target: 'primary' | 'fallback' = 'fallback') {
  const fn = await startReady(target, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, WORKERS: '1', ...env });
  return fn;
}

describe('the trace of an answer', () => {
  it('has a span for the request below its sender, and one for each stage, as long as Server-Timing says', async () => {
    const fn = await startTraced({ K_REVISION: 'classify-fallback-00007' });

    const beforeMs = Date.now();
    const response = await post(fn.url, { traceparent: sampled, 'x-request-id': 'r-1' });
    const afterMs = Date.now();
    const spans = await collector.collect(4);

    const root = rootOf(spans);
    expect(root).toMatchObject({
      service: 'understudy-fallback',
      traceId,
      parentId,
      name: 'POST /classify',
      isFailed: false,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/classify',
        'http.response.status_code': 200,
        'understudy.request_id': 'r-1',
        'understudy.tier': 'fallback',
        'understudy.revision': 'classify-fallback-00007',
        'understudy.model': 'mobilenet',
        'understudy.version': expect.any(String),
        'understudy.degraded': true,
        'understudy.reason': 'failover',
        'understudy.bytes': photo.length,
        'understudy.pixels': expect.any(Number),
      },
    });
    const children = spans.filter((span) => span !== root);
    expect(children.map(({ name }) => name)).toEqual(expect.arrayContaining(['upload', 'decode', 'model']));
    const timing = response.headers.get('server-timing') ?? '';
    for (const child of children) {
      expect(child).toMatchObject({ traceId, parentId: root.spanId, kind: 1, service: root.service });
      const sum = children.filter(({ name }) => name === child.name).reduce((ms, one) => ms + lengthOf(one), 0);
      const said = Number(new RegExp(`${child.name};dur=([0-9.]+)`).exec(timing)?.[1]);
      expect(Math.abs(sum - said)).toBeLessThan(0.11); // Server-Timing has tenths
      expect(child.startMs).toBeGreaterThanOrEqual(root.startMs - 0.01);
      expect(child.endMs).toBeLessThanOrEqual(root.endMs + 0.01);
    }
    expect(children.map(({ startMs }) => startMs)).toEqual(children.map(({ startMs }) => startMs).toSorted());
    expect(root.startMs).toBeGreaterThan(beforeMs - 20);
    expect(root.endMs).toBeLessThan(afterMs + 1000);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
    const [line] = await linesOf(fn, 'request', 1);
    expect(line).toMatchObject({ trace: traceId, requestId: 'r-1' });
  });

  it('names the models that did not answer, and why', async () => {
    const fn = await startReady('primary', {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: 'photos',
      MODELS_DIR: modelsDir({ 'wide-resnet': 'moody', mobilenet: 'real' }),
    });

    expect((await post(fn.url, { traceparent: sampled }, await plain('red'))).status).toBe(200);
    const spans = await collector.collect(5);

    expect(spans.filter(({ name }) => name === 'model')).toMatchObject([
      {
        service: 'photos',
        isFailed: true,
        attributes: {
          'understudy.model': 'wide-resnet',
          'understudy.miss': 'error',
          'understudy.cause': expect.any(String),
        },
      },
      { isFailed: false, attributes: { 'understudy.model': 'mobilenet' } },
    ]);
    expect(rootOf(spans).attributes).toMatchObject({ 'understudy.degraded': true, 'understudy.reason': 'error' });
  });

  it('tells a problem by its code, without a failure where the client is at fault', async () => {
    const fn = await startTraced();

    await post(fn.url, { traceparent: sampled }, Buffer.from('no picture'));
    await post(fn.url, { traceparent: sampled }, photo, '/elsewhere');
    const roots = await collector.collect(2, ({ kind }) => kind === 2);

    expect(roots).toMatchObject([
      {
        name: 'POST /classify',
        isFailed: false,
        attributes: { 'http.response.status_code': 422, 'understudy.code': 'IMAGE_UNSUPPORTED' },
      },
      { name: 'POST', attributes: { 'http.response.status_code': 404, 'understudy.code': 'ROUTE_NOT_FOUND' } },
    ]);
    expect(JSON.stringify(collector.spans)).not.toContain('elsewhere'); // a path may hold anything
  });
});

describe('what is traced', () => {
  it('is not what the sender has left out, nor a probe', async () => {
    const fn = await startTraced();

    await post(fn.url, { traceparent: `00-${traceId}-${parentId}-00` });
    await fetch(`${fn.url}/readyz`, { headers: { traceparent: sampled } });
    await fetch(`${fn.url}/metrics`, { headers: { traceparent: sampled } });
    await post(fn.url, { traceparent: sampled.replace('4b', '5b') });
    await collector.collect(4);

    expect(new Set(collector.spans.map((span) => span.traceId))).toEqual(new Set([traceId.replace('4b', '5b')]));
    const [left] = await linesOf(fn, 'request', 2);
    expect(left?.trace).toBe(traceId);
  });

  it.each([
    ['no traceparent', {}],
    ['a broken one', { traceparent: `${sampled}-00` }],
  ])('with %s begins a trace', async (_what, headers: Record<string, string>) => {
    const fn = await startTraced();

    await post(fn.url, headers);
    const root = rootOf(await collector.collect(4));

    expect(root).toMatchObject({ traceId: expect.not.stringMatching(traceId), parentId: '' });
    expect((await linesOf(fn, 'request', 1))[0]?.trace).toBe(root.traceId);
  });
});

describe('a collector', () => {
  it('gets the last spans before a drained function ends', async () => {
    const fn = await startTraced({ DRAIN_MS: '15000' });
    await post(fn.url);

    expect(await fn.stop()).toBe(0);

    expect(collector.spans.length).toBeGreaterThanOrEqual(4);
  });

  it.each(['hangs', 'refuses', 'is gone'] as const)('that %s costs no answer and no end', async (how) => {
    const fn = await startTraced({ DRAIN_MS: '15000' });
    if (how === 'is gone') await collector.close();
    else collector.behave(how);

    for (let i = 0; i < 20; i += 1) expect((await post(fn.url)).status).toBe(200);
    expect(await fn.stop()).toBe(0);

    const [warning] = await linesOf(fn, 'spans dropped', 1);
    expect(warning).toMatchObject({ severity: 'warn', url: `${collector.url}/v1/traces` });
    expect(fn.lines.at(-1)?.message).toBe('drain ends');
  });

  it('that nobody named is not looked for: the exporter is not even loaded', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'traces-test-'));
    later(() => rmSync(folder, { recursive: true }));
    const loaded = async (env: NodeJS.ProcessEnv) => {
      const fn = await startTraced({ NODE_V8_COVERAGE: folder, DRAIN_MS: '15000', ...env });
      await post(fn.url, { traceparent: sampled });
      expect(await fn.stop()).toBe(0);
      const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
      return ['exchange.js', 'otlp.js'].map((name) => files.some((text) => text.includes(`/${name}"`)));
    };

    expect(await loaded({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toEqual([true, false]);
    expect(await loaded({})).toEqual([true, true]);
  });
});
