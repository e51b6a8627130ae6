import { createHmac } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Service } from '../../functions/core/chain/service.ts';
import { loadConfig } from '../../functions/core/config.ts';
import { call, isPublic, readCallbackUrl } from '../../functions/core/jobs/callback.ts';
import { createCallbacks } from '../../functions/core/jobs/callbacks.ts';
import type { Job } from '../../functions/core/jobs/job.ts';
import { createJobs } from '../../functions/core/jobs/jobs.ts';
import type { Records } from '../../functions/core/jobs/records.ts';
import type { JobsConfig } from '../../functions/core/jobs/settings.ts';
import { createMetrics } from '../../functions/core/observe/metrics.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { keysOf, makeStoreFolder, openStore } from '../support/jobs.ts';
import { listen } from '../support/listen.ts';

const secret = 's'.repeat(32);
const ended = { id: 'a'.repeat(26), task: 'classify', state: 'failed', createdAt: 0, endedAt: 1000, requestId: 'r' };
const job = { ...ended, problem: { code: 'IMAGE_UNSUPPORTED' } } as unknown as Job;

describe('the hosts that may be called', () => {
  it.each([
    ['https://a.example/x?y', 'https://a.example/x?y'],
    ['https://A.example:443', 'https://a.example/'],
    ['https://b.example:8443/', 'https://b.example:8443/'],
    [undefined, undefined],
  ])('allow %s', (text, url) => expect(readCallbackUrl(text, ['a.example', 'b.example:8443'])).toBe(url));

  it.each([
    'http://a.example/',
    'https://b.example/',
    'https://a.example:444/',
    'https://a.example.evil/',
    'https://evil/a.example',
    'https://user@a.example/',
    'a.example',
    `https://a.example/${'x'.repeat(2048)}`,
  ])('refuse %s', (text) =>
    expect(() => readCallbackUrl(text, ['a.example'])).toThrow('Expected an https URL of a.example'),
  );

  it('are none by default', () => {
    expect(() => readCallbackUrl('https://a.example/', [])).toThrow('Expected none for X-Callback-Url');
  });

  it.each([
    [
      { CALLBACK_HOSTS: 'a.example', CALLBACK_SECRET: 's'.repeat(31) },
      'for CALLBACK_SECRET but received "a shorter one"',
    ],
    [{ CALLBACK_HOSTS: 'a.example' }, 'for CALLBACK_SECRET but received "none"'],
    [{ CALLBACK_HOSTS: 'https://a', CALLBACK_SECRET: secret }, 'for CALLBACK_HOSTS but received "https://a"'],
  ])('are not read out of %j', (env, message) => expect(() => loadConfig(classify, 1, env)).toThrow(message));

  it('are separated by commas', () => {
    const env = { JOBS_STORE: 'x', CALLBACK_HOSTS: 'a.example, b.example:1', CALLBACK_SECRET: secret };
    expect(loadConfig(classify, 1, env).jobs?.callbackHosts).toEqual(['a.example', 'b.example:1']);
  });
});

it.each([
  ['93.184.216.34', true],
  ['2606:2800:220:1::1', true],
  ['172.15.255.255', true],
  ['172.16.0.0', false],
  ['127.0.0.1', false],
  ['10.1.2.3', false],
  ['192.168.1.1', false],
  ['169.254.169.254', false],
  ['100.64.0.1', false],
  ['0.0.0.0', false],
  ['224.0.0.1', false],
  ['::1', false],
  ['::', false],
  ['::ffff:10.0.0.1', false],
  ['::ffff:93.184.216.34', false],
  ['64:ff9b::a00:1', false],
  ['fe80::1', false],
  ['fd00::1', false],
  ['ff02::1', false],
  ['localhost', false],
])('the address %s is public: %s', (address, is) => expect(isPublic(address)).toBe(is));

