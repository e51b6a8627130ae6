import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ProblemCode } from '../../functions/core/problem.ts';
import { type Answer, sendRaw } from '../support/client.ts';
import { busy, deadline, expectProblem, own, plain, refused, useIngress, whileFaulty } from '../support/ingress.ts';
import { answer, type Behavior } from '../support/upstream.ts';

jest.setTimeout(30_000);

const ingress = useIngress();
const slow = (delayMs: number): Behavior => ({ ...answer(200), delayMs });
const strict = { headers: { prefer: 'handling=strict' } };

/** Few enough connections for a test to fill. */
const startSmall = (primary: number, fallback: number) =>
  ingress.start({
    shorten: { 'fail_timeout=5s': 'fail_timeout=1s' },
    variables: { PRIMARY_MAX_CONNS: String(primary), FALLBACK_MAX_CONNS: String(fallback) },
  });

/** Expects so many answers of 200 and this problem for all others, which it returns. */
function expectRefusals(answers: readonly Answer[], answered: number, code: ProblemCode): readonly Answer[] {
  const refusals = answers.filter(({ status }) => status !== 200);
  expect(answers.length - refusals.length).toBe(answered);
  for (const refusal of refusals) expectProblem(refusal, code);
  return refusals;
}

describe('full tiers', () => {
  const received = () => [ingress.primary.received.length, ingress.fallback.received.length];

  it('spill to the fallback what exceeds the primary', async () => {
    await startSmall(2, 24);
    ingress.primary.behave(slow(200));

    const tiers = (await ingress.burst(8)).map(({ headers }) => headers['x-tier']);

    expect(tiers.sort()).toEqual([...Array(6).fill('fallback'), ...Array(2).fill('primary')]);
    expect(await ingress.tiersOf(1)).toEqual(['primary']);
  });

  it('refuse with BUSY what exceeds both, at once, and spread the retries', async () => {
    await startSmall(3, 2);
    ingress.primary.behave(slow(300));
    ingress.fallback.behave(slow(300));

    const refusals = expectRefusals(await ingress.burst(45), 5, 'BUSY');

    expect(new Set(refusals.map(({ headers }) => headers['retry-after']))).toEqual(new Set(['1', '2', '3']));
    expect(received()).toEqual([3, 2]);
    expectRefusals(await ingress.burst(5), 5, 'BUSY');
  });

  it('refuse with BUSY behind a primary that is full itself', async () => {
    await startSmall(60, 2);
    ingress.primary.behave(busy);
    ingress.fallback.behave(slow(300));

    expectRefusals(await ingress.burst(12), 2, 'BUSY');
  });

  it('have places for what a primary had taken when it failed', async () => {
    await startSmall(4, 2);
    ingress.primary.behave({ ...plain(500), delayMs: 200 });
    ingress.fallback.behave(slow(600));

    expectRefusals(await ingress.burst(12), 6, 'BUSY');
    expect(received()).toEqual([4, 6]);
  });

  it.each([
    [1200, 4],
    [800, 1],
  ])(
    'have places for what a primary refused after %d ms: then it hung, and was not full',
    async (delayMs, answered) => {
      await startSmall(4, 1);
      ingress.primary.behave({ ...busy, delayMs });
      ingress.fallback.behave(slow(600));

      expectRefusals(await ingress.burst(4), answered, 'BUSY');
    },
  );

  it('have the other places for what comes while the breaker skips the primary', async () => {
    await startSmall(4, 2);
    ingress.primary.behave({ ...plain(500), delayMs: 100 });
    ingress.fallback.behave(slow(800));
    const returned = ingress.burst(4);
    await sleep(400);

    expectRefusals(await ingress.burst(3), 2, 'BUSY');
    expectRefusals(await returned, 4, 'BUSY');
    expect(received()).toEqual([4, 6]);
  });

  it('have as many of these places as the primary has', async () => {
    await startSmall(2, 1);
    ingress.primary.behave({ ...plain(500), delayMs: 50 });
    ingress.fallback.behave(slow(1500));
    const first = ingress.burst(3);
    await sleep(300);

    const refusals = expectRefusals(await ingress.burst(2), 0, 'BUSY');

    expect(refusals).toHaveLength(2);
    expectRefusals(await first, 3, 'BUSY');
  });

  it.each([
    ['503 BUSY', busy],
    ['504 DEADLINE_EXCEEDED', deadline],
  ])("pass the fallback's own %s through, and leave a full primary alone", async (_name, behavior) => {
    await startSmall(1, 20);
    ingress.primary.behave(slow(400));
    ingress.fallback.behave(behavior);
    const first = ingress.post();
    await sleep(100);

    const { status, body: text } = behavior;
    for (const answered of await ingress.burst(5)) expect(answered).toMatchObject({ status, text });
    expect((await first).status).toBe(200);
    expect(received()).toEqual([1, 5]);
  });

  it('let ordinary and strict requests together not exceed the primary', async () => {
    await startSmall(4, 1);
    ingress.primary.behave(slow(300));
    ingress.fallback.behave(slow(300));

    const [ordinary, others] = await Promise.all([ingress.burst(4), ingress.burst(4, strict)]);

    expect(ingress.primary.received).toHaveLength(4);
    for (const refusal of others.filter(({ status }) => status !== 200)) expectProblem(refusal, 'PRIMARY_REQUIRED');
    for (const refusal of ordinary.filter(({ status }) => status !== 200)) expectProblem(refusal, 'BUSY');
  });

  it('refuse strict requests that exceed the primary with PRIMARY_REQUIRED', async () => {
    await startSmall(2, 20);
    ingress.primary.behave(slow(300));

    expectRefusals(await ingress.burst(6, strict), 2, 'PRIMARY_REQUIRED');
    expect(ingress.fallback.received).toHaveLength(0);
  });

  it.each<[string, number, Behavior, number]>([
    ['that is full', 2, slow(400), 2],
    ['that reports it is full', 20, busy, 0],
  ])(
    'refuse with BUSY when the fallback is gone behind a primary %s',
    async (_what, connections, behavior, answered) => {
      await startSmall(connections, 20);
      ingress.primary.behave(behavior);

      expectRefusals(await whileFaulty(ingress.fallback, refused, () => ingress.burst(8)), answered, 'BUSY');
    },
  );

  it('refuse with BUSY when the primary is full past its breaker and the fallback is gone', async () => {
    await startSmall(1, 20);
    ingress.primary.behave(own('INTERNAL'));
    await ingress.tiersOf(3);
    ingress.primary.behave(slow(400));

    expectRefusals(await whileFaulty(ingress.fallback, refused, () => ingress.burst(5)), 1, 'BUSY');
  });
});

