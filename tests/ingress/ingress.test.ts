import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Problem, type ProblemCode, problems, toProblemJson } from '../../functions/core/problem.ts';
import { freePort } from '../../ingress/port.ts';
import { fillTemplate, localSettings, renderIngress, templatePath } from '../../ingress/render.ts';
import { type Answer, type Sent, send, sendRaw } from '../support/client.ts';
import { type RunningNginx, startNginx } from '../support/nginx.ts';
import { answer, type Behavior, startUpstream, type Upstream } from '../support/upstream.ts';

jest.setTimeout(30_000);

const template = readFileSync(templatePath, 'utf8');
const megabyte = 1024 * 1024;
const largestBody = 10 * megabyte + 64 * 1024;
const photo = randomBytes(20_000);
const problemJson = 'application/problem+json';

// The real time-outs, shortened: 8 s and 30 s of silence, 15 s of a client's silence, 5 s of an open breaker.
const hasty = {
  'proxy_read_timeout 8s': 'proxy_read_timeout 300ms',
  'proxy_read_timeout 30s': 'proxy_read_timeout 600ms',
  'client_body_timeout 15s': 'client_body_timeout 1s',
  'fail_timeout=5s': 'fail_timeout=1s',
};
const withoutBreaker = { ...hasty, 'max_fails=3': 'max_fails=0' };

/** A function's own problem, as it leaves the function. */
function own(code: ProblemCode, headers: Record<string, string> = {}): Behavior {
  const problem = toProblemJson(new Problem(code, 'The words of the function'), 'r-1');
  return answer(problems[code].status, { 'content-type': problemJson, ...headers }, JSON.stringify(problem));
}

