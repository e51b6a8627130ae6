import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { readAttempts } from '../../functions/edge/visit.ts';
import { expectProblem, noOutages, outages, own, photo, plain, useIngress, whileFaulty } from '../support/ingress.ts';
import { answer } from '../support/upstream.ts';

jest.setTimeout(30_000);

/** Longer than `fail_timeout`, here 1 s: nginx counts whole seconds. */
const openMs = 2_100;

const ingress = useIngress();

describe('the breaker', () => {
  beforeEach(() => ingress.start());

  it.each(outages)('opens after 3 times %s', async (_name, fault) => {
    await whileFaulty(ingress.primary, fault, () => ingress.tiersOf(3));
    ingress.primary.behave(answer(200));

    expect(await ingress.tiersOf(2)).toEqual(['fallback', 'fallback']);
    expect(ingress.primary.received).toHaveLength(0);
  });

  it.each(noOutages)('stays closed on 20 times %s', async (_name, fault) => {
    const tiers = await whileFaulty(ingress.primary, fault, () => ingress.tiersOf(20));

    expect(tiers).toEqual(Array(20).fill('fallback'));
    expect(ingress.primary.received).toHaveLength(20);
  });

  it("stays closed on the clients' mistakes", async () => {
    ingress.primary.behave(own('UPLOAD_MALFORMED'));
    await ingress.tiersOf(20);

    expect([ingress.primary.received.length, ingress.fallback.received.length]).toEqual([20, 0]);
  });

  it('lets one request probe the primary, and closes when that succeeds', async () => {
    ingress.primary.behave(own('INTERNAL'));
    await ingress.tiersOf(6);
    expect(ingress.primary.received).toHaveLength(3);

    await sleep(openMs);
    await ingress.tiersOf(3);
    expect(ingress.primary.received).toHaveLength(4);

    await sleep(openMs);
    ingress.primary.behave(answer(200));
    expect(await ingress.tiersOf(3)).toEqual(['primary', 'primary', 'primary']);
  });

  it('never skips the fallback', async () => {
    ingress.primary.behave(own('INTERNAL'));
    ingress.fallback.behave(own('INTERNAL'));
    await ingress.tiersOf(6);
    ingress.fallback.behave(answer(200));

    expect(await ingress.tiersOf(1)).toEqual(['fallback']);
  });

  it.each(outages)('is passed, with the whole upload, when the fallback then meets: %s', async (_name, fault) => {
    ingress.primary.behave(own('INTERNAL'));
    await ingress.tiersOf(3);
    ingress.primary.behave(answer(200));

    expect(await whileFaulty(ingress.fallback, fault, () => ingress.tiersOf(2))).toEqual(['primary', 'primary']);
    expect(ingress.primary.received.map(({ bytes }) => bytes)).toEqual([photo.length, photo.length]);
  });

  it('is passed once: 503 UNAVAILABLE when both tiers are gone', async () => {
    ingress.primary.behave(plain(500));
    ingress.fallback.behave(plain(500));
    await ingress.tiersOf(3);
    ingress.primary.behave(plain(500));
    ingress.fallback.behave(plain(500));

    expectProblem(await ingress.post(), 'UNAVAILABLE');
    expect([ingress.primary.received.length, ingress.fallback.received.length]).toEqual([1, 1]);
  });
});

describe('a silent primary and a client with a deadline', () => {
  beforeEach(() => ingress.start({ shorten: { 'fail_timeout=5s': 'fail_timeout=1s' } }));

  const ask = (deadlineMs: number, body = photo) =>
    ingress.post({ body, headers: { 'x-deadline-ms': String(deadlineMs), 'x-request-id': `in-${deadlineMs}` } });
  const askAtOnce = (count: number, deadlineMs: number) =>
    Promise.all(Array.from({ length: count }, () => ask(deadlineMs)));

  it.each([
    [500, 400],
    [750, 600],
    [1000, 800],
    [1800, 1500],
    [3000, 2500],
  ])('of %i ms: nginx goes to the fallback after %i', async (deadlineMs, movedMs) => {
    ingress.primary.behave({ kind: 'silent' });

    expect(await ask(deadlineMs)).toMatchObject({ status: 200, headers: { 'x-tier': 'fallback' } });
    const line = await ingress.nginx.accessLine(`in-${deadlineMs}`);
    expect(line).toMatchObject({ answers: deadlineMs < 1800 ? '404, 200' : '502 : 200' });
    const [first] = readAttempts(String(line.tiers), String(line.answers), String(line.times));
    expect(first?.ms).toBeGreaterThanOrEqual(movedMs - 2);
    expect(first?.ms).toBeLessThan(deadlineMs);
  });

  it.each([
    [1799, 'leaves the breaker closed', 'primary'],
    [1800, 'opens the breaker', 'fallback'],
  ])('of %i ms: silence %s', async (deadlineMs, _what, tier) => {
    ingress.primary.behave({ kind: 'silent' });
    await askAtOnce(3, deadlineMs);
    ingress.primary.behave(answer(200));

    expect(await ingress.tiersOf(1)).toEqual([tier]);
  });

  it('keeps the breaker open when its request is the probe', async () => {
    ingress.primary.behave(own('INTERNAL'));
    await askAtOnce(3, 2000);
    ingress.primary.behave({ kind: 'silent' });
    expect((await ask(2000)).ms).toBeLessThan(300);

    await sleep(openMs);
    expect((await ask(2000)).ms).toBeGreaterThan(1390);
    ingress.primary.behave(answer(200));
    expect(await ingress.tiersOf(1)).toEqual(['fallback']);
  });

  it('leaves the breaker closed when the primary itself reports that its share is used up', async () => {
    ingress.primary.behave({ ...own('DEADLINE_EXCEEDED', { 'x-reason': 'deadline' }), delayMs: 360 });
    await askAtOnce(5, 600);
    ingress.primary.behave(answer(200));

    expect(await ingress.tiersOf(1)).toEqual(['primary']);
  });

  it('moves the largest upload in time, too, of which the primary reads nothing', async () => {
    ingress.primary.behave({ kind: 'unread' });

    const { status, headers, ms } = await ask(1000, Buffer.alloc(10 * 1024 * 1024, 'x'));

    expect([status, headers['x-tier']]).toEqual([200, 'fallback']);
    expect(ms).toBeLessThan(2000); // 8 s without the share
  });
});
