import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ProblemCode } from '../../functions/core/problem.ts';
import { type Sent, send, sendRaw } from '../support/client.ts';
import { deadline, expectProblem, largestBody, own, sha256, useIngress, withoutBreaker } from '../support/ingress.ts';
import { answer } from '../support/upstream.ts';

jest.setTimeout(30_000);

const ingress = useIngress();
const { post } = ingress;

// Without the breaker, so that no test depends on the failures of another.
beforeAll(() => ingress.start({ shorten: withoutBreaker }));

describe("the ingress's own answers", () => {
  const small = Buffer.from('x');
  const tooLarge = Buffer.alloc(largestBody + 1);

  it('report health', async () => {
    const response = await fetch(`${ingress.nginx.origin}/healthz`);

    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
    expect(await response.json()).toEqual({ status: 'ok' });
  });

  it.each<[ProblemCode, string, Sent, Record<string, string>?]>([
    ['ROUTE_NOT_FOUND', 'an unknown path', { path: '/nothing', method: 'GET' }],
    ['ROUTE_NOT_FOUND', "a function's other routes", { path: '/metrics', method: 'GET' }],
    ['ROUTE_NOT_FOUND', 'more than the path', { path: '/classify/', body: small }],
    ['ROUTE_NOT_FOUND', 'internal locations', { path: '/problem/malformed', body: small }],
    ['METHOD_NOT_ALLOWED', 'GET /classify', { method: 'GET' }, { allow: 'POST, PUT' }],
    ['METHOD_NOT_ALLOWED', 'PATCH /classify', { method: 'PATCH', body: small }, { allow: 'POST, PUT' }],
    ['METHOD_NOT_ALLOWED', 'OPTIONS /classify', { method: 'OPTIONS' }, { allow: 'POST, PUT' }],
    ['METHOD_NOT_ALLOWED', 'TRACE /classify', { method: 'TRACE' }, { allow: 'POST, PUT' }],
    ['METHOD_NOT_ALLOWED', 'POST /healthz', { path: '/healthz', body: small }, { allow: 'GET, HEAD' }],
    ['UPLOAD_UNSUPPORTED', 'Content-Encoding', { body: small, headers: { 'content-encoding': 'gzip' } }],
    ['UPLOAD_TOO_LARGE', 'more than 10 MB and 64 kB', { body: tooLarge }],
    ['UPLOAD_TOO_LARGE', 'more than 10 MB and 64 kB in chunks', { body: tooLarge, chunked: true }],
    ['PARAMETER_INVALID', 'a long query', { path: `/classify?top=${'1'.repeat(9_300)}` }],
    ['PARAMETER_INVALID', 'a long header', { headers: { 'x-long': 'x'.repeat(9_300) } }],
  ])('are %s for %s', async (code, _what, sent, headers = {}) => {
    const answered = await send(ingress.nginx.origin, { ...sent, headers: { ...sent.headers, 'x-request-id': 'r.1' } });

    expectProblem(answered, code);
    expect(answered.headers).toMatchObject(headers);
    expect([...ingress.primary.received, ...ingress.fallback.received]).toEqual([]);
  });

  const to = (head: string, body = '') => `POST /classify HTTP/1.1\r\n${head}\r\n\r\n${body}`;

  it.each<[ProblemCode, string, string]>([
    ['UPLOAD_MALFORMED', 'no HTTP', 'hello\r\n\r\n'],
    ['UPLOAD_MALFORMED', 'no Host', to('Content-Length: 0')],
    ['UPLOAD_MALFORMED', 'HTTP/3 in words', 'POST /classify HTTP/3.0\r\nHost: a\r\n\r\n'],
    ['UPLOAD_MALFORMED', 'two lengths', to('Host: a\r\nContent-Length: 1\r\nContent-Length: 2', 'x')],
    [
      'UPLOAD_MALFORMED',
      'a length and chunks',
      to('Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    ],
    ['UPLOAD_MALFORMED', 'a broken chunk', to('Host: a\r\nTransfer-Encoding: chunked', 'no\r\n')],
    ['UPLOAD_UNSUPPORTED', 'another encoding', to('Host: a\r\nTransfer-Encoding: gzip')],
    ['PARAMETER_INVALID', 'an endless line', `GET /${'a'.repeat(40_000)}`],
  ])('are %s for %s', async (code, _what, bytes) => {
    const [head = '', text = ''] = (await sendRaw(ingress.nginx.port, bytes)).split('\r\n\r\n');

    const [line = '', ...lines] = head.split('\r\n');
    const headers = Object.fromEntries(lines.map((one) => one.toLowerCase().split(': ')));
    expectProblem({ status: Number(line.split(' ')[1]), headers, text }, code);
    expect(ingress.primary.received).toHaveLength(0);
  });

  it('are none for a client that stops sending: nginx hangs up and logs 408', async () => {
    const head = 'Host: a\r\nX-Request-Id: slow\r\nContent-Length: 10';

    expect(await sendRaw(ingress.nginx.port, to(head, 'abc'))).toBe('');
    expect(ingress.primary.received).toHaveLength(0);
    expect(await ingress.nginx.accessLine('slow')).toMatchObject({ status: 408 });
  });
});

describe('what the tiers receive', () => {
  it('is the whole of 10 MB and 64 kB', async () => {
    const body = randomBytes(largestBody);
    await post({ body });

    expect(ingress.primary.received[0]).toMatchObject({ bytes: body.length, sha256: sha256(body) });
  });

  it.each([
    ['a', true],
    ['A-z.0_9', true],
    ['x'.repeat(128), true],
    ['x'.repeat(129), false],
    ['', false],
    ['has blank', false],
    ['quote"', false],
    ['é', false],
    ['a,b', false],
  ])('is the request id %j of the client: %s', async (given, taken) => {
    const { headers } = await post({ headers: { 'x-request-id': given } });

    const id = headers['x-request-id'];
    if (taken) expect(id).toBe(given);
    else expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(ingress.primary.received[0]?.headers['x-request-id']).toBe(id);
  });

  it.each<[string, Record<string, string>, number, number]>([
    ['the upload was complete, whatever the client claims', { 'x-request-start': 't=1' }, 390, Infinity],
    ['the request arrived, if the client names a deadline', { 'x-deadline-ms': '4000' }, -2, 350],
  ])('is when %s, the same for both tiers', async (_what, headers, leastMs, mostMs) => {
    ingress.primary.behave(own('INTERNAL'));
    const before = Date.now();

    await post({ pauseMs: 400, headers });

    const [stamp, other] = [ingress.primary, ingress.fallback].map(
      (one) => one.received[0]?.headers['x-request-start'],
    );
    expect(stamp).toMatch(/^t=\d{10}\.\d{3}$/);
    const beganMs = Number(String(stamp).slice(2)) * 1000;
    expect(beganMs - before).toBeGreaterThanOrEqual(leastMs);
    expect(beganMs - before).toBeLessThan(mostMs);
    expect(beganMs).toBeLessThanOrEqual(Date.now());
    expect(other).toBe(stamp);
  });

  it.each([
    [undefined, undefined, '29000'],
    ['0', '0', '0'],
    ['499', '499', '499'],
    ['500', '350', '500'],
    ['749', '350', '749'],
    ['750', '550', '750'],
    ['999', '550', '999'],
    ['1000', '750', '1000'],
    ['1799', '750', '1799'],
    ['1800', '1300', '1800'],
    ['2999', '1300', '2999'],
    ['3000', '2300', '3000'],
    ['9999', '2300', '9999'],
    ['10000', '7500', '10000'],
    ['30000', '7500', '30000'],
    ['30001', '30001', '30001'],
    ['1e3', '1e3', '1e3'],
    ['../1000 x', '../1000 x', '../1000 x'],
  ])('is of a deadline of %s: for the primary %s, for the fallback the rest of %s', async (named, share, whole) => {
    ingress.primary.behave(deadline); // moves on without counting for the breaker

    await post({ path: '/classify?top=3', headers: named === undefined ? {} : { 'x-deadline-ms': named } });

    expect(ingress.primary.received).toMatchObject([{ url: '/classify?top=3' }]);
    expect(ingress.primary.received[0]?.headers['x-deadline-ms']).toBe(share);
    expect(ingress.fallback.received).toMatchObject([{ url: '/classify?top=3', headers: { 'x-deadline-ms': whole } }]);
  });

  it('is the whole deadline of a strict request', async () => {
    await post({ headers: { prefer: 'handling=strict', 'x-deadline-ms': '1000' } });

    expect(ingress.primary.received).toMatchObject([{ url: '/classify', headers: { 'x-deadline-ms': '1000' } }]);
  });

  it('is 4 kB of languages, and the one of the answer comes back', async () => {
    const languages = `de${', fr;q=0.5'.repeat(400)}`;
    const chosen = { 'content-type': 'application/json', 'content-language': 'de', vary: 'Accept-Language' };
    ingress.primary.behave(answer(200, chosen, '{}'));

    const { headers } = await post({ headers: { 'accept-language': languages } });

    expect(ingress.primary.received[0]?.headers['accept-language']).toBe(languages);
    expect(headers).toMatchObject({ 'content-language': 'de', vary: 'Accept-Language' });
  });

  it('is a bearer token of 8 kB', async () => {
    const authorization = `Bearer ${'x'.repeat(8_192)}`;

    expect((await post({ headers: { authorization } })).status).toBe(200);
    expect(ingress.primary.received[0]?.headers.authorization).toBe(authorization);
  });

  it("is the client's address, whatever it claims", async () => {
    await post({ headers: { 'x-forwarded-for': '10.1.2.3', forwarded: 'for=10.1.2.3' } });

    expect(ingress.primary.received[0]?.headers['x-forwarded-for']).toBe('127.0.0.1');
    expect(ingress.primary.received[0]?.headers.forwarded).toBeUndefined();
  });

  it("is the client's address as a trusted proxy reports it", async () => {
    await ingress.start({ shorten: withoutBreaker, variables: { TRUSTED_PROXIES: '127.0.0.0/8' } });

    await post({ headers: { 'x-forwarded-for': '6.6.6.6, 10.1.2.3' } });

    expect(ingress.primary.received[0]?.headers['x-forwarded-for']).toBe('10.1.2.3');
  });
});

describe('the access log', () => {
  it('has one line per request, with every tier that was asked', async () => {
    const told = { 'x-model': 'mobilenet', 'x-tier': 'fallback', 'x-degraded': 'failover', 'x-revision': 'one-00002' };
    ingress.primary.behave(own('INTERNAL'));
    ingress.fallback.behave(answer(200, { 'content-type': 'application/json', ...told }, '{}'));

    await fetch(`${ingress.nginx.origin}/healthz`);
    await post({ path: '/classify?top=1', headers: { 'x-request-id': 'line-1' } });

    expect(await ingress.nginx.accessLine('line-1')).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      requestId: 'line-1',
      at: expect.any(Number),
      group: 'tiers',
      deadline: '',
      trace: expect.stringMatching(/^[0-9a-f]{32}$/),
      span: expect.stringMatching(/^00[0-9a-f]{14}$/),
      parent: '',
      sampled: '01',
      client: '127.0.0.1',
      method: 'POST',
      uri: '/classify?top=1',
      status: 200,
      type: 'application/json',
      bytesIn: expect.any(Number),
      bytesOut: expect.any(Number),
      seconds: expect.any(Number),
      tiers: expect.stringMatching(/^unix:\S+\/primary\.sock : unix:\S+\/fallback\.sock$/),
      answers: '502 : 200',
      times: expect.stringMatching(/^\d+\.\d{3} : \d+\.\d{3}$/),
      model: 'mobilenet',
      tier: 'fallback',
      degraded: 'failover',
      revision: 'one-00002',
    });
  });
});