const busy = own('BUSY', { 'x-reason': 'busy', 'retry-after': '7' });
const deadline = own('DEADLINE_EXCEEDED', { 'x-reason': 'deadline' });
const starting = own('STARTING', { 'x-reason': 'starting', 'retry-after': '2' });
const strictRefusal = own('PRIMARY_REQUIRED', { 'x-reason': 'strict', 'retry-after': '9' });
const queueFull = answer(
  503,
  { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  'pending request queue full\n',
);
const plain = (status: number): Behavior => answer(status, { 'content-type': 'text/plain' }, 'no healthy upstream');
const refused = 'refused';
type Fault = Behavior | typeof refused;

/** What a tier can do wrong; the first group is an outage, the second is none and never opens the breaker. */
const outages: [string, Fault][] = [
  ['500 INTERNAL', own('INTERNAL')],
  ['502', plain(502)],
  ['503 STARTING', starting],
  ['503 of a gateway', plain(503)],
  ['504 of a gateway', plain(504)],
  ['refused', refused],
  ['reset before the body', { kind: 'reset', when: 'before body' }],
  ['reset after the body', { kind: 'reset', when: 'after body' }],
  ['500 before the body was read', { kind: 'early', status: 500, after: 'closes' }],
  ['a broken header', { kind: 'garbled' }],
  ['silence', { kind: 'silent' }],
];
const noOutages: [string, Fault][] = [
  ['503 BUSY', busy],
  ['503 of a full queue', queueFull],
  ['504 DEADLINE_EXCEEDED', deadline],
  ['404 of a gateway', answer(404, { 'content-type': 'text/plain' }, '')],
];

const bodies: [string, Sent][] = [
  ['20 kB', { body: photo }],
  ['10 MB', { body: randomBytes(10 * megabyte) }],
  ['3 MB, chunked', { body: randomBytes(3 * megabyte), chunked: true }],
];

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

let primary: Upstream;
let fallback: Upstream;
let nginx: RunningNginx;

async function start(options: Parameters<typeof startNginx>[1] = { shorten: hasty }): Promise<RunningNginx> {
  nginx = await startNginx({ primaryPort: primary.port, fallbackPort: fallback.port }, options);
  return nginx;
}

async function stop(): Promise<void> {
  await nginx.stop();
}

/** The tier misbehaves while `work` runs. */
async function whileFaulty<T>(tier: Upstream, fault: Fault, work: () => Promise<T>): Promise<T> {
  if (fault !== refused) {
    tier.behave(fault);
    return work();
  }
  await tier.refuse();
  try {
    return await work();
  } finally {
    await tier.open();
  }
}

function expectProblem(answered: Pick<Answer, 'status' | 'headers' | 'text'>, code: ProblemCode): void {
  expect(answered.headers['content-type']).toMatch(/^application\/problem\+json(; charset=utf-8)?$/);
  const id = answered.headers['x-request-id'];
  expect(JSON.parse(answered.text)).toEqual({
    type: `urn:understudy:problem:${code}`,
    ...problems[code],
    detail: expect.stringMatching(/./),
    instance: id,
    code,
  });
  expect(answered.status).toBe(problems[code].status);
  expect(id).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
}

beforeAll(async () => {
  primary = await startUpstream('primary');
  fallback = await startUpstream('fallback');
});

beforeEach(() => {
  primary.behave(answer(200));
  fallback.behave(answer(200));
});

afterAll(async () => {
  await primary.close();
  await fallback.close();
});

describe('renderIngress', () => {
  const settings = localSettings({ runDir: '/run/understudy', port: 8080, primaryPort: 8081, fallbackPort: 8082 });

  it('leaves no variable open', () => {
    const text = renderIngress(template, settings);

    expect(text).not.toMatch(/\$\{/);
    expect(text).toContain('listen 127.0.0.1:8080;');
    expect(text).not.toMatch(/resolver |set_real_ip_from/);
  });

  it('names every variable without a value and every value without a place', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the template's own placeholders
    expect(() => fillTemplate('listen ${LISTEN}; pid ${PID};', { LISTEN: '80', RATE: '1' })).toThrow(
      'Expected a value for PID but received none\nExpected a place in the template for RATE but received none',
    );
  });

  it('takes gateways by name, a resolver and trusted proxies', () => {
    const text = renderIngress(template, {
      ...settings,
      resolver: '10.96.0.10',
      trustedProxies: ['10.0.0.0/8', '[fd00::]/8'],
      primary: { ...settings.primary, address: 'kourier-internal.kourier-system.svc.cluster.local:80 resolve' },
    });

    expect(text).toContain('resolver 10.96.0.10 valid=10s;');
    expect(text).toContain('set_real_ip_from 10.0.0.0/8; set_real_ip_from [fd00::]/8; real_ip_header X-Forwarded-For;');
    expect(text).toContain('server kourier-internal.kourier-system.svc.cluster.local:80 resolve max_fails=0 ');
  });

  it.each([
    ['a second directive', { listen: '80; include /etc/passwd' }],
    ['a second directive for waking', { wakeListen: '8081; include /etc/passwd' }],
    ['a variable of nginx', { accessLog: '/tmp/$remote_addr' }],
    ['nothing', { listen: '' }],
    ['half a connection', { limits: { ...settings.limits, connections: 0.5 } }],
    ['no connection', { primary: { ...settings.primary, maxConnections: 0 } }],
    ['no connection to the fallback', { fallback: { ...settings.fallback, maxConnections: 0 } }],
    ['a network that is none', { unlimited: ['127.0.0.0/8 0; default'] }],
  ])('refuses %s', (_what, change) => {
    expect(() => renderIngress(template, { ...settings, ...change })).toThrow(/^Expected /);
  });

  it('reports all faults at once', () => {
    const change = { listen: '', limits: { ...settings.limits, burst: 0 }, trustedProxies: ['a;b', '10.0.0.0/8', ' '] };

    expect(() => renderIngress(template, { ...settings, ...change })).toThrow(
      [
        'Expected letters, digits and _./:@[]+,- for listen but received ""',
        'Expected letters, digits and _./:@[]+,- for trustedProxies but received "a;b"',
        'Expected letters, digits and _./:@[]+,- for trustedProxies but received " "',
        'Expected a positive integer for limits.burst but received 0',
      ].join('\n'),
    );
  });
});

describe('problems in nginx.conf', () => {
  const written = [...template.matchAll(/return (\d+) '(\{"type".*\})';/g)];

  it.each(written.map(([, status, text]) => [JSON.parse(text as string), Number(status)]))(
    'are those of the functions: $code',
    (body, status) => {
      expect(body).toMatchObject({
        type: `urn:understudy:problem:${body.code}`,
        title: problems[body.code as ProblemCode].title,
        status: problems[body.code as ProblemCode].status,
        instance: '$id',
      });
      expect(status).toBe(body.status);
    },
  );

  it('are found at all', () => {
    expect(written).toHaveLength(14);
  });
});

describe('failover', () => {
  beforeAll(async () => {
    await start({ shorten: withoutBreaker });
  });
  afterAll(async () => {
    await reportAddedLatency();
    await stop();
  });

  it('stays with a primary that answers', async () => {
    for (let i = 0; i < 200; i += 1)
      expect((await send(nginx.origin, { body: photo })).text).toBe('{"tier":"primary"}');

    expect(fallback.received).toHaveLength(0);
  });

  describe.each([...outages, ...noOutages])('on %s of the primary', (_name, fault) => {
    it.each(bodies)('sends %s to the fallback, byte for byte', async (_size, sent) => {
      const body = sent.body as Buffer;
      const path = '/classify?top=3';
      const headers = { 'content-type': 'image/jpeg', 'x-deadline-ms': '4000' };

      const answered = await whileFaulty(primary, fault, () => send(nginx.origin, { ...sent, path, headers }));

      expect(answered.status).toBe(200);
      expect(answered.headers['x-tier']).toBe('fallback');
      expect(fallback.received).toHaveLength(1);
      expect(fallback.received[0]).toMatchObject({
        method: 'POST',
        url: path,
        bytes: body.length,
        sha256: sha256(body),
      });
      expect(fallback.received[0]?.headers).toMatchObject({
        ...headers,
        host: 'classify-fallback.local',
        'content-length': String(body.length),
      });
      if (fault !== refused) expect(primary.received[0]?.headers.host).toBe('classify-primary.local');
    });

    it('asks the primary once', async () => {
      await whileFaulty(primary, fault, () => send(nginx.origin, { body: photo }));

      expect(primary.received).toHaveLength(fault === refused ? 0 : 1);
    });
  });

  it.each([400, 401, 403, 408, 409, 413, 415, 422, 429, 431, 501])(
    'never moves a %i of the primary',
    async (status) => {
      const body = '{"code":"SOMETHING"}';
      primary.behave(answer(status, { 'content-type': problemJson, 'retry-after': '3', 'x-own': 'kept' }, body));

      const answered = await send(nginx.origin, { body: photo });

      expect(answered).toMatchObject({ status, text: body });
      expect(answered.headers).toMatchObject({ 'content-type': problemJson, 'retry-after': '3', 'x-own': 'kept' });
      expect(fallback.received).toHaveLength(0);
    },
  );

  it('never moves a 413 that the primary gives before it has read the body, if it then reads on', async () => {
    primary.behave({ kind: 'early', status: 413, after: 'reads on' });

    const answered = await send(nginx.origin, { body: Buffer.alloc(largestBody) });

    expect(answered.status).toBe(413);
    expect(fallback.received).toHaveLength(0);
  });

  it.each(bodies)('tries a stale kept connection again, at the primary, with %s', async (_size, sent) => {
    primary.behave({ kind: 'stale' });
    const answers = [];
    for (let i = 0; i < 5; i += 1) answers.push(await send(nginx.origin, sent));

    expect(answers.map(({ text }) => text)).toEqual(Array(5).fill('{"tier":"primary"}'));
    expect(primary.received.map((one) => one.sha256)).toEqual(Array(5).fill(sha256(sent.body as Buffer)));
    expect(fallback.received).toHaveLength(0);
  });

  it('cannot help once half an answer is out, and does not pass it off as whole', async () => {
    primary.behave({ kind: 'truncated' });

    await expect(send(nginx.origin, { body: photo })).rejects.toThrow('aborted');

    expect(fallback.received).toHaveLength(0);
  });

  it.each(['//classify', '/%63lassify', '/x/../classify'])('sends %s on as /classify', async (path) => {
    await send(nginx.origin, { path: `${path}?top=2&x=%20`, body: photo });

    expect(primary.received[0]?.url).toBe('/classify?top=2&x=%20');
  });
});

describe('when both tiers fail', () => {
  beforeAll(async () => {
    await start({ shorten: withoutBreaker });
  });
  afterAll(stop);

  it.each<[string, Behavior]>([
    ['503 BUSY', busy],
    ['503 PRIMARY_REQUIRED', strictRefusal],
    ['504 DEADLINE_EXCEEDED', deadline],
  ])("passes the fallback's own %s through", async (_name, behavior) => {
    const expected = behavior as ReturnType<typeof answer>;
    primary.behave(busy);
    fallback.behave(behavior);

    const answered = await send(nginx.origin, { body: photo });

    expect(answered).toMatchObject({ status: expected.status, text: expected.body });
    expect(answered.headers).toMatchObject({ ...expected.headers });
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
    const answered = await whileFaulty(primary, refused, () =>
      whileFaulty(fallback, fault, () => send(nginx.origin, { body: photo, headers: { 'x-request-id': 'mine' } })),
    );

    expectProblem(answered, 'UNAVAILABLE');
    expect(answered.headers).toMatchObject({ 'retry-after': '5', 'x-request-id': 'mine' });
  });

  it("keeps a gateway's own headers to itself", async () => {
    primary.behave(answer(200, { 'content-type': 'application/json', 'x-envoy-upstream-service-time': '5' }, '{}'));

    expect((await send(nginx.origin, { body: photo })).headers).not.toHaveProperty('x-envoy-upstream-service-time');
  });

  it.each<[ProblemCode, Behavior]>([
    ['STARTING', starting],
    ['INTERNAL', own('INTERNAL')],
    ['INTERNAL', plain(500)],
  ])('says %s when the fallback does and the primary has been asked', async (code, behavior) => {
    primary.behave(busy);
    fallback.behave(behavior);

    expectProblem(await send(nginx.origin, { body: photo }), code);
  });

  it('does not let a function redirect inside the ingress', async () => {
    primary.behave(answer(200, { 'content-type': 'application/json', 'x-accel-redirect': '@nobody' }, 'whole'));

    const answered = await send(nginx.origin, { body: photo });

    expect(answered).toMatchObject({ status: 200, text: 'whole' });
  });
});

describe('strict requests', () => {
  beforeAll(async () => {
    await start({ shorten: hasty });
  });
  afterAll(stop);

  const ask = (prefer: string): Promise<Answer> => send(nginx.origin, { body: photo, headers: { prefer } });

  it.each([
    'handling=strict',
    'Handling=STRICT',
    'handling = strict',
    'handling="strict"',
    'respond-async, handling=strict',
    'handling=strict, handling=lenient',
    'x="a, b", handling=strict',
    'x="a\\", b", handling=strict',
    'a=1,, b, handling=strict',
    'respond-async,handling=strict;why=exact, wait=10',
  ])('go to the primary alone: Prefer: %s', async (prefer) => {
    primary.behave(plain(503));

    expectProblem(await ask(prefer), 'PRIMARY_REQUIRED');
    expect(primary.received[0]?.headers.prefer).toBe(prefer);
    expect(fallback.received).toHaveLength(0);
  });

  it.each([
    'handling=lenient',
    'handling=lenient, handling=strict',
    'handling=stricter',
    'handling',
    'respond-async',
    'mishandling=strict',
    'x="a, handling=strict"',
    'x="a\\", handling=strict"',
    'x="a, handling=strict',
    'a; handling=strict',
    '',
  ])('are not those with Prefer: %s', async (prefer) => {
    primary.behave(busy);

    expect((await ask(prefer)).headers['x-tier']).toBe('fallback');
  });

  it.each<[string, Behavior]>([
    ['503 PRIMARY_REQUIRED', strictRefusal],
    ['503 BUSY', busy],
    ['504 DEADLINE_EXCEEDED', deadline],
    ['500 INTERNAL', own('INTERNAL')],
    ['422 UPLOAD_MALFORMED', own('UPLOAD_MALFORMED')],
    ['200', answer(200, { 'content-type': 'application/json', 'preference-applied': 'handling=strict' }, '{}')],
  ])("get the primary's own %s untouched", async (_name, behavior) => {
    const expected = behavior as ReturnType<typeof answer>;
    primary.behave(behavior);

    const answered = await ask('handling=strict');

    expect(answered).toMatchObject({ status: expected.status, text: expected.body });
    expect(answered.headers).toMatchObject({ ...expected.headers });
    expect(fallback.received).toHaveLength(0);
  });

  it.each([...outages, ...noOutages].filter(([, fault]) => fault === refused || !isOwn(fault)))(
    'get 503 PRIMARY_REQUIRED on %s',
    async (_name, fault) => {
      const answered = await whileFaulty(primary, fault, () => ask('handling=strict'));

      expectProblem(answered, 'PRIMARY_REQUIRED');
      expect(answered.headers['retry-after']).toBe('5');
      expect(fallback.received).toHaveLength(0);
    },
  );

  it('never open the breaker of the others', async () => {
    for (let i = 0; i < 10; i += 1) await whileFaulty(primary, refused, () => ask('handling=strict'));
    primary.behave(answer(200));

    expect((await send(nginx.origin, { body: photo })).headers['x-tier']).toBe('primary');
  });

  it('reach a primary that the breaker skips for the others', async () => {
    primary.behave(own('INTERNAL'));
    for (let i = 0; i < 4; i += 1) await send(nginx.origin, { body: photo });
    primary.behave(answer(200));

    expect((await ask('handling=strict')).headers['x-tier']).toBe('primary');
    expect((await send(nginx.origin, { body: photo })).headers['x-tier']).toBe('fallback');
  });
});

describe('the breaker', () => {
  beforeEach(async () => {
    await start({ shorten: hasty });
  });
  afterEach(stop);

  async function tiersOf(count: number): Promise<unknown[]> {
    const tiers = [];
    for (let i = 0; i < count; i += 1) tiers.push((await send(nginx.origin, { body: photo })).headers['x-tier']);
    return tiers;
  }

  it.each(outages)('opens after 3 times %s', async (_name, fault) => {
    await whileFaulty(primary, fault, () => tiersOf(3));
    primary.behave(answer(200));

    expect(await tiersOf(2)).toEqual(['fallback', 'fallback']);
    expect(primary.received).toHaveLength(0);
  });

  it.each(noOutages)('stays closed on 20 times %s', async (_name, fault) => {
    expect(await whileFaulty(primary, fault, () => tiersOf(20))).toEqual(Array(20).fill('fallback'));

    expect(primary.received).toHaveLength(20);
  });

  it("stays closed on the clients' mistakes", async () => {
    primary.behave(own('UPLOAD_MALFORMED'));
    await tiersOf(20);

    expect(primary.received).toHaveLength(20);
    expect(fallback.received).toHaveLength(0);
  });

  it('lets one request try the primary again, and closes when that succeeds', async () => {
    primary.behave(own('INTERNAL'));
    await tiersOf(6);
    expect(primary.received).toHaveLength(3);

    await sleep(2_100); // nginx counts whole seconds
    await tiersOf(3);
    expect(primary.received).toHaveLength(4);

    await sleep(2_100);
    primary.behave(answer(200));
    expect(await tiersOf(3)).toEqual(['primary', 'primary', 'primary']);
  });

  it('never gives up on the fallback', async () => {
    primary.behave(own('INTERNAL'));
    fallback.behave(own('INTERNAL'));
    await tiersOf(6);
    fallback.behave(answer(200));

    expect(await tiersOf(1)).toEqual(['fallback']);
  });

  it.each(outages)(
    'is passed by, with the whole upload, when behind it the fallback meets: %s',
    async (_name, fault) => {
      primary.behave(own('INTERNAL'));
      await tiersOf(3);
      primary.behave(answer(200));

      expect(await whileFaulty(fallback, fault, () => tiersOf(2))).toEqual(['primary', 'primary']);
      expect(primary.received.map(({ bytes }) => bytes)).toEqual([photo.length, photo.length]);
    },
  );

  it('is passed by once: 503 UNAVAILABLE when both tiers are gone', async () => {
    primary.behave(plain(500));
    fallback.behave(plain(500));
    await tiersOf(3);
    primary.behave(plain(500));
    fallback.behave(plain(500));

    expectProblem(await send(nginx.origin, { body: photo }), 'UNAVAILABLE');
    expect([primary.received.length, fallback.received.length]).toEqual([1, 1]);
  });

  it('spills to the fallback what the primary has no connection left for', async () => {
    await stop();
    const settings = localSettings({ runDir: '/', port: 1, primaryPort: primary.port, fallbackPort: fallback.port });
    await start({ shorten: hasty, settings: { primary: { ...settings.primary, maxConnections: 2 } } });
    primary.behave({ ...answer(200), delayMs: 200 });

    const burst = await Promise.all(Array.from({ length: 8 }, () => send(nginx.origin, { body: photo })));

    expect(burst.map(({ headers }) => headers['x-tier']).sort()).toEqual([
      ...Array(6).fill('fallback'),
      ...Array(2).fill('primary'),
    ]);
    expect(await tiersOf(1)).toEqual(['primary']);
  });
});

describe('full tiers', () => {
  /** As few connections as a test can count. */
  const startSmall = (primaryConnections: number, fallbackConnections: number) => {
    const settings = localSettings({ runDir: '/', port: 1, primaryPort: primary.port, fallbackPort: fallback.port });
    return start({
      shorten: { 'fail_timeout=5s': 'fail_timeout=1s' },
      settings: {
        primary: { ...settings.primary, maxConnections: primaryConnections },
        fallback: { ...settings.fallback, maxConnections: fallbackConnections },
      },
    });
  };
  afterEach(stop);

  const burst = (count: number, headers: Record<string, string> = {}): Promise<Answer[]> =>
    Promise.all(Array.from({ length: count }, () => send(nginx.origin, { body: photo, headers })));
  const statusesOf = (answers: Answer[]) => answers.map(({ status }) => status).sort();

  it('refuse with BUSY what exceeds both, at once, and spread when to come back', async () => {
    await startSmall(3, 2);
    primary.behave({ ...answer(200), delayMs: 300 });
    fallback.behave({ ...answer(200), delayMs: 300 });

    const answers = await burst(45);

    expect(statusesOf(answers)).toEqual([...Array(5).fill(200), ...Array(40).fill(503)]);
    const refusals = answers.filter(({ status }) => status === 503);
    for (const refusal of refusals) expectProblem(refusal, 'BUSY');
    expect(new Set(refusals.map(({ headers }) => headers['retry-after']))).toEqual(new Set(['1', '2', '3']));
    expect([primary.received.length, fallback.received.length]).toEqual([3, 2]);
    expect(statusesOf(await burst(5))).toEqual(Array(5).fill(200));
  });

  it.each<[string, Behavior]>([
    ['a primary that is broken', plain(500)],
    ['a primary that is full itself', busy],
  ])('refuse with BUSY behind %s', async (_what, fault) => {
    await startSmall(60, 2);
    primary.behave(fault);
    fallback.behave({ ...answer(200), delayMs: 300 });

    const answers = await burst(12);

    expect(statusesOf(answers)).toEqual([200, 200, ...Array(10).fill(503)]);
    for (const refusal of answers.filter(({ status }) => status === 503)) expectProblem(refusal, 'BUSY');
  });

  it.each<[string, Behavior]>([
    ['503 BUSY', busy],
    ['504 DEADLINE_EXCEEDED', deadline],
  ])("pass the fallback's own %s through, and leave a full primary alone", async (_name, behavior) => {
    await startSmall(1, 20);
    primary.behave({ ...answer(200), delayMs: 400 });
    fallback.behave(behavior);
    const first = send(nginx.origin, { body: photo });
    await sleep(100);

    const answers = await burst(5);

    const expected = behavior as ReturnType<typeof answer>;
    for (const answered of answers) expect(answered).toMatchObject({ status: expected.status, text: expected.body });
    expect((await first).status).toBe(200);
    expect([primary.received.length, fallback.received.length]).toEqual([1, 5]);
  });

  it('let no more into the primary from ordinary and strict requests together than it takes', async () => {
    await startSmall(4, 1);
    primary.behave({ ...answer(200), delayMs: 300 });
    fallback.behave({ ...answer(200), delayMs: 300 });

    const [ordinary, strict] = await Promise.all([burst(4), burst(4, { prefer: 'handling=strict' })]);

    expect(primary.received).toHaveLength(4);
    for (const refusal of strict.filter(({ status }) => status !== 200)) expectProblem(refusal, 'PRIMARY_REQUIRED');
    for (const refusal of ordinary.filter(({ status }) => status !== 200)) expectProblem(refusal, 'BUSY');
  });

  it('refuse strict requests that exceed the primary with PRIMARY_REQUIRED', async () => {
    await startSmall(2, 20);
    primary.behave({ ...answer(200), delayMs: 300 });

    const answers = await burst(6, { prefer: 'handling=strict' });

    expect(statusesOf(answers)).toEqual([200, 200, 503, 503, 503, 503]);
    for (const refusal of answers.filter(({ status }) => status === 503)) expectProblem(refusal, 'PRIMARY_REQUIRED');
    expect(fallback.received).toHaveLength(0);
  });

  it('say BUSY of a primary that is full while the fallback is gone', async () => {
    await startSmall(2, 20);
    primary.behave({ ...answer(200), delayMs: 400 });

    const answers = await whileFaulty(fallback, refused, () => burst(8));

    expect(statusesOf(answers)).toEqual([200, 200, ...Array(6).fill(503)]);
    for (const refusal of answers.filter(({ status }) => status === 503)) expectProblem(refusal, 'BUSY');
  });

  it('say BUSY of a primary that is full by its own word while the fallback is gone', async () => {
    await startSmall(20, 20);
    primary.behave(busy);

    expectProblem(await whileFaulty(fallback, refused, () => send(nginx.origin, { body: photo })), 'BUSY');
  });

  it('say BUSY once when the primary is full past its breaker and the fallback is gone', async () => {
    await startSmall(1, 20);
    primary.behave(own('INTERNAL'));
    await burst(1);
    await burst(1);
    await burst(1);
    primary.behave({ ...answer(200), delayMs: 400 });

    const answers = await whileFaulty(fallback, refused, () => burst(5));

    expect(statusesOf(answers)).toEqual([200, 503, 503, 503, 503]);
    for (const refusal of answers.filter(({ status }) => status === 503)) expectProblem(refusal, 'BUSY');
  });
});

describe('a client with a deadline, before a primary that says nothing', () => {
  beforeEach(async () => {
    await start({ shorten: { 'fail_timeout=5s': 'fail_timeout=1s' } });
  });
  afterEach(stop);

  const ask = (deadlineMs: number, body = photo): Promise<Answer> =>
    send(nginx.origin, { body, headers: { 'x-deadline-ms': String(deadlineMs), 'x-request-id': `in-${deadlineMs}` } });

  it.each([
    [500, 400],
    [750, 600],
    [1000, 800],
    [1800, 1500],
    [3000, 2500],
  ])('of %i ms is moved to the fallback after %i', async (deadlineMs, movedMs) => {
    primary.behave({ kind: 'silent' });

    const answered = await ask(deadlineMs);

    expect(answered).toMatchObject({ status: 200, headers: { 'x-tier': 'fallback' } });
    const line = await nginx.accessLine(`in-${deadlineMs}`);
    expect(line).toMatchObject({ answers: deadlineMs < 1800 ? '404, 200' : '502, 200' });
    const [spent] = String(line.times).split(',').map(Number);
    expect(spent).toBeGreaterThanOrEqual(movedMs / 1000 - 0.002);
    expect(spent).toBeLessThan(deadlineMs / 1000);
  });

  it.each([
    [1799, 'leaves the breaker alone', 'primary'],
    [1800, 'opens the breaker', 'fallback'],
  ])('of %i ms %s by silence', async (deadlineMs, _what, tier) => {
    primary.behave({ kind: 'silent' });
    await Promise.all(Array.from({ length: 3 }, () => ask(deadlineMs)));
    primary.behave(answer(200));

    expect((await send(nginx.origin, { body: photo })).headers['x-tier']).toBe(tier);
  });

  it('keeps the breaker open when its own turn comes to try the primary again', async () => {
    primary.behave(own('INTERNAL'));
    await Promise.all(Array.from({ length: 3 }, () => ask(2000)));
    primary.behave({ kind: 'silent' });
    expect((await ask(2000)).ms).toBeLessThan(300);

    await sleep(2_100); // nginx counts whole seconds
    expect((await ask(2000)).ms).toBeGreaterThan(1390);
    primary.behave(answer(200));
    expect((await send(nginx.origin, { body: photo })).headers['x-tier']).toBe('fallback');
  });

  it('leaves the breaker alone when the primary itself says that its part is used up', async () => {
    primary.behave({ ...(deadline as ReturnType<typeof answer>), delayMs: 300 });
    await Promise.all(Array.from({ length: 5 }, () => ask(600)));
    primary.behave(answer(200));

    expect((await send(nginx.origin, { body: photo })).headers['x-tier']).toBe('primary');
  });

  it('is moved in time with the largest upload, too, of which the primary reads nothing', async () => {
    primary.behave({ kind: 'unread' });

    const { status, headers, ms } = await ask(1000, randomBytes(10 * megabyte));

    expect([status, headers['x-tier']]).toEqual([200, 'fallback']);
    expect(ms).toBeLessThan(2000); // 8 s without a limit of its own
  });
});

describe("the ingress' own answers", () => {
  beforeAll(async () => {
    await start({ shorten: hasty });
  });
  afterAll(stop);

  const small = Buffer.from('x');

  it('tells that it is healthy', async () => {
    const response = await fetch(`${nginx.origin}/healthz`);

    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
    expect(await response.json()).toEqual({ status: 'ok' });
  });

  it.each<[ProblemCode, string, Sent, Record<string, string>]>([
    ['ROUTE_NOT_FOUND', 'an unknown path', { path: '/', method: 'GET' }, {}],
    ['ROUTE_NOT_FOUND', "a function's other routes", { path: '/metrics', method: 'GET' }, {}],
    ['ROUTE_NOT_FOUND', 'more than the path', { path: '/classify/', body: small }, {}],
    ['ROUTE_NOT_FOUND', "nginx' own places", { path: '/problem/malformed', body: small }, {}],
    ['METHOD_NOT_ALLOWED', 'GET /classify', { method: 'GET' }, { allow: 'POST' }],
    ['METHOD_NOT_ALLOWED', 'PUT /classify', { method: 'PUT', body: small }, { allow: 'POST' }],
    ['METHOD_NOT_ALLOWED', 'OPTIONS /classify', { method: 'OPTIONS' }, { allow: 'POST' }],
    ['METHOD_NOT_ALLOWED', 'TRACE /classify', { method: 'TRACE' }, { allow: 'POST' }],
    ['METHOD_NOT_ALLOWED', 'POST /healthz', { path: '/healthz', body: small }, { allow: 'GET, HEAD' }],
    ['UPLOAD_UNSUPPORTED', 'Content-Encoding', { body: small, headers: { 'content-encoding': 'gzip' } }, {}],
    ['UPLOAD_TOO_LARGE', 'more than 10 MB and 64 kB', { body: Buffer.alloc(largestBody + 1) }, {}],
    [
      'UPLOAD_TOO_LARGE',
      'more than 10 MB and 64 kB in chunks',
      { body: Buffer.alloc(largestBody + 1), chunked: true },
      {},
    ],
    ['PARAMETER_INVALID', 'a long query', { path: `/classify?top=${'1'.repeat(9_300)}` }, {}],
    ['PARAMETER_INVALID', 'a long header', { headers: { 'x-long': 'x'.repeat(9_300) } }, {}],
  ])('is %s for %s', async (code, _what, sent, headers) => {
    const answered = await send(nginx.origin, { ...sent, headers: { ...sent.headers, 'x-request-id': 'r.1' } });

    expectProblem(answered, code);
    expect(answered.headers).toMatchObject(headers);
    expect(primary.received).toHaveLength(0);
    expect(fallback.received).toHaveLength(0);
  });

  it('lets 10 MB and 64 kB pass', async () => {
    const body = randomBytes(largestBody);
    await send(nginx.origin, { body });

    expect(primary.received[0]).toMatchObject({ bytes: body.length, sha256: sha256(body) });
  });

  it.each<[ProblemCode, string, string]>([
    ['UPLOAD_MALFORMED', 'no HTTP', 'hello\r\n\r\n'],
    ['UPLOAD_MALFORMED', 'no Host', 'POST /classify HTTP/1.1\r\nContent-Length: 0\r\n\r\n'],
    ['UPLOAD_MALFORMED', 'HTTP/3 in words', 'POST /classify HTTP/3.0\r\nHost: a\r\n\r\n'],
    [
      'UPLOAD_MALFORMED',
      'two lengths',
      'POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
    ],
    [
      'UPLOAD_MALFORMED',
      'a length and chunks',
      'POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'UPLOAD_MALFORMED',
      'a broken chunk',
      'POST /classify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n',
    ],
    ['UPLOAD_UNSUPPORTED', 'another encoding', 'POST /classify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n'],
    ['PARAMETER_INVALID', 'an endless line', `GET /${'a'.repeat(40_000)}`],
  ])('is %s for %s', async (code, _what, bytes) => {
    const text = await sendRaw(nginx.port, bytes);

    const [head = '', body = ''] = text.split('\r\n\r\n');
    const [line = '', ...lines] = head.split('\r\n');
    const headers = Object.fromEntries(lines.map((one) => one.toLowerCase().split(': ')));
    expectProblem({ status: Number(line.split(' ')[1]), headers, text: body }, code);
    expect(primary.received).toHaveLength(0);
  });

  it.each([
    ['below 200 kB', 199_999, 1_024],
    ['from 200 kB on', 200_000, 64],
    ['below 4 MB', 3_999_999, 64],
    ['from 4 MB on', 4_000_000, 24],
    ['of a length that is not known', undefined, 24],
  ])('is BUSY for more uploads %s than all clients together may have', async (_size, length, allowed) => {
    const framing = length === undefined ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
    const head = `POST /classify HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`;
    const begun = Array.from({ length: allowed }, () => connect(nginx.port, '127.0.0.1'));
    try {
      for (const socket of begun) socket.on('error', () => undefined).write(head);
      await sleep(300);

      const text = await sendRaw(nginx.port, head, 300);

      expect(text).toMatch(/^HTTP\/1.1 503 [\s\S]*"code":"BUSY"/);
      expect(text).toMatch(/\r\nRetry-After: [123]\r\n/);
      begun.pop()?.destroy();
      await sleep(100);
      expect(await sendRaw(nginx.port, head, 300)).toBe('');
    } finally {
      for (const socket of begun) socket.destroy();
      await sleep(100);
    }
  });

  it('hangs up on a client that stops sending, tells no tier, and writes 408 into the log', async () => {
    const text = await sendRaw(
      nginx.port,
      'POST /classify HTTP/1.1\r\nHost: a\r\nX-Request-Id: slow\r\nContent-Length: 10\r\n\r\nabc',
    );

    expect(text).toBe('');
    expect(primary.received).toHaveLength(0);
    expect(await nginx.accessLine('slow')).toMatchObject({ status: 408 });
  });

  it.each([
    ['rate', { requestsPerSecond: 1, burst: 3, connections: 100 }, 4],
    ['connections', { requestsPerSecond: 1_000, burst: 1_000, connections: 3 }, 3],
  ])('is RATE_LIMITED for more %s than one client may have', async (_what, limits, allowed) => {
    const limited = await startNginx(
      { primaryPort: primary.port, fallbackPort: fallback.port },
      { settings: { limits, unlimited: [] } },
    );
    try {
      primary.behave({ ...answer(200), delayMs: 300 });

      const answers = await Promise.all(Array.from({ length: 10 }, () => send(limited.origin, { body: photo })));

      const refusals = answers.filter(({ status }) => status !== 200);
      expect(refusals).toHaveLength(10 - allowed);
      for (const refusal of refusals) {
        expectProblem(refusal, 'RATE_LIMITED');
        expect(refusal.headers['retry-after']).toBe('1');
      }
      expect(primary.received).toHaveLength(allowed);
      expect(fallback.received).toHaveLength(0);
    } finally {
      await limited.stop();
    }
  });
});

describe('what the tiers are told', () => {
  beforeAll(async () => {
    await start({ shorten: hasty });
  });
  afterAll(stop);

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
  ])('the request id %j of the client: %s', async (given, taken) => {
    const answered = await send(nginx.origin, { body: photo, headers: { 'x-request-id': given } });

    const id = answered.headers['x-request-id'];
    if (taken) expect(id).toBe(given);
    else expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(primary.received[0]?.headers['x-request-id']).toBe(id);
  });

  it('when the upload was here, whatever the client claims, and the same to both tiers', async () => {
    primary.behave(own('INTERNAL'));
    const before = Date.now();

    await send(nginx.origin, { body: photo, pauseMs: 400, headers: { 'x-request-start': 't=1' } });

    const stamp = primary.received[0]?.headers['x-request-start'] as string;
    expect(stamp).toMatch(/^t=\d{10}\.\d{3}$/);
    const arrived = Number(stamp.slice(2)) * 1000;
    expect(arrived).toBeGreaterThanOrEqual(before + 390);
    expect(arrived).toBeLessThanOrEqual(Date.now());
    expect(fallback.received[0]?.headers['x-request-start']).toBe(stamp);
  });

  it.each([
    [undefined, undefined, '29000'],
    ['0', '0', '0'],
    ['499', '499', '499'],
    ['500', '250', '500'],
    ['749', '250', '749'],
    ['750', '400', '750'],
    ['999', '400', '999'],
    ['1000', '600', '1000'],
    ['1799', '600', '1799'],
    ['1800', '1300', '1800'],
    ['2999', '1300', '2999'],
    ['3000', '2300', '3000'],
    ['9999', '2300', '9999'],
    ['10000', '7500', '10000'],
    ['30000', '7500', '30000'],
    ['30001', '30001', '30001'],
    ['1e3', '1e3', '1e3'],
    ['../1000 x', '../1000 x', '../1000 x'],
  ])('of a deadline of %s: the primary may spend %s, the fallback what is left of %s', async (named, share, whole) => {
    primary.behave(deadline); // moves on without a word to the breaker
    const headers: Record<string, string> = named === undefined ? {} : { 'x-deadline-ms': named };

    await send(nginx.origin, { path: '/classify?top=3', body: photo, headers });

    expect(primary.received).toMatchObject([{ url: '/classify?top=3' }]);
    expect(primary.received[0]?.headers['x-deadline-ms']).toBe(share);
    expect(fallback.received).toMatchObject([{ url: '/classify?top=3', headers: { 'x-deadline-ms': whole } }]);
  });

  it('the whole deadline, where no other tier stands by', async () => {
    await send(nginx.origin, { body: photo, headers: { prefer: 'handling=strict', 'x-deadline-ms': '1000' } });

    expect(primary.received).toMatchObject([{ url: '/classify', headers: { 'x-deadline-ms': '1000' } }]);
  });

  it('when the request began, where the client names a deadline: a slow line is part of it', async () => {
    const before = Date.now();

    await send(nginx.origin, { body: photo, pauseMs: 400, headers: { 'x-deadline-ms': '4000' } });

    const began = Number(String(primary.received[0]?.headers['x-request-start']).slice(2)) * 1000;
    expect(began).toBeGreaterThanOrEqual(before - 2);
    expect(began).toBeLessThan(before + 350);
  });

  it('a bearer token of 8 kB', async () => {
    const authorization = `Bearer ${'x'.repeat(8_192)}`;

    expect((await send(nginx.origin, { body: photo, headers: { authorization } })).status).toBe(200);
    expect(primary.received[0]?.headers.authorization).toBe(authorization);
  });

  it('who the client is, whatever it claims', async () => {
    const headers = { 'x-forwarded-for': '10.1.2.3', forwarded: 'for=10.1.2.3' };
    await send(nginx.origin, { body: photo, headers });

    expect(primary.received[0]?.headers['x-forwarded-for']).toBe('127.0.0.1');
    expect(primary.received[0]?.headers.forwarded).toBeUndefined();
  });

  it('who the client is, by the word of a trusted proxy', async () => {
    await stop();
    await start({ shorten: hasty, settings: { trustedProxies: ['127.0.0.0/8'] } });

    await send(nginx.origin, { body: photo, headers: { 'x-forwarded-for': '6.6.6.6, 10.1.2.3' } });

    expect(primary.received[0]?.headers['x-forwarded-for']).toBe('10.1.2.3');
  });
});

