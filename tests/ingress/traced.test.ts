import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { freePort } from '../../ingress/port.ts';
import { send } from '../support/client.ts';
import { type Collected, type Collector, startCollector } from '../support/collector.ts';
import { readMetrics, startEdge } from '../support/edge.ts';
import { startNginx } from '../support/nginx.ts';
import { cleanAfterEach, plain } from '../support/served.ts';
import { isRunning, until, useStack } from '../support/stack.ts';

jest.setTimeout(90_000);

const { start, later, modelsDir } = cleanAfterEach();
const stacked = useStack();
const photo = readFileSync('tests/images/test_image_1.jpg');
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';

let collector: Collector;
beforeEach(async () => {
  collector = await startCollector();
});
afterEach(() => collector.close());

/** The names of a span and of those below it, by time. */
type Tree = readonly [string, ...Tree[]];
function treeOf(spans: readonly Collected[], root: Collected): Tree {
  const below = spans
    .filter(({ parentId }) => parentId === root.spanId)
    .toSorted((one, two) => one.startMs - two.startMs);
  return [`${root.service} ${root.name}`, ...below.map((span) => treeOf(spans, span))];
}
const withoutQueue = ([name, ...below]: Tree): Tree => [
  name,
  ...below.filter(([own]) => !own.endsWith(' queue')).map(withoutQueue),
];

describe('one trace', () => {
  it('leads from the client over both tiers to their models', async () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, WORKERS: '1' };
    const broken = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' }); // any red raises
    const [primary, fallback, edge] = await Promise.all([
      start('primary', { ...env, MODELS_DIR: broken }),
      start('fallback', env),
      startEdge(env),
    ]);
    later(edge.stop);
    await Promise.all([primary.ready(), fallback.ready()]);
    const ports = { primary: primary.port, fallback: fallback.port };
    const nginx = await startNginx(ports, { variables: { LOG_SERVER: edge.logServer } });
    later(nginx.stop);

    const headers = { traceparent: `00-${traceId}-${parentId}-00` };
    const { status } = await send(nginx.origin, { body: await plain('red'), headers });
    await collector.collect(3, ({ service }) => service === 'understudy-ingress');
    await collector.collect(2, ({ service, kind }) => service !== 'understudy-ingress' && kind === 2);
    const { spans } = collector;

    expect(status).toBe(200);
    expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
    const root = spans.find((span) => span.parentId === parentId) as Collected;
    expect(withoutQueue(treeOf(spans, root))).toEqual([
      'understudy-ingress POST /classify',
      [
        'understudy-ingress primary',
        [
          'understudy-primary POST /classify',
          ['understudy-primary upload'],
          ['understudy-primary decode'],
          ['understudy-primary model'],
          ['understudy-primary model'],
        ],
      ],
      [
        'understudy-ingress fallback',
        [
          'understudy-fallback POST /classify',
          ['understudy-fallback upload'],
          ['understudy-fallback decode'],
          ['understudy-fallback model'],
        ],
      ],
    ]);
    expect(root).toMatchObject({
      kind: 2,
      isFailed: false,
      attributes: { 'http.response.status_code': 200, 'understudy.outcome': 'degraded', 'understudy.tier': 'fallback' },
    });
    const attempts = spans.filter(({ kind }) => kind === 3);
    expect(attempts).toMatchObject([
      { name: 'primary', isFailed: true, attributes: { 'http.response.status_code': 502 } },
      { name: 'fallback', isFailed: false, attributes: { 'http.response.status_code': 200 } },
    ]);
    for (const below of spans.filter((span) => span.service !== 'understudy-ingress' && span.kind === 2)) {
      const above = attempts.find(({ spanId }) => spanId === below.parentId) as Collected;
      expect(below.startMs).toBeGreaterThan(above.startMs - 200); // nginx reads its clock once a turn
      expect(below.endMs).toBeLessThan(above.endMs + 200);
    }
  });
});

describe('npm start', () => {
  it('has traces and metrics of the edge where it is told to, and ends with all of it', async () => {
    const metricsPort = await freePort();
    const stack = await stacked.start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      METRICS_PORT: String(metricsPort),
    });
    await stack.says(/ready, ends with Ctrl-C/);
    const url = `http://127.0.0.1:${metricsPort}/metrics`;
    expect(stack.output()).toContain(`metrics of nginx at ${url}\n`);

    await send(`http://127.0.0.1:${stack.port}`, { body: photo });
    const roots = await collector.collect(2, ({ kind }) => kind === 2);

    expect(new Set(roots.map((root) => root.service))).toEqual(new Set(['understudy-ingress', 'understudy-primary']));
    expect(new Set(roots.map((root) => root.traceId)).size).toBe(1);
    const metrics = readMetrics(await (await fetch(url)).text());
    const answered = ['lead', 'degraded'].map(
      (outcome) => metrics[`understudy_edge_requests_total{task="classify",outcome="${outcome}"}`],
    );
    expect(answered.reduce<number>((sum, value) => sum + Number(value), 0)).toBe(1);
    const pids = stack.pids();
    await stack.end();
    expect(pids.length).toBeGreaterThanOrEqual(5);
    // A busy stack is ended by the second Ctrl-C, whose SIGKILL it does not wait for.
    await until(() => !pids.some((pid) => isRunning(pid)), 2000, 'Expected the end of all programs but received none');
  });

  it('starts nothing for either by default', async () => {
    const stack = await stacked.start();
    await stack.says(/ready, ends with Ctrl-C/);

    expect(stack.output()).not.toContain('edge is process');
    expect(stack.output()).not.toContain('metrics of nginx');
  });

  it.each(['0', '65536', 'on'])('refuses METRICS_PORT=%s', async (port) => {
    const stack = await stacked.start({ METRICS_PORT: port });
    await stack.exited;

    expect(stack.output()).toBe(
      `understudy: Expected a whole number from 1 to 65535 for METRICS_PORT but received "${port}"\n`,
    );
  });
});
