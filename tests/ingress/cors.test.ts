import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type IngressVariables, localVariables, renderIngress } from '../../ingress/render.ts';
import { type Sent, send } from '../support/client.ts';
import { corsOf, page, preflight, readable } from '../support/cors.ts';
import { expectProblem, hasty, largestBody, own, plain, useIngress } from '../support/ingress.ts';

jest.setTimeout(30_000);

const ingress = useIngress();
const ask = (sent: Sent = {}) => send(ingress.nginx.origin, { body: Buffer.from('x'), ...sent });
const startWith = (variables: IngressVariables) => ingress.start({ shorten: hasty, variables });

describe('without CORS_ORIGINS', () => {
  beforeAll(() => startWith({}));

  it('no page may read an answer', async () => {
    const answered = await ask({ headers: { origin: page } });
    expect([answered.status, corsOf(answered.headers)]).toEqual([200, {}]);

    const refusal = await ask(preflight(page));
    expectProblem(refusal, 'METHOD_NOT_ALLOWED');
    expect(corsOf(refusal.headers)).toEqual({});
  });
});

describe.each([
  [
    'a list',
    `${page}, http://[::1]:3000 http://localhost:3000`,
    [page, 'http://[::1]:3000', 'http://localhost:3000'],
    '',
  ],
  ['*', '*', [page, 'http://anywhere.example'], '*'],
])('with CORS_ORIGINS of %s', (_what, value, origins, told) => {
  beforeAll(() => startWith({ CORS_ORIGINS: value }));

  it.each(origins)('a page of %s may read answers of functions and of nginx', async (origin) => {
    const expected = readable(told || origin);
    const headers = { origin };
    const tooLarge = { body: Buffer.alloc(largestBody + 1) };
    const answers: [number, Sent][] = [
      [200, {}],
      [200, { path: '/healthz', method: 'GET', body: Buffer.alloc(0) }],
      [404, { path: '/nowhere' }],
      [405, { method: 'DELETE' }],
      [413, tooLarge],
      [415, { headers: { 'content-encoding': 'gzip' } }],
    ];
    for (const [status, sent] of answers) {
      const answered = await ask({ ...sent, headers: { ...sent.headers, ...headers } });
      expect([answered.status, corsOf(answered.headers)]).toEqual([status, expected]);
      expect(answered.headers.vary).toBe('Origin');
    }
    ingress.primary.behave(own('UPLOAD_EMPTY', { vary: 'Accept-Language' }));
    const passed = await ask({ headers });
    expect([passed.status, passed.headers.vary, corsOf(passed.headers)]).toEqual([
      400,
      'Accept-Language, Origin',
      expected,
    ]);
    for (const upstream of [ingress.primary, ingress.fallback]) upstream.behave(plain(503));
    const unavailable = await ask({ headers });
    expectProblem(unavailable, 'UNAVAILABLE');
    expect(corsOf(unavailable.headers)).toEqual(expected);
  });

  it.each(origins)('a page of %s may read the document of the API', async (origin) => {
    const answered = await ask({ path: '/openapi.json', method: 'GET', body: Buffer.alloc(0), headers: { origin } });

    expect([answered.status, corsOf(answered.headers)]).toEqual([200, readable(told || origin)]);
    expect(answered.headers.vary).toContain('Origin');
  });

  it.each(origins)('a page of %s may ask by any door, with the headers of the contract', async (origin) => {
    for (const path of ['/classify', '/infer', '/predict', '/huggingface']) {
      const { status, text, headers } = await ask(preflight(origin, path));

      expect([status, text]).toEqual([204, '']);
      expect(corsOf(headers)).toEqual({
        ...readable(told || origin),
        'access-control-allow-methods': 'GET, HEAD, POST, PUT, DELETE',
        'access-control-allow-headers': expect.stringMatching(/\bContent-Type, .*\bPrefer, .*\bX-Deadline-Ms\b/),
        'access-control-max-age': '600',
      });
    }
    expect(ingress.primary.received).toEqual([]);
  });

  it('an answer to nobody in particular says that it depends on the origin', async () => {
    const { headers } = await ask();

    expect([corsOf(headers), headers.vary]).toEqual([{}, 'Origin']);
  });

  it('an OPTIONS that is no preflight is a wrong method', async () => {
    expectProblem(await ask({ method: 'OPTIONS', headers: { origin: page } }), 'METHOD_NOT_ALLOWED');
  });
});

describe('pages of other origins', () => {
  // One twice, which nginx would not start with.
  beforeAll(() => startWith({ CORS_ORIGINS: `${page}, http://localhost:3000 ${page}` }));

  it.each([
    'https://other.example',
    'http://page.example',
    'https://page.example:8443',
    'https://page.example.evil.example',
    'https://evil.example?https://page.example',
    'null',
  ])('such as %s may not', async (origin) => {
    expect(corsOf((await ask({ headers: { origin } })).headers)).toEqual({});
    const refusal = await ask(preflight(origin));
    expectProblem(refusal, 'METHOD_NOT_ALLOWED');
    expect(corsOf(refusal.headers)).toEqual({});
  });
});

describe('the renderer', () => {
  const render = (change: IngressVariables) => () =>
    renderIngress({
      ...localVariables({ runDir: '/run/x', port: 8080, functions: { primary: 1, fallback: 2 } }),
      ...change,
    });

  it.each([
    'null',
    'page.example',
    'https://page.example/',
    'https://page.example/path',
    'https://Page.example',
    'https://*.page.example',
    'ftp://page.example',
    'https://page.example:',
    'https://page.example;',
    'https://page.example\nhttp://localhost:3000',
    'https://page.example\nnonsense',
    'https://page.example"',
    `${page}|`,
  ])('refuses %s for CORS_ORIGINS', (origin) => {
    const fault = `Expected origins such as https://example.org, or *, for CORS_ORIGINS but received ${JSON.stringify(origin)}`;

    expect(render({ CORS_ORIGINS: `${page}, ${origin}`, RATE: '0' })).toThrow(
      `${fault}\nExpected a positive integer for RATE but received 0`,
    );
  });
});