describe('the limits per client', () => {
  const limits = { requestsPerSecond: 1, burst: 1, connections: 100 };
  const ask = (client: string): Promise<Answer> =>
    send(nginx.origin, { body: photo, headers: { 'x-forwarded-for': client } });

  beforeEach(async () => {
    await start({
      shorten: hasty,
      settings: { limits, unlimited: ['10.0.0.0/8', 'fd00::/8'], trustedProxies: ['127.0.0.0/8'] },
    });
  });
  afterEach(stop);

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
    await ask(one);
    await ask(one);

    expect((await ask(other)).status).toBe(isSame ? 429 : 200);
  });
});

describe('waking the fallback', () => {
  let wakePort: number;
  let wakeOrigin: string;

  beforeAll(async () => {
    wakePort = await freePort();
    wakeOrigin = `http://127.0.0.1:${wakePort}`;
    await start({ shorten: hasty, settings: { wakeListen: `127.0.0.1:${wakePort}` } });
  });
  afterAll(stop);

  const wake = (sent: Sent = {}): Promise<Answer> => send(wakeOrigin, { method: 'GET', path: '/readyz', ...sent });

  it.each(['GET', 'HEAD'])("hands %s /readyz to the fallback's host, and its answer back", async (method) => {
    fallback.behave(
      answer(503, { 'content-type': 'application/json', 'x-reason': 'starting' }, '{"status":"starting"}'),
    );

    const answered = await wake({ method, headers: { host: 'ingress', 'x-request-id': `wake-${method}` } });

    expect(answered).toMatchObject({ status: 503, text: method === 'GET' ? '{"status":"starting"}' : '' });
    expect(fallback.received).toMatchObject([
      { method, url: '/readyz', headers: { host: 'classify-fallback.local', 'x-request-id': `wake-${method}` } },
    ]);
    expect(primary.received).toHaveLength(0);
    expect(await nginx.accessLine(`wake-${method}`)).toMatchObject({ status: 503, answers: '503' });
  });

  it("hands GET /primary/readyz to the primary's host, and its answer back", async () => {
    primary.behave(answer(200, { 'content-type': 'application/json' }, '{"status":"ready"}'));

    const answered = await wake({ path: '/primary/readyz', headers: { 'x-request-id': 'peer' } });

    expect(answered).toMatchObject({ status: 200, text: '{"status":"ready"}' });
    expect(primary.received).toMatchObject([
      { method: 'GET', url: '/readyz', headers: { host: 'classify-primary.local', 'x-request-id': 'peer' } },
    ]);
    expect(fallback.received).toHaveLength(0);
  });

  it('hands it on to a primary that has as many requests as it may have, too', async () => {
    const settings = localSettings({ runDir: '/run', port: 1, primaryPort: primary.port, fallbackPort: fallback.port });
    await stop();
    await start({
      shorten: hasty,
      settings: { wakeListen: `127.0.0.1:${wakePort}`, primary: { ...settings.primary, maxConnections: 1 } },
    });
    primary.behave({ ...answer(200), delayMs: 400 });
    const asked = [1, 2].map(() => send(nginx.origin, { body: photo }));
    while (fallback.received.length === 0) await sleep(10); // the second has found the primary full

    expect((await wake({ path: '/primary/readyz' })).status).toBe(200);
    await Promise.all(asked);
  });

  it('waits for a fallback that starts', async () => {
    fallback.behave({ ...answer(200), delayMs: 400 });

    expect((await wake()).status).toBe(200);
  });

  it('asks a silent fallback once, and gives up', async () => {
    fallback.behave({ kind: 'silent' });

    expect((await wake()).status).toBe(504);
    expect(fallback.received).toHaveLength(1);
  });

  it('tries a stale kept connection again', async () => {
    fallback.behave({ kind: 'stale' });
    const answers = [];
    for (let i = 0; i < 5; i += 1) answers.push((await wake()).status);

    expect(answers).toEqual(Array(5).fill(200));
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
  ])('answers %i to %s, and asks nobody', async (status, _what, sent) => {
    expect((await wake(sent)).status).toBe(status);
    expect(fallback.received).toHaveLength(0);
    expect(primary.received).toHaveLength(0);
  });
});