describe('a callback', () => {
  let server: Server;
  let url: string;
  let status: number;
  let received: { request: IncomingMessage; body: string }[];
  let folder: string;
  let removeFolder: () => void;

  beforeEach(async () => {
    [folder, removeFolder] = makeStoreFolder();
    received = [];
    status = 204;
    server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      received.push({ request, body });
      response.writeHead(status, { location: '/elsewhere' }).end();
    });
    url = `${await listen(server)}/hook`;
  });
  afterEach(() => {
    server.close();
    removeFolder();
  });

  const isAllowed = () => true;

  it('is a CloudEvent that is signed over time and body', async () => {
    await call({ ...job, callbackUrl: url }, { secret, isAllowed, now: () => 5999 });
    const { request, body } = received[0] as (typeof received)[0];
    expect(JSON.parse(body)).toEqual({
      specversion: '1.0',
      id: job.id,
      source: '/jobs',
      type: 'io.understudy.job.ended.v1',
      time: '1970-01-01T00:00:01.000Z',
      datacontenttype: 'application/json',
      data: { id: job.id, task: 'classify', state: 'failed', location: `/jobs/${job.id}`, code: 'IMAGE_UNSUPPORTED' },
    });
    const v1 = createHmac('sha256', secret).update(`5.${body}`).digest('hex');
    expect(request.headers).toMatchObject({
      'content-type': 'application/cloudevents+json',
      'x-understudy-signature': `t=5,v1=${v1}`,
      'x-request-id': 'r',
    });
    expect([request.method, request.url]).toEqual(['POST', '/hook']);
  });

  it.each([301, 307, 400, 500])('has failed with %i, and follows nothing', async (code) => {
    status = code;
    await expect(call({ ...job, callbackUrl: url }, { secret, isAllowed })).rejects.toThrow(`received ${code}`);
    expect(received).toHaveLength(1);
  });

  it.each([
    ['an address', (port: string) => `http://127.0.0.1:${port}/`],
    ['an address of IPv6', (port: string) => `http://[::1]:${port}/`],
    ['an address in another form', (port: string) => `http://0x7f.1:${port}/`],
    ['a name that resolves to one', (port: string) => `http://localhost:${port}/`],
  ])('is not sent to a private network: %s', async (_, urlOf) => {
    const callbackUrl = urlOf(new URL(url).port);
    await expect(call({ ...job, callbackUrl }, { secret })).rejects.toThrow('Expected a public address');
    expect(received).toEqual([]);
  });

  it('is tried again with longer pauses, apart from its job, and given up before the day is over', async () => {
    const store = openStore(folder);
    const tries: string[] = [];
    const lines: unknown[] = [];
    let isDown = true;
    const callbacks = createCallbacks({
      store,
      log: (_, message, fields) => lines.push({ message, ...fields }),
      async call({ id }) {
        tries.push(id);
        if (isDown) throw new Error('down');
      },
    });
    const called = { ...job, callbackUrl: url };
    const records = { read: async () => ({ record: called, etag: '' }) } as unknown as Records;
    const { signal } = new AbortController();
    const send = (at: number) => callbacks.send('classify', records, signal, at);

    await callbacks.add(job);
    expect(await keysOf(store, 'callbacks/')).toEqual([]);
    await callbacks.add(called);
    let at = 1000;
    for (const pauseMs of [10_000, 60_000, 600_000, 3_600_000, 14_400_000, 57_600_000]) {
      await send(at);
      const count = tries.length;
      await send(at + pauseMs - 1);
      expect(tries).toHaveLength(count);
      at += pauseMs;
    }
    await send(at);
    expect(tries).toHaveLength(7);
    expect(await keysOf(store, 'callbacks/')).toEqual([]);
    expect(lines.at(-1)).toMatchObject({ message: 'callback failed', tries: 7, isGivenUp: true });

    isDown = false;
    await callbacks.add(called);
    await send(at);
    expect(await keysOf(store, 'callbacks/')).toEqual([]);
    expect(tries).toHaveLength(8);
  });

  it('is made once the job has ended, and by one of those who look at the same time', async () => {
    const store = openStore(folder);
    const tries: string[] = [];
    const callbacks = createCallbacks({ store, log: () => {}, call: async ({ id }) => void tries.push(id) });
    const { signal } = new AbortController();
    const called = { ...job, callbackUrl: url };
    let state = 'running';
    const records = { read: async () => ({ record: { ...called, state }, etag: '' }) } as unknown as Records;
    await callbacks.add(called);
    await callbacks.send('classify', records, signal);
    expect([tries.length, (await keysOf(store, 'callbacks/')).length]).toEqual([0, 1]);

    state = 'failed';
    const late = { read: () => callbacks.send('classify', records, signal).then(() => records.read('')) };
    await callbacks.send('classify', late as unknown as Records, signal);
    expect(tries).toHaveLength(1);
    expect(await keysOf(store, 'callbacks/')).toEqual([]);
  });

  it('is not lost where the store fails amid the end of its job', async () => {
    const hosts = { CALLBACK_HOSTS: 'a.example', CALLBACK_SECRET: secret };
    const config = loadConfig(classify, 1, { JOBS_STORE: folder, ...hosts }).jobs as JobsConfig;
    const place = { tier: 'fallback', task: classify, service: {} as Service, workers: 1 } as const;
    const jobs = createJobs({ ...place, config, log: () => {}, metrics: createMetrics() });
    const order = { task: 'classify', ask: { query: '', headers: {} }, strict: false, requestId: 'r' };
    const upload = {
      bytes: Buffer.from('photo'),
      mediaType: 'image/jpeg',
      owner: undefined,
      idempotencyKey: undefined,
    };
    const accepted = await jobs.accept(
      { ...order, ...upload, deadlineMs: 60_000, callbackUrl: 'https://a.example/' },
      String,
    );
    const { id } = accepted.record;
    writeFileSync(join(folder, 'callbacks'), 'no folder');
    await expect(jobs.cancel(id)).rejects.toThrow('Expected a store and a queue for the job');
    rmSync(join(folder, 'callbacks'));
    expect((await jobs.cancel(id)).record.state).toBe('canceled');
    expect(await keysOf(openStore(folder), 'callbacks/')).toHaveLength(1);
    await jobs.stop();
  });
});
