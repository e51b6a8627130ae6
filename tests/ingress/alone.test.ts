import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ProblemCode } from '../../functions/core/problem.ts';
import { type Answer, type Sent, send, sendRaw } from '../support/client.ts';
import {
  bodies,
  busy,
  deadline,
  expectProblem,
  type Fault,
  largestBody,
  megabyte,
  own,
  plain,
  queueFull,
  refused,
  sha256,
  starting,
  strictRefusal,
  useIngress,
  whileFaulty,
} from '../support/ingress.ts';
import { until } from '../support/stack.ts';
import { answer, type Behavior } from '../support/upstream.ts';

jest.setTimeout(30_000);

const ingress = useIngress();

/** The functions without a second tier. */
const alone = [
  { name: 'clouds', path: '/infer', variable: 'CLOUDS_MAX_CONNS', largest: 16 * megabyte + 64 * 1024 },
  { name: 'digits', path: '/predict', variable: 'DIGITS_MAX_CONNS', largest: largestBody },
] as const;

describe.each(alone)('$path', ({ name, path, variable, largest }) => {
  const post = (sent: Sent = {}): Promise<Answer> => ingress.post({ ...sent, path: `${path}${sent.path ?? ''}` });
  const burst = (count: number) => Promise.all(Array.from({ length: count }, () => post()));
  const others = () =>
    [ingress.primary, ingress.fallback, ingress.clouds, ingress.digits].filter((one) => one !== ingress[name]);

  describe('before a function that works', () => {
    beforeAll(() => ingress.start());

    it.each(bodies)(
      'hands it %s, byte for byte, with the stamp, the id and the address of the client',
      async (_, sent) => {
        const headers = { 'content-type': 'image/tiff', 'x-deadline-ms': '4000', 'x-request-id': 'r.1' };
        const untrusted = { 'x-request-start': 't=1', 'x-forwarded-for': '10.1.2.3', forwarded: 'for=10.1.2.3' };

        const answered = await post({ ...sent, path: '?x=%20', headers: { ...headers, ...untrusted } });

        expect([answered.status, answered.headers['x-request-id']]).toEqual([200, 'r.1']);
        const [received, ...more] = ingress[name].received;
        expect(received).toMatchObject({
          ...{ method: 'POST', url: `${path}?x=%20`, bytes: sent.body.length, sha256: sha256(sent.body) },
          headers: { ...headers, host: `${name}.local`, 'x-forwarded-for': '127.0.0.1' },
        });
        const stampMs = Number(String(received?.headers['x-request-start']).slice(2)) * 1000;
        expect(Math.abs(Date.now() - stampMs)).toBeLessThan(5000);
        expect(received?.headers.forwarded).toBeUndefined();
        expect([...more, ...others().flatMap((one) => one.received)]).toEqual([]);
      },
    );

    it.each(['//', '/%2E/', '/x/../'])('forwards %s in front of the name as the path itself', async (start) => {
      await send(ingress.nginx.origin, { path: `${start}${path.slice(1)}?x=1`, body: Buffer.from('x') });

      expect(ingress[name].received).toMatchObject([{ url: `${path}?x=1` }]);
    });

    it.each<[string, Behavior & { kind: 'answer' }]>([
      ['200 of another type', answer(200, { 'content-type': 'image/png', 'x-own': 'kept' }, 'PNG')],
      ['400', own('UPLOAD_MALFORMED')],
      ['404', own('ROUTE_NOT_FOUND')],
      ['413', own('UPLOAD_TOO_LARGE')],
      ['415', own('UPLOAD_UNSUPPORTED')],
      ['429', own('RATE_LIMITED', { 'retry-after': '7' })],
      ['500 INTERNAL', own('INTERNAL')],
      ['503 BUSY', busy],
      ['503 STARTING', starting],
      ['503 PRIMARY_REQUIRED', strictRefusal],
      ['504 DEADLINE_EXCEEDED', deadline],
    ])('passes its own %s unchanged', async (_name, { status, headers, body: text, ...behavior }) => {
      ingress[name].behave({ ...behavior, status, ...(headers && { headers }), ...(text && { body: text }) });

      expect(await post({ headers: { prefer: 'handling=strict' } })).toMatchObject({ status, text, headers });
      expect(ingress[name].received).toHaveLength(1);
    });

    it.each<[ProblemCode, string, Fault]>([
      ['UNAVAILABLE', '404 of a gateway', plain(404)],
      ['UNAVAILABLE', '500 of a gateway', plain(500)],
      ['UNAVAILABLE', '502', plain(502)],
      ['UNAVAILABLE', '503 of a gateway', plain(503)],
      ['UNAVAILABLE', 'refused connection', refused],
      ['UNAVAILABLE', 'reset before the body', { kind: 'reset', when: 'before body' }],
      ['UNAVAILABLE', 'reset after the body', { kind: 'reset', when: 'after body' }],
      ['UNAVAILABLE', 'broken header', { kind: 'garbled' }],
      ['BUSY', 'full queue', queueFull],
      ['DEADLINE_EXCEEDED', '504 of a gateway', plain(504)],
      ['DEADLINE_EXCEEDED', 'silence', { kind: 'silent' }],
      ['DEADLINE_EXCEEDED', 'silence before the body', { kind: 'unread' }],
    ])('answers %s on its %s', async (code, _name, fault) => {
      const answered = await whileFaulty(ingress[name], fault, () => post({ headers: { 'x-request-id': 'mine' } }));

      expectProblem(answered, code);
      expect(answered.headers['x-request-id']).toBe('mine');
      const after = { UNAVAILABLE: /^5$/, BUSY: /^[123]$/ }[code as 'UNAVAILABLE' | 'BUSY'];
      if (after === undefined) expect(answered.headers).not.toHaveProperty('retry-after');
      else expect(answered.headers['retry-after']).toMatch(after);
      expect(others().flatMap((one) => one.received)).toEqual([]);
    });

    it('asks it again at once after failures: nothing is skipped', async () => {
      for (let i = 0; i < 10; i += 1) await whileFaulty(ingress[name], refused, () => post());

      expect((await post()).status).toBe(200);
    });

    it.each(bodies)('retries a kept connection that it has closed, with %s', async (_size, sent) => {
      ingress[name].behave({ kind: 'stale' });
      const answers = [];
      for (let i = 0; i < 5; i += 1) answers.push(await post(sent));

      expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(200));
      expect(ingress[name].received.map((one) => one.sha256)).toEqual(Array(5).fill(sha256(sent.body)));
    });

    it.each<[ProblemCode, string, Sent]>([
      ['METHOD_NOT_ALLOWED', 'GET', { method: 'GET' }],
      ['UPLOAD_UNSUPPORTED', 'Content-Encoding', { body: Buffer.from('x'), headers: { 'content-encoding': 'gzip' } }],
      ['UPLOAD_TOO_LARGE', 'one byte too many', { body: Buffer.alloc(largest + 1) }],
      ['UPLOAD_TOO_LARGE', 'one byte too many in chunks', { body: Buffer.alloc(largest + 1), chunked: true }],
      ['ROUTE_NOT_FOUND', 'more than the path', { path: '/', body: Buffer.from('x') }],
    ])('answers %s to %s, and asks nobody', async (code, _what, sent) => {
      const answered = await post(sent);

      expectProblem(answered, code);
      if (code === 'METHOD_NOT_ALLOWED') expect(answered.headers.allow).toBe('POST, PUT');
      const bytes = (largest - 64 * 1024).toString();
      if (code === 'UPLOAD_TOO_LARGE') expect(JSON.parse(answered.text).detail).toContain(`${bytes} bytes`);
      expect(ingress[name].received).toEqual([]);
    });

    it('takes the largest body', async () => {
      const body = randomBytes(largest);

      expect((await post({ body })).status).toBe(200);
      expect(ingress[name].received[0]).toMatchObject({ bytes: largest, sha256: sha256(body) });
    });
  });

  it('refuses with BUSY what exceeds the function, at once, and lets the others be', async () => {
    await ingress.start({ variables: { [variable]: '3' } });
    ingress[name].behave({ ...answer(200), delayMs: 300 });

    const answers = await burst(10);

    const refusals = answers.filter(({ status }) => status !== 200);
    expect([refusals.length, ingress[name].received.length]).toEqual([7, 3]);
    for (const refusal of refusals) {
      expectProblem(refusal, 'BUSY');
      expect(refusal.headers['retry-after']).toMatch(/^[123]$/);
    }
    expect((await ingress.post()).status).toBe(200);
  });

  it('has the limits per client', async () => {
    await ingress.start({ variables: { RATE: '1', BURST: '3', CONNECTIONS: '100', UNLIMITED: '' } });

    const refusals = (await burst(10)).filter(({ status }) => status !== 200);

    expect(refusals).toHaveLength(6);
    for (const refusal of refusals) expectProblem(refusal, 'RATE_LIMITED');
  });

  it.each([
    ['below 200 kB', 199_999, 1_024],
    ['below 4 MB', 3_999_999, 64],
    ['from 4 MB on', 4_000_000, path === '/infer' ? 16 : 24],
    ['of unknown length', undefined, path === '/infer' ? 16 : 24],
  ])('refuses more uploads %s with BUSY', async (_size, length, allowed) => {
    await ingress.start();
    const framing = length === undefined ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
    const head = `POST ${path} HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`;
    const isRefused = async () =>
      /^HTTP\/1.1 503 [\s\S]*"code":"BUSY"/.test(await sendRaw(ingress.nginx.port, head, 200));
    let begun: Socket[] = [];
    // Anew each time: nginx gives up an upload that brings nothing for a second.
    const isFull = async () => {
      for (const socket of begun) socket.destroy();
      begun = Array.from({ length: allowed }, () => connect(ingress.nginx.port, '127.0.0.1'));
      for (const socket of begun) socket.on('error', () => undefined).write(head);
      await sleep(300);
      return isRefused();
    };
    try {
      await until(isFull, 10_000, 'Expected a refusal but received none');
      begun.pop()?.destroy();
      await sleep(100);
      expect(await isRefused()).toBe(false);
    } finally {
      for (const socket of begun) socket.destroy();
    }
  });
});

