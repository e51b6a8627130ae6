import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type IngressVariables, localVariables, renderIngress } from '../../ingress/render.ts';
import { type Sent, send } from '../support/client.ts';
import { corsOf, page, preflight, readable } from '../support/cors.ts';
import { expectProblem, hasty, own, useIngress } from '../support/ingress.ts';
import { answer } from '../support/upstream.ts';

jest.setTimeout(30_000);

const folder = mkdtempSync(join(tmpdir(), 'keys-test-'));
chmodSync(folder, 0o711);
afterAll(() => rmSync(folder, { recursive: true }));

const ingress = useIngress();
const ask = (sent: Sent = {}) => send(ingress.nginx.origin, { body: Buffer.from('x'), ...sent });
const startWith = (variables: IngressVariables) => ingress.start({ shorten: hasty, variables });

const keyOf = (name: string) => `${name}.${randomBytes(16).toString('base64url')}`;
const md5 = (text: string) => createHash('md5').update(text).digest('base64url');

describe('with API_KEYS_FILE', () => {
  const [one, other, special] = [keyOf('one'), keyOf('the_other-1'), keyOf('default')];
  const file = join(folder, 'keys');

  beforeAll(async () => {
    const lines = [
      ['one', one],
      ['the_other-1', other],
      ['default', special],
    ].map(([name, key]) => `${name} ${md5(String(key))}`);
    writeFileSync(file, `# who may ask\n\n${lines.join('\n')}`);
    await startWith({ API_KEYS_FILE: file, CORS_ORIGINS: page });
  });

  it.each([
    ['X-API-Key', 'one', () => ({ 'x-api-key': one })],
    ['another key', 'the_other-1', () => ({ 'x-api-key': other })],
    ["a name that is nginx's own word", 'default', () => ({ 'x-api-key': special })],
    ['Authorization', 'one', () => ({ authorization: `Bearer ${one}` })],
    ['Authorization in small letters', 'the_other-1', () => ({ authorization: `bearer  ${other}` })],
    ['Authorization before X-API-Key', 'one', () => ({ authorization: `Bearer ${one}`, 'x-api-key': 'nonsense' })],
    ['who calls itself otherwise', 'one', () => ({ 'x-api-key': one, 'x-key-name': 'the_other-1' })],
  ])('lets %s in, and tells functions the name in place of the key', async (_what, name, headersOf) => {
    for (const path of ['/classify', '/infer', '/predict', '/huggingface']) {
      expect((await ask({ path, headers: headersOf() })).status).toBe(200);
    }

    const received = [ingress.primary, ingress.clouds, ingress.digits].flatMap((upstream) => upstream.received);
    expect(received).toHaveLength(4);
    for (const { headers } of received) {
      expect(headers).not.toHaveProperty('authorization');
      expect(headers).not.toHaveProperty('x-api-key');
      expect(headers['x-key-name']).toBe(name);
    }
  });

  it('tells the name of no key that it has not checked', async () => {
    const headers = { 'x-api-key': keyOf('one'), 'x-key-name': 'one' };
    expect((await ask({ method: 'GET', path: '/v2', headers, body: Buffer.alloc(0) })).status).toBe(200);
    expect(ingress.primary.received[0]?.headers).not.toHaveProperty('x-key-name');
  });

  it.each([
    ['no key', {}],
    ['an empty one', { 'x-api-key': '' }],
    ['the hash', { 'x-api-key': `one.${md5(one)}` }],
    ['another secret', { 'x-api-key': keyOf('one') }],
    ["another's secret", { 'x-api-key': other.replace(/^[^.]+/, 'one') }],
    ['an unknown name', { 'x-api-key': one.replace('one', 'two') }],
    ['a secret without a name', { 'x-api-key': one.slice('one.'.length) }],
    ['a name alone', { 'x-api-key': 'one.' }],
    ['one character more', { 'x-api-key': `${one}A` }],
    ['one character less', { 'x-api-key': one.slice(0, -1) }],
    ['Basic', { authorization: `Basic ${one}` }],
    ['a wrong Bearer beside a right X-API-Key', { authorization: 'Bearer nonsense', 'x-api-key': one }],
  ])('answers KEY_REQUIRED to %s, before it reads the upload', async (_what, headers) => {
    for (const path of ['/classify', '/infer', '/predict', '/v2/models/classify/infer', '/jobs/1', '/nowhere']) {
      const answered = await ask({ path, headers: { ...headers, origin: page } });

      expectProblem(answered, 'KEY_REQUIRED');
      expect(answered.headers['www-authenticate']).toBe('Bearer realm="understudy"');
      expect(corsOf(answered.headers)).toEqual(readable(page));
    }
    expect(ingress.primary.received).toEqual([]);
  });

  it('asks for none before it tells health and metadata, or what a page may ask', async () => {
    const get = async (path: string) => (await ask({ method: 'GET', path, body: Buffer.alloc(0) })).status;

    expect(await get('/healthz')).toBe(200);
    expect(await get('/v2/health/ready')).toBe(200);
    expect(await get('/')).toBe(200);
    expect(await get('/jobs/1')).toBe(401);
    expect((await ask(preflight(page))).status).toBe(204);
  });

  it('moves on to the fallback as ever', async () => {
    ingress.primary.behave(own('INTERNAL'));
    ingress.fallback.behave(answer(200));

    const answered = await ask({ headers: { 'x-api-key': one } });

    expect([answered.status, answered.headers['x-tier']]).toEqual([200, 'fallback']);
    expect(ingress.fallback.received[0]?.headers).not.toHaveProperty('x-api-key');
  });
});

