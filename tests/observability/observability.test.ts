import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { send } from '../support/client.ts';
import { startCollector } from '../support/collector.ts';
import { startEdge } from '../support/edge.ts';
import { startNginx } from '../support/nginx.ts';
import { cleanAfterAll } from '../support/served.ts';
import { until } from '../support/stack.ts';
import { metricsIn, readQueries } from './dashboard.ts';
import { ask, describeWithPrometheus, type RunningPrometheus, startPrometheus } from './prometheus.ts';

jest.setTimeout(180_000);

const rules = 'knative/observability/rules.yaml';
const folder = mkdtempSync(join(tmpdir(), 'observability-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

describeWithPrometheus('the alert rules', () => {
  it('are rules, and their tests pass', async () => {
    expect(await ask('check', 'rules', rules)).toMatchObject({ isRight: true });
    expect(await ask('test', 'rules', 'tests/observability/rules.yaml')).toMatchObject({ isRight: true });
  });

  it.each([
    ['degraded as a failure', '{outcome="unanswered"}', '{outcome=~"unanswered|degraded"}'],
    ["clients' faults beside the answers", '"lead|degraded|unanswered"', '"lead|degraded|unanswered|client"'],
    ['degraded answers left out', '"lead|degraded|unanswered"', '"lead|unanswered"'],
    ['a page that comes too late', '14.4 * 0.0005', '144 * 0.0005'],
    ['another promise', ':ratio3d > 0.0005', ':ratio3d > 0.005'],
    ['no short window', ' and understudy:unanswered:ratio5m > 14.4 * 0.0005', ''],
    ['no floor', '>= 5', '>= 0'],
    ['clouds as slow photos', 'task!="clouds"', 'task!="none"'],
    ['a second that is none', 'le="1"', 'le="10"'],
    ['an open breaker alone', 'unless on () (up{service="classify-fallback"} == 1)', ''],
    ['a name that no metric has', 'understudy_models_missing', 'understudy_model_missing'],
    ['a patience of none', 'for: 10m', 'for: 0m'],
    ['a pager for a ticket', 'severity: ticket', 'severity: page'],
  ])('are held by their tests: %s is found', async (_what, from, to) => {
    const text = readFileSync(rules, 'utf8');
    expect(text).toContain(from);
    writeFileSync(join(folder, 'rules.yaml'), text.replaceAll(from, to));
    const tests = readFileSync('tests/observability/rules.yaml', 'utf8');
    writeFileSync(join(folder, 'tests.yaml'), tests.replace('../../knative/observability/rules.yaml', 'rules.yaml'));

    expect(await ask('test', 'rules', join(folder, 'tests.yaml'))).toMatchObject({ isRight: false });
  });

  it('are scraped for by a configuration that Prometheus takes', async () => {
    const config = join(folder, 'prometheus.yaml');
    const text = readFileSync('knative/observability/prometheus.yaml', 'utf8');
    const pods = /kubernetes_sd_configs:[\s\S]*?names: \[understudy\]\n/;
    expect(text).toMatch(pods);
    // Debian's Prometheus is built without Kubernetes.
    const others = text.replace(pods, 'static_configs: [{ targets: [localhost:9113] }]\n');
    writeFileSync(config, others.replace('rules.yaml', resolve(rules)));

    expect(await ask('check', 'config', config)).toMatchObject({ isRight: true });
  });
});

/** Panels without data here, and why. */
const without: Readonly<Record<string, string>> = {
  'Fallback asked to wake a second, by outcome': 'nothing sleeps on one machine, so no primary has a WAKE_URL',
};

describeWithPrometheus('the dashboard', () => {
  const { start, later } = cleanAfterAll();
  let prometheus: RunningPrometheus;
  const exposed = new Set<string>();

  beforeAll(async () => {
    const collector = await startCollector();
    later(collector.close);
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, WORKERS: '1' };
    const edge = await startEdge(env);
    later(edge.stop);
    const primary = await start('primary', { ...env, SHADOW_SHARE: '1', K_REVISION: 'classify-primary-00001' });
    const fallback = await start('fallback', env);
    await Promise.all([primary.ready(), fallback.ready()]);
    const ports = { primary: primary.port, fallback: fallback.port };
    const nginx = await startNginx(ports, { variables: { LOG_SERVER: edge.logServer } });
    later(nginx.stop);
    const address = (url: string) => new URL(url).host;
    prometheus = await startPrometheus({
      ingress: address(edge.metricsUrl),
      'classify-primary': address(primary.url),
      'classify-fallback': address(fallback.url),
    });
    later(prometheus.stop);
    const picture = readFileSync('tests/images/test_image_1.jpg'); // both models agree on it
    const ask = (headers = {}, body = picture) => send(nginx.origin, { body, headers });
    const round = async () => {
      await ask({}, Buffer.from('no picture'));
      await send(fallback.url, { body: picture });
      await ask({ 'x-deadline-ms': '1' });
      primary.process.kill('SIGSTOP'); // silent: the fallback answers, and the breaker does not count it
      await ask({ 'x-deadline-ms': '1000' });
      primary.process.kill('SIGCONT');
      await ask(); // last: both models are compared while no request is in flight
      await sleep(500);
    };
    let isOver = false;
    const traffic = (async () => {
      while (!isOver) await round();
    })();
    later(() => {
      isOver = true;
      return traffic;
    });
    const rounds = async () =>
      (await edge.metrics())['understudy_edge_requests_total{task="classify",outcome="client"}'];
    await until(async () => Number(await rounds()) >= 3, 30_000, 'Expected three rounds'); // each counter has moved
    for (const url of [edge.metricsUrl, `${primary.url}/metrics`, `${fallback.url}/metrics`]) {
      const text = await (await fetch(url)).text();
      for (const [, name] of text.matchAll(/^([a-z_][a-z0-9_:]*)[{ ]/gm)) exposed.add(String(name));
    }
  });

  it('asks for metrics that there are', () => {
    const queries = readQueries();
    const missing = queries.flatMap(({ panel, expr }) =>
      metricsIn(expr)
        .filter((name) => name !== 'up' && !exposed.has(name) && !(panel in without))
        .map((name) => `${panel}: ${name}`),
    );

    expect(queries.length).toBeGreaterThan(30);
    expect(missing).toEqual([]);
    expect(metricsIn('sum(rate(understudy_edge_request_total[1m]))').some((name) => exposed.has(name))).toBe(false);
  });

  it.each(readQueries().map(({ panel, expr }) => [panel, expr]))('has data for %s: %s', async (panel, expr) => {
    if (panel.startsWith('annotation')) {
      await prometheus.series(expr); // it has data for a minute after a change
      return;
    }
    if (panel in without) {
      expect(await prometheus.series(expr)).toBe(0);
      return;
    }
    let count = 0;
    const isThere = async () => {
      count = await prometheus.series(expr);
      return count > 0;
    };
    await until(isThere, 30_000, () => `Expected data for ${panel} but received none for ${expr}`);
    expect(count).toBeGreaterThan(0);
  });

  it('finds a wrong expression and a wrong name', async () => {
    await expect(prometheus.series('sum by (tier (up)')).rejects.toThrow('parse error');
    expect(await prometheus.series('sum(rate(understudy_edge_request_total[1m]))')).toBe(0);
  });

  it('has a place for every panel, and none twice', () => {
    const { panels } = JSON.parse(readFileSync('knative/observability/dashboard.json', 'utf8')) as {
      panels: readonly { title: string; id: number; gridPos: { x: number; y: number; w: number; h: number } }[];
    };
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );

    expect(new Set(cells).size).toBe(cells.length);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
  });
});