describe('the limits per client', () => {
  it.each([
    ['rate', { RATE: '1', BURST: '3', CONNECTIONS: '100' }, 4],
    ['connections', { RATE: '1000', BURST: '1000', CONNECTIONS: '3' }, 3],
  ])('refuse more than its %s with RATE_LIMITED', async (_what, limits, allowed) => {
    await ingress.start({ variables: { ...limits, UNLIMITED: '' } });
    ingress.primary.behave(slow(300));

    const refusals = expectRefusals(await ingress.burst(10), allowed, 'RATE_LIMITED');

    for (const { headers } of refusals) expect(headers['retry-after']).toBe('1');
    expect([ingress.primary.received.length, ingress.fallback.received.length]).toEqual([allowed, 0]);
  });

  it.each([
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:2:3:4', true],
    ['2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['2001:db8::1', '2001:db8::2:3:4', true],
    ['2001:db8::1', '2001:db8:0:1::1', false],
    ['10.1.2.3', '10.1.2.3', false],
    ['fd00::1', 'fd00::1', false],
  ])('take %s and %s for one client: %s', async (one, other, isSame) => {
    const limits = { RATE: '1', BURST: '1', CONNECTIONS: '100' };
    const networks = { UNLIMITED: '10.0.0.0/8,fd00::/8', TRUSTED_PROXIES: '127.0.0.0/8' };
    await ingress.start({ variables: { ...limits, ...networks } });
    const ask = (client: string) => ingress.post({ headers: { 'x-forwarded-for': client } });
    await ask(one);
    await ask(one);

    expect((await ask(other)).status).toBe(isSame ? 429 : 200);
  });
});

describe('the limits of all clients together', () => {
  beforeAll(() => ingress.start());

  it.each([
    ['below 200 kB', 199_999, 1_024],
    ['from 200 kB on', 200_000, 64],
    ['below 4 MB', 3_999_999, 64],
    ['from 4 MB on', 4_000_000, 24],
    ['of unknown length', undefined, 24],
  ])('refuse more uploads %s with BUSY', async (_size, length, allowed) => {
    const framing = length === undefined ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
    const head = `POST /classify HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`;
    const begun = Array.from({ length: allowed }, () => connect(ingress.nginx.port, '127.0.0.1'));
    try {
      for (const socket of begun) socket.on('error', () => undefined).write(head);
      await sleep(300);

      const text = await sendRaw(ingress.nginx.port, head, 300);

      expect(text).toMatch(/^HTTP\/1.1 503 [\s\S]*"code":"BUSY"/);
      expect(text).toMatch(/\r\nRetry-After: [123]\r\n/);
      begun.pop()?.destroy();
      await sleep(100);
      expect(await sendRaw(ingress.nginx.port, head, 300)).toBe('');
    } finally {
      for (const socket of begun) socket.destroy();
      await sleep(100);
    }
  });
});