describe('without API_KEYS_FILE', () => {
  beforeAll(() => startWith({}));

  it('keys pass on, and none is needed', async () => {
    expect((await ask()).status).toBe(200);
    expect((await ask({ headers: { authorization: 'Bearer x' } })).status).toBe(200);
    expect(ingress.primary.received[1]?.headers.authorization).toBe('Bearer x');
    await ask({ headers: { 'x-key-name': 'one' } });
    expect(ingress.primary.received[2]?.headers).not.toHaveProperty('x-key-name');
  });
});

describe('the renderer', () => {
  const render = (change: IngressVariables) => () =>
    renderIngress({
      ...localVariables({ runDir: '/run/x', port: 8080, functions: { primary: 1, fallback: 2 } }),
      ...change,
    });

  const keys = (text: string) => {
    const path = join(folder, 'bad');
    writeFileSync(path, text);
    return { API_KEYS_FILE: path };
  };

  it('refuses a file of keys that it cannot read, that has none, and lines that are none, without quoting them', () => {
    const secret = keyOf('one');
    const line = 'Expected a name and an MD5 in 22 characters on line';
    const rest = 'for API_KEYS_FILE but received something else';

    expect(render({ API_KEYS_FILE: '/nowhere' })).toThrow(
      'Expected a readable file for API_KEYS_FILE but received "/nowhere"',
    );
    expect(render({ API_KEYS_FILE: folder })).toThrow('Expected a readable file for API_KEYS_FILE but received');
    expect(render(keys('# none\n'))).toThrow('Expected a key for API_KEYS_FILE but received a file without');
    const bad = ['one', secret, `one ${md5(secret)} more`, `one ${md5(secret)}=`, `o;e ${md5(secret)}`];
    const twice = ['two', 'two', 'Two'].map((name) => `${name} ${md5(secret)}`);
    const text = [...bad, `${'x'.repeat(33)} ${md5(secret)}`, ...twice].join('\n');
    expect(render(keys(text))).toThrow(
      [
        ...[1, 2, 3, 4, 5, 6].map((number) => `${line} ${number} ${rest}`),
        'Expected each name once for API_KEYS_FILE but received two again on line 8',
        'Expected each name once for API_KEYS_FILE but received Two again on line 9',
      ].join('\n'),
    );
  });
});
