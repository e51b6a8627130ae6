import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { buildSite, readSite } from '../../ingress/site.ts';
import { send } from '../support/client.ts';
import { expectProblem, useIngress } from '../support/ingress.ts';

const ingress = useIngress();
const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  send(ingress.nginx.origin, { path, method, headers });

/** Largest page, without the pictures to try, as it is sent: what a slow phone loads in half a second. */
const largestPage = 30_000;

beforeAll(() => ingress.start());

const guards = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self' ; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(self), microphone=(), geolocation=()',
};

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  svg: 'image/svg+xml',
  jpg: 'image/jpeg',
  tif: 'image/tiff',
};

describe('the page', () => {
  it('is at /, and the same at /index.html', async () => {
    const page = await get('/');

    expect(page.status).toBe(200);
    expect(page.headers).toMatchObject({ 'content-type': types.html, 'cache-control': 'no-cache', ...guards });
    expect(page.headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
    expect(page.text).toMatch(/^<!doctype html>[\s\S]*<\/html>\n$/);
    expect((await get('/index.html')).text).toBe(page.text);
  });

  it.each(readSite().map(({ name, content }) => [name, content] as const))('consists of %s', async (name, content) => {
    const { status, headers, bytes } = await get(`/${name}`);

    expect([status, headers['content-type']]).toEqual([200, types[name.split('.').at(-1) as string]]);
    expect(headers['cache-control']).toBe(
      name.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    );
    expect(headers).toMatchObject(guards);
    expect(headers).not.toHaveProperty('etag');
    expect(bytes.equals(content)).toBe(true);
  });

  it('is compressed for who can read that', async () => {
    const { headers, bytes } = await get('/', { 'accept-encoding': 'gzip' });

    expect(headers).toMatchObject({ 'content-type': types.html, 'content-encoding': 'gzip', vary: 'Accept-Encoding' });
    expect(gunzipSync(bytes).toString()).toBe((await get('/')).text);
  });

  it('links to nothing but its own files, which exist', async () => {
    const linked = [...(await get('/')).text.matchAll(/ (?:href|src)="([^"#]+)"/g)].map(([, link = '']) => link);

    expect(linked.length).toBeGreaterThan(2);
    for (const link of linked) expect([link, (await get(link)).status]).toEqual([link, 200]);
  });

  it(`weighs at most ${largestPage} bytes without the pictures`, () => {
    const others = /\/samples\/|^docs|^problems|\/docs\.css$|^openapi/; // other pages, and what they consist of
    const texts = readSite().filter(({ name }) => !others.test(name));

    const total = texts.reduce((sum, { content }) => sum + gzipSync(content, { level: 9 }).length, 0);
    expect(total).toBeLessThanOrEqual(largestPage);
  });

  it('stands, and names its systems, while no function does', async () => {
    const all = [ingress.primary, ingress.fallback, ingress.clouds, ingress.digits];
    await Promise.all(all.map((upstream) => upstream.refuse()));

    expect((await get('/')).status).toBe(200);
    const { headers, text } = await get('/page.json');
    expect(headers).toMatchObject({ 'content-type': 'application/json', 'cache-control': 'no-cache' });
    expect(JSON.parse(text)).toEqual({ systems: ['classify', 'clouds', 'digits'], operator: '' });
    await Promise.all(all.map((upstream) => upstream.open()));
    expect(all.flatMap(({ received }) => received)).toEqual([]);
  });
});

describe('problems', () => {
  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND'])('are METHOD_NOT_ALLOWED for %s /', async (method) => {
    for (const path of ['/', '/favicon.svg', '/page.json']) {
      const answered = await get(path, {}, method);

      expectProblem(answered, 'METHOD_NOT_ALLOWED');
      expect(answered.headers.allow).toBe('GET, HEAD');
    }
  });

  it.each([
    '/nothing',
    '/nothing.html',
    '/nothing.jpg',
    '/nothing.css',
    '/assets',
    '/assets/',
    '/assets/base.css',
    '/..%2fnginx.conf',
    '/assets/%2e%2e/%2e%2e/nginx.conf',
    '/favicon.svg/',
    '/%00',
    '/page.json/',
  ])('are of JSON for %s, whatever it looks like', async (path) => {
    const answered = await get(path);

    if (answered.status === 400) return expectProblem(answered, 'UPLOAD_MALFORMED');
    expectProblem(answered, 'ROUTE_NOT_FOUND');
    expect(answered.headers).not.toHaveProperty('cache-control');
  });

  it.each([
    { range: 'bytes=999999-' },
    { range: 'bytes=0-1' },
    { 'if-none-match': '"a"' },
    { 'if-modified-since': 'Fri, 01 Jan 2100 00:00:00 GMT' },
  ])('are none for %j: the whole page', async (headers) => {
    const { status, text } = await get('/', headers);

    expect([status, text]).toEqual([200, (await get('/')).text]);
  });

  it.each([{ 'if-match': '"a"' }, { 'if-unmodified-since': 'Fri, 01 Jan 2010 00:00:00 GMT' }])(
    'are of JSON for %j',
    async (headers) => {
      for (const path of ['/', '/healthz']) expectProblem(await get(path, headers), 'PARAMETER_INVALID');
    },
  );
});

describe('a folder of the site', () => {
  const folder = mkdtempSync(join(tmpdir(), 'site-test-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is readable for all, whatever the umask says, and built over an older one', () => {
    const before = process.umask(0o077);
    try {
      buildSite(join(folder, 'site'));
      buildSite(join(folder, 'site'));
    } finally {
      process.umask(before);
    }

    const paths = readdirSync(join(folder, 'site'), { recursive: true, encoding: 'utf8' });
    const modes = paths
      .map((path) => statSync(join(folder, 'site', path)))
      .map((stats) => [stats.isFile(), stats.mode & 0o777]);
    expect(new Set(modes.map(String))).toEqual(new Set(['true,420', 'false,493'])); // 644 and 755
    expect(readFileSync(join(folder, 'site', 'index.html'), 'utf8')).toMatch(/"\/assets\/[0-9a-f]{16}\/base\.css"/);
  });
});
