import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { sendRaw } from '../support/client.ts';
import { type RunningEdge, startEdge } from '../support/edge.ts';
import { hasty, own, useIngress } from '../support/ingress.ts';
import { until } from '../support/stack.ts';
import { answer } from '../support/upstream.ts';

const ingress = useIngress();
let edge: RunningEdge;

beforeEach(async () => {
  edge = await startEdge();
});
afterEach(() => edge.stop());

it('a look at a job and at metadata is no answer of the lead model, no failure and no failover', async () => {
  await ingress.start({ shorten: hasty, variables: { LOG_SERVER: edge.logServer } });
  const get = (path: string) => ingress.post({ method: 'GET', path, body: Buffer.alloc(0) });

  for (let i = 0; i < 4; i += 1) await get('/jobs/a'); // each function once
  for (const upstream of [ingress.primary, ingress.fallback, ingress.clouds, ingress.digits]) {
    upstream.behave(own('DEADLINE_EXCEEDED')); // an expired job's answer
  }
  for (let i = 0; i < 4; i += 1) await get('/jobs/a/result');
  ingress.primary.behave(answer(200));
  await get('/v2');

  const requests = async () => {
    const series = Object.entries(await edge.metrics()).filter(([name]) => name.includes('_edge_requests_total'));
    return Object.fromEntries(series.filter(([, count]) => count > 0));
  };
  const isCounted = async () => Object.values(await requests()).reduce((sum, count) => sum + count, 0) === 9;
  await until(isCounted, 10_000, 'Expected 9 requests');
  expect(await requests()).toEqual({
    'understudy_edge_requests_total{task="jobs",outcome="other"}': 8,
    'understudy_edge_requests_total{task="classify",outcome="other"}': 1,
  });
  const metrics = await edge.metrics();
  expect(metrics['understudy_edge_failovers_total{cause="skipped"}']).toBe(0);
  expect(Object.keys(metrics).filter((name) => name.includes('_edge_answer_seconds_count'))).toEqual([]);
});

it('a deadline of 9 kB, which JSON makes 50 kB of, leaves the line short enough for a datagram', async () => {
  await ingress.start({ shorten: hasty, variables: { LOG_SERVER: edge.logServer } });
  const path = '/nowhere?'.padEnd(8_000, '"');
  const headers = `Host: x\r\nContent-Length: 1\r\nConnection: close\r\nX-Deadline-Ms: ${'\x01'.repeat(9_000)}`;

  expect(await sendRaw(ingress.nginx.port, `POST ${path} HTTP/1.1\r\n${headers}\r\n\r\nx`)).toMatch(/^HTTP\/1.1 404 /);

  const counted = async () =>
    (await edge.metrics())['understudy_edge_requests_total{task="classify",outcome="client"}'];
  await until(
    async () => (await counted()) === 1,
    10_000,
    () => `Expected a request but received ${ingress.nginx.errors()}`,
  );
  expect(ingress.nginx.errors()).toBe('');
});