describe('the access log', () => {
  beforeAll(async () => {
    await start({ shorten: hasty });
  });
  afterAll(stop);

  it('has one line for a request, with every tier that was asked', async () => {
    primary.behave(own('INTERNAL'));
    fallback.behave(
      answer(
        200,
        { 'content-type': 'application/json', 'x-model': 'mobilenet', 'x-tier': 'fallback', 'x-degraded': 'failover' },
        '{}',
      ),
    );

    await fetch(`${nginx.origin}/healthz`);
    await send(nginx.origin, { path: '/classify?top=1', body: photo, headers: { 'x-request-id': 'line-1' } });

    expect(await nginx.accessLine('line-1')).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      requestId: 'line-1',
      client: '127.0.0.1',
      method: 'POST',
      uri: '/classify?top=1',
      status: 200,
      type: 'application/json',
      bytesIn: expect.any(Number),
      bytesOut: expect.any(Number),
      seconds: expect.any(Number),
      tiers: expect.stringMatching(/^unix:\S+\/primary\.sock, unix:\S+\/fallback\.sock$/),
      answers: '502, 200',
      times: expect.stringMatching(/^\d+\.\d{3}, \d+\.\d{3}$/),
      model: 'mobilenet',
      tier: 'fallback',
      degraded: 'failover',
    });
  });
});

function isOwn(fault: Behavior): boolean {
  return fault.kind === 'answer' && fault.headers?.['content-type'] === problemJson;
}

/** Prints what each kind of failure costs the client, as rows for the README: no test judges speed. */
async function reportAddedLatency(): Promise<void> {
  const rows = [];
  for (const [name, fault] of [...outages, ...noOutages]) {
    const added = [];
    for (let i = 0; i < 15; i += 1) {
      primary.behave(answer(200));
      const calm = await send(nginx.origin, { body: photo });
      const moved = await whileFaulty(primary, fault, () => send(nginx.origin, { body: photo }));
      added.push(moved.ms - calm.ms);
    }
    rows.push(`| ${name} | ${median(added).toFixed(1)} |`);
  }
  process.stderr.write(
    `\nadded by a failure of the primary, ms, median of 15 (silence here: 300 ms)\n${rows.join('\n')}\n`,
  );
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] as number;
}
