import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import { problems } from '../../functions/core/problem.ts';
import { freePort } from '../../ingress/port.ts';
import { type Answer, type Sent, send } from '../support/client.ts';
import { hasty, photo, useIngress } from '../support/ingress.ts';
import { answer } from '../support/upstream.ts';

jest.setTimeout(30_000);

describe('waking the fallback', () => {
  const ingress = useIngress();
  let address: string;

  beforeAll(async () => {
    address = `127.0.0.1:${await freePort()}`;
    await ingress.start({ shorten: hasty, variables: { WAKE_LISTEN: address } });
  });

  const wake = (sent: Sent = {}): Promise<Answer> =>
    send(`http://${address}`, { method: 'GET', path: '/readyz', inside: true, ...sent });

  it.each([
    ['GET', '/readyz', 'fallback', '{"status":"starting"}'],
    ['HEAD', '/readyz', 'fallback', ''],
    ['GET', '/primary/readyz', 'primary', '{"status":"starting"}'],
  ] as const)('forwards %s %s to the %s, with its Host, and returns its answer', async (method, path, tier, text) => {
    const other = tier === 'primary' ? 'fallback' : 'primary';
    const id = `wake-${method}-${tier}`;
    ingress[tier].behave(answer(503, { 'content-type': 'application/json' }, '{"status":"starting"}'));

    const answered = await wake({ method, path, headers: { host: 'ingress', 'x-request-id': id } });

    expect(answered).toMatchObject({ status: 503, text });
    expect(ingress[tier].received).toMatchObject([
      { method, url: '/readyz', headers: { host: `classify-${tier}.local`, 'x-request-id': id } },
    ]);
    expect(ingress[other].received).toEqual([]);
    expect(await ingress.nginx.accessLine(id)).toMatchObject({ status: 503, answers: '503' });
  });

  it('waits for a fallback that starts', async () => {
    ingress.fallback.behave({ ...answer(200), delayMs: 400 });

    expect((await wake()).status).toBe(200);
  });

  it('asks a silent fallback once and gives up', async () => {
    ingress.fallback.behave({ kind: 'silent' });

    expect((await wake()).status).toBe(504);
    expect(ingress.fallback.received).toHaveLength(1);
  });

  it('retries a stale kept connection', async () => {
    ingress.fallback.behave({ kind: 'stale' });
    const statuses = [];
    for (let i = 0; i < 5; i += 1) statuses.push((await wake()).status);

    expect(statuses).toEqual(Array(5).fill(200));
  });

  it.each<[number, string, Sent]>([
    [404, 'any other path', { path: '/metrics' }],
    [404, 'POST /classify', { method: 'POST', path: '/classify' }],
    [413, 'an upload', { method: 'POST', body: photo }],
    [404, 'more than the path', { path: '/readyz/x' }],
    [405, 'POST', { method: 'POST' }],
    [405, 'DELETE', { method: 'DELETE' }],
    [404, 'any other path of the primary', { path: '/primary/classify' }],
    [405, 'POST of the primary', { method: 'POST', path: '/primary/readyz' }],
    [413, 'a GET with a body', { body: Buffer.from('xx') }],
  ])('answers %i to %s and asks no tier', async (status, _what, sent) => {
    const answered = await wake(sent);

    expect(answered.status).toBe(status);
    if (status === 404) expect(JSON.parse(answered.text)).toMatchObject(problems.ROUTE_NOT_FOUND);
    expect([...ingress.fallback.received, ...ingress.primary.received]).toEqual([]);
  });

  it('asks a full primary, too', async () => {
    await ingress.start({ shorten: hasty, variables: { WAKE_LISTEN: address, PRIMARY_MAX_CONNS: '1' } });
    ingress.primary.behave({ ...answer(200), delayMs: 400 });
    const asked = ingress.burst(2);
    while (ingress.fallback.received.length === 0) await sleep(10); // the second found the primary full

    expect((await wake({ path: '/primary/readyz' })).status).toBe(200);
    await asked;
  });
});
