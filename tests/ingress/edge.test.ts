import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readVisit } from '../../functions/edge/visit.ts';
import { edgeScript } from '../../ingress/edge.ts';
import { send } from '../support/client.ts';
import { type RunningEdge, startEdge } from '../support/edge.ts';
import { busy, hasty, own, refused, strictRefusal, useIngress, whileFaulty } from '../support/ingress.ts';
import { until } from '../support/stack.ts';
import { answer } from '../support/upstream.ts';

const ingress = useIngress();
let edge: RunningEdge;

beforeEach(async () => {
  edge = await startEdge();
});
afterEach(() => edge.stop());

const start = (shorten: Record<string, string> = hasty) =>
  ingress.start({ shorten, variables: { LOG_SERVER: edge.logServer } });

/** The requests by outcome, as soon as there are as many; nginx logs a request after its answer. */
async function outcomes(count: number, task = 'classify') {
  let found: Record<string, number> = {};
  const isThere = async () => {
    const entries = Object.entries(await edge.metrics()).flatMap(([series, value]): [string, number][] => {
      const [, of, outcome] = /^understudy_edge_requests_total\{task="(\w+)",outcome="(\w+)"\}$/.exec(series) ?? [];
      return of === task && outcome && value > 0 ? [[outcome, value]] : [];
    });
    found = Object.fromEntries(entries);
    return Object.values(found).reduce((sum, value) => sum + value, 0) >= count;
  };
  await until(isThere, 10_000, () => `Expected ${count} requests but received ${JSON.stringify(found)}`);
  return found;
}

describe('the exporter of the log', () => {
  it('has every outcome at zero before the first request', async () => {
    const metrics = await edge.metrics();

    const zeros = Object.entries(metrics).filter(([series]) => series.startsWith('understudy_edge_requests_total'));
    expect(zeros).toHaveLength(4 * 8);
    expect(zeros.every(([, value]) => value === 0)).toBe(true);
    expect(metrics['understudy_edge_failovers_total{cause="failed"}']).toBe(0);
    expect(metrics.understudy_edge_breaker_open).toBe(0);
  });

  it('tells answers of the lead model, degraded ones, and failures apart', async () => {
    await start();

    await ingress.post();
    ingress.primary.behave(
      answer(200, { 'content-type': 'application/json', 'x-tier': 'primary', 'x-degraded': 'overload' }, '{}'),
    );
    await ingress.post();
    ingress.primary.behave(own('INTERNAL'));
    ingress.fallback.behave(
      answer(
        200,
        { 'content-type': 'application/json', 'x-tier': 'fallback', 'x-degraded': 'failover', 'x-revision': 'f-00002' },
        '{}',
      ),
    );
    await ingress.post();
    ingress.fallback.behave(own('INTERNAL'));
    await ingress.post();

    expect(await outcomes(4)).toEqual({ lead: 1, degraded: 2, unanswered: 1 });
    const metrics = await edge.metrics();
    expect(metrics['understudy_edge_answer_seconds_count{task="classify",tier="primary"}']).toBe(2);
    expect(metrics['understudy_edge_answer_seconds_count{task="classify",tier="fallback"}']).toBe(1);
    expect(
      metrics[
        'understudy_edge_answers_total{task="classify",status="200",tier="fallback",reason="failover",revision="f-00002"}'
      ],
    ).toBe(1);
    expect(metrics['understudy_edge_failovers_total{cause="failed"}']).toBe(2);
    expect(metrics.understudy_edge_lines_unread_total).toBe(0);
  });

  it('does not take for a failure what a client has done or wanted', async () => {
    await start();

    ingress.primary.behave(own('UPLOAD_EMPTY'));
    await ingress.post();
    await ingress.post({ path: '/nowhere' });
    await ingress.post({ method: 'GET' });
    ingress.primary.behave(strictRefusal);
    await ingress.post({ headers: { prefer: 'handling=strict' } });
    for (const tier of [ingress.primary, ingress.fallback])
      tier.behave(own('DEADLINE_EXCEEDED', { 'x-reason': 'deadline' }));
    await ingress.post({ headers: { 'x-deadline-ms': '1799' } });
    await ingress.post({ headers: { 'x-deadline-ms': '1800' } });
    ingress.primary.behave({ kind: 'silent' });
    const leaving = new AbortController();
    setTimeout(() => leaving.abort(), 100);
    const left = fetch(`${ingress.nginx.origin}/classify`, { method: 'POST', body: 'a', signal: leaving.signal });
    await expect(left).rejects.toThrow();

    expect(await outcomes(7)).toEqual({ client: 3, strict: 1, hurried: 1, unanswered: 1, gone: 1 });
  });

  it('counts clouds and digits for themselves', async () => {
    await start();

    await ingress.post({ path: '/infer' });
    ingress.digits.behave(busy);
    await ingress.post({ path: '/predict' });

    expect(await outcomes(1, 'clouds')).toEqual({ lead: 1 });
    expect(await outcomes(1, 'digits')).toEqual({ unanswered: 1 });
  });

  it('tells why requests left the primary, and that the breaker is open', async () => {
    await start({ ...hasty, 'fail_timeout=1s': 'fail_timeout=5s' });
    ingress.primary.behave(busy);
    await ingress.post();

    await whileFaulty(ingress.primary, refused, async () => {
      for (let i = 0; i < 3; i += 1) await ingress.post();
      await outcomes(4);
      expect((await edge.metrics()).understudy_edge_breaker_open).toBe(1);
      await ingress.post();
    });
    await outcomes(5);

    const metrics = await edge.metrics();
    const causes = ['full', 'failed', 'skipped'].map(
      (cause) => metrics[`understudy_edge_failovers_total{cause="${cause}"}`],
    );
    expect(causes).toEqual([1, 3, 1]);
    await until(
      async () => (await edge.metrics()).understudy_edge_breaker_open === 0,
      10_000,
      'Expected a closed breaker after 5 s',
    );
  });

  it('that is gone costs no answer, and counts again when it is back', async () => {
    await start();
    await edge.stop();

    for (let i = 0; i < 5; i += 1) expect((await ingress.post()).status).toBe(200);

    expect(ingress.nginx.errors()).toBe('');
  });

  it('counts lines that it cannot read, and reads on', async () => {
    const [host = '', port] = edge.logServer.split(':');
    const socket = createSocket('udp4');
    for (const line of ['words', '{"status":200}', '{"status":', `${'['.repeat(60_000)}`])
      socket.send(line, Number(port), host);

    await until(
      async () => (await edge.metrics()).understudy_edge_lines_unread_total === 4,
      10_000,
      'Expected four lines',
    );
    socket.close();
    await start();
    await ingress.post();
    expect(await outcomes(1)).toEqual({ lead: 1 });
  });

  it('loses none of 500 lines that come at once', async () => {
    await start();

    for (let i = 0; i < 5; i += 1) await ingress.burst(100, { method: 'GET' });

    expect(await outcomes(500)).toEqual({ client: 500 });
  });

  it('serves nothing but metrics', async () => {
    const origin = edge.metricsUrl.replace('/metrics', '');

    expect((await send(origin, { method: 'GET', path: '/', inside: true })).status).toBe(404);
    expect((await send(origin, { method: 'POST', path: '/metrics', inside: true })).status).toBe(405);
    expect(await edge.stop()).toBe(0);
    edge = await startEdge();
  });
});

