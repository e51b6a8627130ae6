import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ProblemCode } from '../../functions/core/problem.ts';
import {
  bodies,
  busy,
  deadline,
  expectProblem,
  type Fault,
  largestBody,
  noOutages,
  outages,
  own,
  photo,
  plain,
  problemJson,
  queueFull,
  refused,
  sha256,
  starting,
  strictRefusal,
  useIngress,
  whileFaulty,
  withoutBreaker,
} from '../support/ingress.ts';
import { answer, type Behavior } from '../support/upstream.ts';

jest.setTimeout(30_000);

// Before those of useIngress, which end the tiers.
afterAll(async () => {
  if (process.env.LATENCY_REPORT) process.stderr.write(await addedLatency());
}, 120_000);

const ingress = useIngress();

beforeAll(() => ingress.start({ shorten: withoutBreaker }));

describe('failover', () => {
  it('stays with a primary that answers', async () => {
    expect(await ingress.tiersOf(200)).toEqual(Array(200).fill('primary'));
    expect(ingress.fallback.received).toHaveLength(0);
  });

  describe.each([...outages, ...noOutages])('on %s of the primary', (_name, fault) => {
    it.each(bodies)('asks the primary once and sends %s to the fallback, byte for byte', async (_size, sent) => {
      const path = '/classify?top=3';
      const headers = { 'content-type': 'image/jpeg', 'x-deadline-ms': '4000' };
      const { primary, fallback } = ingress;

      const answered = await whileFaulty(primary, fault, () => ingress.post({ ...sent, path, headers }));

      expect([answered.status, answered.headers['x-tier']]).toEqual([200, 'fallback']);
      const bytes = sent.body.length;
      expect(fallback.received).toMatchObject([
        {
          ...{ method: 'POST', url: path, bytes, sha256: sha256(sent.body) },
          headers: { ...headers, host: 'classify-fallback.local', 'content-length': String(bytes) },
        },
      ]);
      const asked = fault === refused ? [] : [{ headers: { host: 'classify-primary.local' } }];
      expect(primary.received).toMatchObject(asked);
    });
  });

  it('moves a PUT and an upload without a type as it does any other', async () => {
    ingress.primary.behave(own('INTERNAL'));

    const answered = await ingress.post({ method: 'PUT', headers: { 'content-type': [] } });

    expect([answered.status, answered.headers['x-tier']]).toEqual([200, 'fallback']);
    const asked = { method: 'PUT', url: '/classify', bytes: photo.length, sha256: sha256(photo) };
    expect([...ingress.primary.received, ...ingress.fallback.received]).toMatchObject([asked, asked]);
    expect(ingress.fallback.received[0]?.headers).not.toHaveProperty('content-type');
  });

  it.each([400, 401, 403, 408, 409, 413, 415, 422, 429, 431, 501])(
    'never moves a %i of the primary',
    async (status) => {
      const body = '{"code":"SOMETHING"}';
      const headers = { 'content-type': problemJson, 'retry-after': '3', 'x-own': 'kept' };
      ingress.primary.behave(answer(status, headers, body));

      expect(await ingress.post()).toMatchObject({ status, text: body, headers });
      expect(ingress.fallback.received).toHaveLength(0);
    },
  );

  it('never moves a 413 that the primary sends before it has read the body, if it then reads on', async () => {
    ingress.primary.behave({ kind: 'early', status: 413, after: 'reads on' });

    expect((await ingress.post({ body: Buffer.alloc(largestBody) })).status).toBe(413);
    expect(ingress.fallback.received).toHaveLength(0);
  });

  it.each(bodies)('retries a stale kept connection, at the primary, with %s', async (_size, sent) => {
    ingress.primary.behave({ kind: 'stale' });
    const answers = [];
    for (let i = 0; i < 5; i += 1) answers.push(await ingress.post(sent));

    expect(answers.map(({ text }) => text)).toEqual(Array(5).fill('{"tier":"primary"}'));
    expect(ingress.primary.received.map((one) => one.sha256)).toEqual(Array(5).fill(sha256(sent.body)));
    expect(ingress.fallback.received).toHaveLength(0);
  });

  it('cuts the connection of a client that has received half an answer', async () => {
    ingress.primary.behave({ kind: 'truncated' });

    await expect(ingress.post()).rejects.toThrow('aborted');

    expect(ingress.fallback.received).toHaveLength(0);
  });

  it.each(['//classify', '/%63lassify', '/x/../classify'])('forwards %s as /classify', async (path) => {
    await ingress.post({ path: `${path}?top=2&x=%20` });

    expect(ingress.primary.received[0]?.url).toBe('/classify?top=2&x=%20');
  });
});