describe('what is not deployed', () => {
  const paths = { classify: '/classify', clouds: '/infer', digits: '/predict' } as const;
  const variables = { classify: 'PRIMARY_ADDRESS', clouds: 'CLOUDS_ADDRESS', digits: 'DIGITS_ADDRESS' } as const;
  const systems = ['classify', 'clouds', 'digits'] as const;

  it.each([
    [['classify'], 'Expected /classify or /healthz for path but received another'],
    [['clouds'], 'Expected /infer or /healthz for path but received another'],
    [['digits'], 'Expected /predict or /healthz for path but received another'],
    [['classify', 'digits'], 'Expected /classify, /predict or /healthz for path but received another'],
    [['clouds', 'digits'], 'Expected /infer, /predict or /healthz for path but received another'],
  ])('is answered with ROUTE_NOT_FOUND: all but %j', async (deployed, detail) => {
    const absent = systems.filter((name) => !deployed.includes(name));
    await ingress.start({ variables: Object.fromEntries(absent.map((name) => [variables[name], ''])) });

    for (const name of systems) {
      const answered = await ingress.post({ path: paths[name] });
      if (deployed.includes(name)) expect(answered.status).toBe(200);
      else {
        expectProblem(answered, 'ROUTE_NOT_FOUND');
        expect(JSON.parse(answered.text).detail).toBe(detail);
      }
    }
  });
});