describe('the settings of the exporter', () => {
  const run = (env: Record<string, string>) =>
    spawnSync(process.execPath, [edgeScript], { env, encoding: 'utf8', timeout: 15_000 });

  it('are refused together', () => {
    const { status, stderr } = run({
      LOG_LISTEN: '5140',
      METRICS_LISTEN: 'localhost:65536',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'collector',
    });

    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([
      'edge: Expected HOST:PORT for LOG_LISTEN but received "5140"',
      'Expected HOST:PORT for METRICS_LISTEN but received "localhost:65536"',
      'Expected an http or https URL for OTEL_EXPORTER_OTLP_ENDPOINT but received "collector"',
    ]);
  });

  it('are refused where another program listens', () => {
    const { status, stderr } = run({ LOG_LISTEN: '127.0.0.1:0', METRICS_LISTEN: new URL(edge.metricsUrl).host });

    expect(status).toBe(1);
    expect(stderr).toMatch(/^edge: listen EADDRINUSE/);
  });
});

describe('readVisit', () => {
  const line = {
    method: 'POST',
    status: 200,
    seconds: 0.5,
    at: 1_700_000_000.5,
    group: 'tiers',
    trace: '4bf92f3577b34da6a3ce929d0e0e4736',
    span: '00f067aa0ba902b7',
    tiers: 'unix:/run/fallback.sock : unix:/run/strict.sock',
    answers: '503 : 200',
    times: '0.100 : 0.250',
  };

  it('reads attempts after an internal redirect', () => {
    expect(readVisit(JSON.stringify(line))).toMatchObject({
      outcome: 'lead',
      endMs: 1_700_000_000_500,
      attempts: [
        { way: 'fallback', status: 503, ms: 100 },
        { way: 'strict', status: 200, ms: 250 },
      ],
      tiersMs: 350,
    });
  });

  it.each([
    ['a model', 'model', 'a"} 1\nother{'],
    ['a tier', 'tier', 'third'],
    ['a reason', 'degraded', 'With Words'],
    ['a revision', 'revision', 'UPPER'],
  ])('leaves out %s that no function of ours has', (_what, name, value) => {
    const field = { degraded: 'reason' }[name] ?? name;

    expect(readVisit(JSON.stringify({ ...line, [name]: value }))).toMatchObject({ [field]: '' });
  });
});