describe('when both tiers fail', () => {
  it.each([
    ['503 BUSY', busy],
    ['503 PRIMARY_REQUIRED', strictRefusal],
    ['504 DEADLINE_EXCEEDED', deadline],
  ])("passes the fallback's own %s through", async (_name, { status, headers, body, ...behavior }) => {
    ingress.primary.behave(busy);
    ingress.fallback.behave({ ...behavior, status, ...(headers && { headers }), ...(body && { body }) });

    expect(await ingress.post()).toMatchObject({ status, text: body, headers });
  });

  it.each<[string, Fault]>([
    ['502', plain(502)],
    ['503', plain(503)],
    ['full queue', queueFull],
    ['504', plain(504)],
    ['404', plain(404)],
    ['refused connection', refused],
    ['reset', { kind: 'reset', when: 'after body' }],
    ['broken header', { kind: 'garbled' }],
    ['silence', { kind: 'silent' }],
  ])("answers 503 UNAVAILABLE on the fallback's %s", async (_name, fault) => {
    const answered = await whileFaulty(ingress.primary, refused, () =>
      whileFaulty(ingress.fallback, fault, () => ingress.post({ headers: { 'x-request-id': 'mine' } })),
    );

    expectProblem(answered, 'UNAVAILABLE');
    expect(answered.headers).toMatchObject({ 'retry-after': '5', 'x-request-id': 'mine' });
  });

  it.each<[ProblemCode, string, Behavior, Behavior]>([
    ['STARTING', 'is full', busy, starting],
    ['INTERNAL', 'is full', busy, own('INTERNAL')],
    ['INTERNAL', 'is full', busy, plain(500)],
    ['STARTING', 'has failed', plain(500), starting],
    ['INTERNAL', 'has failed', plain(500), own('INTERNAL')],
  ])('answers %s when the fallback does and the primary %s', async (code, _what, primary, behavior) => {
    ingress.primary.behave(primary);
    ingress.fallback.behave(behavior);

    expectProblem(await ingress.post(), code);
  });
});

describe("an answer's headers", () => {
  it.each(['x-envoy-upstream-service-time', 'x-revision'])('lose %s, which is not for clients', async (name) => {
    ingress.primary.behave(answer(200, { 'content-type': 'application/json', [name]: '5' }, '{}'));

    expect((await ingress.post()).headers).not.toHaveProperty(name);
  });

  it('cannot redirect inside the ingress', async () => {
    ingress.primary.behave(
      answer(200, { 'content-type': 'application/json', 'x-accel-redirect': '@no_answer' }, 'whole'),
    );

    expect(await ingress.post()).toMatchObject({ status: 200, text: 'whole' });
  });
});

/** The rows of the README's table: milliseconds that each failure of the primary costs the client. */
async function addedLatency(): Promise<string> {
  const rows = [];
  for (const [name, fault] of [...outages, ...noOutages]) {
    const added = [];
    for (let i = 0; i < 15; i += 1) {
      ingress.primary.behave(answer(200));
      const calm = await ingress.post();
      const moved = await whileFaulty(ingress.primary, fault, () => ingress.post());
      added.push(moved.ms - calm.ms);
    }
    const median = added.toSorted((one, other) => one - other)[7];
    rows.push(`| ${name} | ${median?.toFixed(1)} |\n`);
  }
  return `\nadded by a failure of the primary, ms, median of 15 (silence here: 500 ms)\n${rows.join('')}`;
}
