import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { functionCommand } from '../../functions/launch.ts';
import { freePort } from '../../ingress/port.ts';
import { type RunningFunction, startFunction } from '../support/function.ts';
import { changeCard, makeModelsDir } from '../support/models.ts';
import { answer, startUpstream, type Upstream } from '../support/upstream.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');
const running: RunningFunction[] = [];

async function start(...args: Parameters<typeof startFunction>): Promise<RunningFunction> {
  const started = await startFunction(...args);
  running.push(started);
  return started;
}

function post(url: string, { query = '', headers = {}, body = photo as BodyInit } = {}): Promise<Response> {
  return fetch(`${url}/classify${query}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'image/jpeg', ...headers },
  });
}

function form(...files: Uint8Array[]): FormData {
  const data = new FormData();
  for (const file of files) data.append('image', new Blob([new Uint8Array(file)]), 'photo.jpg');
  return data;
}

/** The answer to the photo without a Content-Type. */
async function sendBare(port: number): Promise<unknown> {
  const sent = httpRequest({ port, path: '/classify', method: 'POST', headers: { 'content-length': photo.length } });
  sent.end(photo);
  const [response] = await once(sent, 'response');
  return JSON.parse(Buffer.concat(await response.toArray()).toString());
}

/** Sends bytes on a plain connection and gives back all that came until it was closed. */
async function raw(port: number, ...chunks: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  socket.on('error', () => {});
  for (const chunk of chunks) socket.write(chunk);
  await once(socket, 'close');
  return answer;
}

afterAll(async () => {
  for (const { process } of running) process.kill('SIGKILL');
  await Promise.all(running.map(({ process }) => process.exitCode ?? process.signalCode ?? once(process, 'exit')));
});

describe.each([
  ['primary', 'wide-resnet', false, null],
  ['fallback', 'mobilenet', true, 'failover'],
] as const)('the %s function', (tier, model, degraded, reason) => {
  let fn: RunningFunction;

  beforeAll(async () => {
    fn = await start(tier);
    await fn.ready();
  });

  it('answers a multipart upload as in the contract', async () => {
    const response = await fetch(`${fn.url}/classify`, { method: 'POST', body: form(photo) });

    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-model')).toBe(model);
    expect(response.headers.get('x-tier')).toBe(tier);
    expect(response.headers.get('x-degraded')).toBe(reason);
    expect(response.headers.get('server-timing')).toMatch(
      /^upload;dur=[\d.]+, decode;dur=[\d.]+, queue;dur=[\d.]+, model;dur=[\d.]+$/,
    );
    const answer = await response.json();
    expect(answer).toEqual({
      model,
      version: expect.any(String),
      tier,
      degraded,
      reason,
      predictions: expect.any(Array),
    });
    const scores = answer.predictions.map(({ score }: { score: number }) => score);
    expect(scores).toHaveLength(5);
    expect(scores).toEqual(scores.toSorted((one: number, other: number) => other - one));
    expect(answer.predictions[0]).toEqual({
      index: expect.any(Number),
      class: expect.stringMatching(/^n\d{8}$/),
      label: expect.any(String),
      score: expect.any(Number),
    });
  });

  it.each(['image/jpeg', 'image/anything', 'application/octet-stream'])(
    'answers a raw body of type %s',
    async (type) => {
      expect((await post(fn.url, { headers: { 'content-type': type } })).status).toBe(200);
    },
  );

  it('answers a raw body without a type', async () => {
    expect(await sendBare(fn.port)).toMatchObject({ model, tier });
  });

  it.each([1, 20])('gives %d predictions when asked to', async (top) => {
    const answer = await (await post(fn.url, { query: `?top=${top}` })).json();

    expect(answer.predictions).toHaveLength(top);
  });

  it('takes over a request id and makes one otherwise', async () => {
    const given = await post(fn.url, { headers: { 'x-request-id': 'my-id' } });
    const made = await post(fn.url);

    expect(given.headers.get('x-request-id')).toBe('my-id');
    expect(made.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  interface Asked {
    path?: string;
    method?: string;
    headers?: Record<string, string>;
    body?: BodyInit;
    sentSecondsAgo?: number;
  }

  it.each<[string, number, Asked]>([
    ['ROUTE_NOT_FOUND', 404, { path: '/nowhere' }],
    ['ROUTE_NOT_FOUND', 404, { path: '/v2/models/nothing', method: 'GET' }],
    ['ROUTE_NOT_FOUND', 404, { path: '/favicon.ico', method: 'GET' }],
    ['METHOD_NOT_ALLOWED', 405, { path: '/classify', method: 'GET' }],
    ['METHOD_NOT_ALLOWED', 405, { path: '/readyz' }],
    ['PARAMETER_INVALID', 400, { path: '/classify?top=21' }],
    ['PARAMETER_INVALID', 400, { headers: { 'x-deadline-ms': '0' } }],
    ['UPLOAD_UNSUPPORTED', 415, { headers: { 'content-encoding': 'gzip' } }],
    ['UPLOAD_UNSUPPORTED', 415, { headers: { 'content-type': 'application/json' }, body: '{' }],
    ['UPLOAD_MALFORMED', 400, { headers: { 'content-type': 'multipart/form-data' } }],
    ['UPLOAD_MALFORMED', 400, { headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: '--x\r\n' }],
    ['UPLOAD_EMPTY', 400, { body: '' }],
    ['UPLOAD_EMPTY', 400, { body: form() }],
    ['UPLOAD_AMBIGUOUS', 400, { body: form(photo, photo) }],
    ['UPLOAD_TOO_LARGE', 413, { body: Buffer.alloc(10_485_761) }],
    ['IMAGE_UNSUPPORTED', 422, { body: readFileSync('tests/images/test_image_4.jpg') }],
    ['IMAGE_UNREADABLE', 422, { body: photo.subarray(0, photo.length / 2) }],
    ['DEADLINE_EXCEEDED', 504, { sentSecondsAgo: 20 }],
  ])(
    'answers %s with %d',
    async (code, status, { path = '/classify', method = 'POST', headers = {}, body = photo, sentSecondsAgo = 0 }) => {
      const type = body instanceof FormData ? {} : { 'content-type': 'image/jpeg' };

      const response = await fetch(fn.url + path, {
        method,
        headers: {
          ...type,
          ...headers,
          'x-request-start': `t=${(Date.now() / 1000 - sentSecondsAgo).toFixed(3)}`,
        },
        ...(method === 'POST' && { body }),
      });

      expect(response.status).toBe(status);
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(await response.json()).toMatchObject({
        type: `urn:understudy:problem:${code}`,
        status,
        code,
        detail: expect.stringMatching(/^Expected .+ received/),
        instance: response.headers.get('x-request-id'),
      });
    },
  );

  it('answers UPLOAD_TOO_LARGE before the body when the length is declared, also instead of 100 Continue', async () => {
    const head = 'POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: 10485761\r\n';

    const answer = await raw(fn.port, `${head}expect: 100-continue\r\n\r\n`);

    expect(answer).toMatch(/^HTTP\/1.1 413 /);
  });

  it('answers UPLOAD_TOO_LARGE to a chunked body as soon as it is above the limit', async () => {
    const head = 'POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ntransfer-encoding: chunked\r\n\r\n';
    const chunk = Buffer.concat([Buffer.from('a00001\r\n'), Buffer.alloc(0xa0_0001), Buffer.from('\r\n')]);

    const answer = await raw(fn.port, head, chunk);

    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(answer).toContain('UPLOAD_TOO_LARGE');
  });

  it('answers UPLOAD_TIMEOUT to an upload that takes longer than 15 s', async () => {
    const upload = httpRequest(`${fn.url}/classify`, {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg', 'content-length': photo.length },
    });
    upload.on('error', () => {}); // the connection is closed while the upload goes on
    const startedMs = performance.now();
    upload.write(photo.subarray(0, 1000));

    const [answer] = await once(upload, 'response');
    const waitedMs = performance.now() - startedMs;
    const problem = JSON.parse(Buffer.concat(await answer.toArray()).toString());
    upload.destroy();

    expect(answer.statusCode).toBe(408);
    expect(problem).toMatchObject({
      code: 'UPLOAD_TIMEOUT',
      detail: 'Expected the whole upload within 15 s but received 1000 bytes',
    });
    expect(waitedMs).toBeGreaterThan(14_900);
  }, 20_000);

  it('answers its probes and the Open Inference Protocol', async () => {
    const json = async (path: string) => (await fetch(fn.url + path)).json();

    expect(await json('/livez')).toEqual({ status: 'alive' });
    expect(await json('/readyz')).toEqual({ status: 'ready' });
    expect(await json('/v2')).toMatchObject({ name: `understudy-${tier}` });
    expect(await json('/v2/health/live')).toEqual({ live: true });
    expect(await json('/v2/health/ready')).toEqual({ ready: true });
    expect(await json(`/v2/models/${model}/ready`)).toEqual({ name: model, ready: true });
    expect(await json(`/v2/models/${model}`)).toMatchObject({
      name: model,
      platform: 'onnx',
      outputs: [{ name: 'logits', datatype: 'FP32', shape: [1, 200] }],
    });
  });

  it('counts its answers and shows its workers in /metrics', async () => {
    await post(fn.url);

    const text = await (await fetch(`${fn.url}/metrics`)).text();

    expect(text).toMatch(
      new RegExp(
        `understudy_requests_total{status="200",code="",tier="${tier}",model="${model}",reason="${reason ?? ''}"} [1-9]`,
      ),
    );
    expect(text).toMatch(/understudy_stage_seconds_count{stage="model"} [1-9]/);
    expect(text).toMatch(new RegExp(`understudy_workers{model="${model}"} [1-9]`));
    expect(text).toContain(`understudy_queue{model="${model}"} 0`);
    expect(text).toContain(`understudy_breaker_open{model="${model}"} 0`);
    expect(text).toMatch(new RegExp(`understudy_workers_busy_seconds_total{model="${model}"} 0\\.[0-9]*[1-9]`));
  });

  it('writes one JSON line a request', async () => {
    await post(fn.url, { headers: { 'x-request-id': 'logged-once' } });
    await sleep(50);

    const lines = fn.lines.filter(({ requestId }) => requestId === 'logged-once');

    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      severity: 'info',
      message: 'request',
      function: tier,
      status: 200,
      model,
      bytes: photo.length,
      stages: { uploadMs: expect.any(Number), decodeMs: expect.any(Number), modelMs: expect.any(Number) },
    });
  });

  it('finishes what is in flight after SIGTERM, says that it is not ready, and exits with 0', async () => {
    const draining = await start(tier);
    await draining.ready();
    const silent = connect(draining.port, '127.0.0.1');
    silent.on('error', () => {});
    const agent = new Agent({ keepAlive: true });
    const upload = httpRequest(`${draining.url}/classify`, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'image/jpeg', 'content-length': photo.length },
    });
    upload.write(photo.subarray(0, 1000));
    await sleep(100);

    const ended = draining.stop();
    await sleep(100);
    const ready = await fetch(`${draining.url}/readyz`);
    upload.end(photo.subarray(1000));
    const [answer] = await once(upload, 'response');
    answer.resume();

    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({ status: 'draining' });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers.connection).toBe('close');
    expect(await ended).toBe(0);
    silent.destroy();
    agent.destroy();
  });

  it('is served by the stock framework as well', async () => {
    const port = await freePort();
    const bin = 'node_modules/@google-cloud/functions-framework/build/src/main.js';
    const args = [bin, `--target=${tier}`, `--port=${port}`, `--source=dist/functions/${tier}.js`];
    const stock = spawn(process.execPath, args, { stdio: 'ignore', env: { PATH: process.env.PATH } });
    const ended = once(stock, 'exit');

    let answer: { model?: string } = {};
    for (let i = 0; i < 300 && answer.model !== model; i += 1) {
      await sleep(50);
      answer = await fetch(`http://127.0.0.1:${port}/classify`, { method: 'POST', body: form(photo) })
        .then((response) => response.json())
        .catch(() => ({}));
    }
    const bare = await sendBare(port);
    const empty = await fetch(`http://127.0.0.1:${port}/classify`, { method: 'POST' });
    stock.kill('SIGKILL');
    await ended;

    expect(answer).toMatchObject({ model, tier });
    expect(bare).toMatchObject({ model, tier });
    expect((await empty.json()).code).toBe('UPLOAD_EMPTY');
  });
});

describe('strict requests', () => {
  const headers = { prefer: 'handling=strict' };

  it('are answered by the primary model and say so', async () => {
    const fn = await start('primary');
    await fn.ready();

    const response = await post(fn.url, { headers });

    expect(response.headers.get('preference-applied')).toBe('handling=strict');
    expect((await response.json()).model).toBe('wide-resnet');
  });

  it('are refused by the fallback with PRIMARY_REQUIRED', async () => {
    const fn = await start('fallback');
    await fn.ready();

    const response = await post(fn.url, { headers });

    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toMatch(/^[123]$/);
    expect(response.headers.get('x-reason')).toBe('strict');
    expect((await response.json()).code).toBe('PRIMARY_REQUIRED');
  });
});

describe('a primary function whose Wide ResNet is broken', () => {
  const modelsDir = mkdtempSync(join(tmpdir(), 'understudy-models-'));
  cpSync('models/mobilenet', join(modelsDir, 'mobilenet'), { recursive: true });
  afterAll(() => rmSync(modelsDir, { recursive: true }));

  async function expectsUnderstudy(): Promise<void> {
    const fn = await start('primary', { MODELS_DIR: modelsDir });
    await fn.ready('degraded');

    const answer = await (await post(fn.url)).json();
    const ready = await fetch(`${fn.url}/readyz`);

    expect(answer).toMatchObject({ model: 'mobilenet', tier: 'primary', degraded: true, reason: 'error' });
    expect(ready.status).toBe(200);
    expect(await ready.json()).toEqual({ status: 'degraded', missing: ['wide-resnet'] });
  }

  it('answers with MobileNet when its folder is missing', async () => {
    await expectsUnderstudy();
  });

  it('answers with MobileNet when its weights are cut short', async () => {
    cpSync('models/wide-resnet', join(modelsDir, 'wide-resnet'), { recursive: true });
    changeCard(join(modelsDir, 'wide-resnet'), (card) => ({ ...card, variants: [] }));
    writeFileSync(
      join(modelsDir, 'wide-resnet', 'model.onnx'),
      readFileSync('models/wide-resnet/model.onnx').subarray(0, 9999),
    );

    await expectsUnderstudy();
  });

  it('answers with MobileNet when it fails its golden case', async () => {
    const card = JSON.parse(readFileSync('models/wide-resnet/model.json', 'utf8'));
    card.golden.logits[7] += 1;
    card.variants = [];
    cpSync('models/wide-resnet', join(modelsDir, 'wide-resnet'), { recursive: true });
    writeFileSync(join(modelsDir, 'wide-resnet', 'model.json'), JSON.stringify(card));
    const fn = await start('primary', { MODELS_DIR: modelsDir });
    await fn.ready('degraded');
    while (!fn.lines.some(({ message }) => message === 'worker lost')) await sleep(10);

    const answer = await (await post(fn.url)).json();

    expect(answer).toMatchObject({ model: 'mobilenet', degraded: true, reason: 'error' });
    expect(fn.lines.find(({ message }) => message === 'worker lost')?.cause).toMatch(/logit 7 of the golden case/);
  });

  it('does not start when no model is left', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'understudy-models-'));

    const started = startFunction('primary', { MODELS_DIR: empty });

    await expect(started).rejects.toThrow(/exit 1: .*wide-resnet.*\n.*mobilenet/);
    rmSync(empty, { recursive: true });
  });
});

describe('a function that runs', () => {
  it('leaves nothing in the temporary folder, such as usage data of its libraries', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-empty-'));
    const fn = await start('primary', { TMPDIR: folder });
    await fn.ready();
    await post(fn.url);

    expect(readdirSync(folder)).toEqual([]);
    await fn.stop();
    rmSync(folder, { recursive: true });
  });
});

describe('the threads that decode', () => {
  /** How many threads a process has that is started as a function is and has read files. */
  function threadsOf(env: NodeJS.ProcessEnv): number {
    const [program, ...args] = functionCommand('fallback').slice(0, -1) as [string, ...string[]];
    const count = `import fs from 'node:fs';
      await fs.promises.stat('.');
      console.log(fs.readdirSync('/proc/self/task').length);`;
    const { stdout } = spawnSync(program, [...args, '--input-type=module', '-e', count], { env, encoding: 'utf8' });
    return Number(stdout);
  }

  it.each([
    ['below', '3', 4],
    ['at', '4', 4],
    ['above', '5', 5],
    ['unset beside', '', Math.max(4, Math.min(64, availableParallelism()))],
  ])('are as many as the workers, with WORKERS %s the four of libuv: %s, %d', (_where, WORKERS, threads) => {
    const [usual, told] = [threadsOf({ WORKERS }), threadsOf({ WORKERS, UV_THREADPOOL_SIZE: '1' })];

    expect(usual - told).toBe(threads - 1);
  });
});

describe('a function that is asked for more than it can decode', () => {
  it('answers in time, and none of its answers blames the image', async () => {
    const fn = await start('fallback', { WORKERS: '1' });
    await fn.ready();
    const large = await sharp({ create: { width: 4000, height: 4000, channels: 3, background: 'gray' } })
      .avif({ effort: 0 })
      .toBuffer();
    const headers = { 'x-deadline-ms': '30000' };
    const crowd = Array.from({ length: 6 }, () => post(fn.url, { body: new Uint8Array(large), headers }));
    await sleep(300);

    const startedMs = performance.now();
    const hurried = await post(fn.url, { headers: { 'x-deadline-ms': '300' } });
    const waitedMs = performance.now() - startedMs;

    expect(hurried.status).toBe(504);
    expect(hurried.headers.get('x-reason')).toBe('deadline');
    expect(waitedMs).toBeLessThan(3000);
    expect([...new Set((await Promise.all(crowd)).map(({ status }) => status))]).toEqual([200]);
  }, 30_000);
});

describe('the patience of a client', () => {
  let fn: RunningFunction;
  beforeAll(async () => {
    fn = await start('fallback', { DEADLINE_MS: '1000', PRIMARY_BUDGET_MS: '900' });
    await fn.ready();
  });

  /** Sends a photo, its last half `pauseMs` later. */
  async function dribble(pauseMs: number, headers: Record<string, string>): Promise<Response> {
    const halves = [photo.subarray(0, photo.length / 2), photo.subarray(photo.length / 2)];
    const body = new ReadableStream({
      async pull(controller) {
        const half = halves.shift();
        if (half === undefined) return controller.close();
        if (halves.length === 0) await sleep(pauseMs);
        controller.enqueue(half);
      },
    });
    const sent = {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg', ...headers },
      body,
      duplex: 'half' as const,
    };
    return fetch(`${fn.url}/classify`, sent);
  }

  it('ends when it has named it, also while it uploads', async () => {
    const startedMs = performance.now();

    const response = await dribble(3000, { 'x-deadline-ms': '1000' });
    const waitedMs = performance.now() - startedMs;

    expect(waitedMs).toBeGreaterThan(990);
    expect(waitedMs).toBeLessThan(2000);
    expect(response.status).toBe(504);
    expect(response.headers.get('x-reason')).toBe('deadline');
    expect((await response.json()).code).toBe('DEADLINE_EXCEEDED');
  });

  it('is what the upload has left of it', async () => {
    const startedMs = performance.now();

    const response = await dribble(1000, {
      'x-deadline-ms': '1010',
      'x-request-start': `t=${(Date.now() / 1000).toFixed(3)}`,
    });

    expect(response.status).toBe(504);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  it('begins with the whole upload where nobody has named it', async () => {
    expect((await dribble(1500, {})).status).toBe(200);
  });

  it('does not suffer from an ingress whose clock is behind a little, and /metrics tells by how much', async () => {
    const skewed = await start('fallback');
    await skewed.ready();
    const gauge = async () =>
      /^understudy_stamp_age_min_seconds (.*)$/m.exec(await (await fetch(`${skewed.url}/metrics`)).text())?.[1];
    const before = await gauge();
    const statuses: number[] = [];
    for (let i = 0; i < 22; i += 1) {
      const stamp = `t=${((Date.now() - 490) / 1000).toFixed(3)}`;
      statuses.push((await post(skewed.url, { headers: { 'x-deadline-ms': '450', 'x-request-start': stamp } })).status);
    }

    expect(before).toBeUndefined();
    expect(statuses.slice(0, 5)).toEqual(Array(5).fill(504));
    expect(statuses.at(-1)).toBe(200);
    expect(Number(await gauge())).toBeGreaterThanOrEqual(0.48);
    expect(Number(await gauge())).toBeLessThan(0.5);
  });
});

describe('a function that holds as many bytes as it may', () => {
  const uploadBytes = 100_000; // MAX_UPLOAD_BYTES: one worker holds eight of them

  /** Begins uploads of these sizes and does not finish them; gives back what ends them. */
  async function hold(fn: RunningFunction, sizes: readonly number[]): Promise<() => void> {
    const agent = new Agent({ keepAlive: true });
    const held = sizes.map((size) => {
      const headers = { 'content-type': 'image/jpeg', 'content-length': size };
      const sent = httpRequest(`${fn.url}/classify`, { method: 'POST', agent, headers });
      sent.on('error', () => {});
      sent.flushHeaders();
      return sent;
    });
    await sleep(200);
    return () => {
      for (const sent of held) sent.destroy();
    };
  }

  const seven: readonly number[] = new Array(7).fill(uploadBytes);
  const whole = new Uint8Array(Buffer.concat([photo, Buffer.alloc(uploadBytes)]).subarray(0, uploadBytes));

  it.each([
    ['below', [...seven.slice(1), uploadBytes - 1], 200, null],
    ['at', seven, 200, null],
    ['above', [...seven, 1], 503, '1'],
  ])('%s its limit, answers the next upload or says BUSY', async (_where, sizes, status, retryAfter) => {
    const fn = await start('fallback', { WORKERS: '1', MAX_UPLOAD_BYTES: String(uploadBytes) });
    await fn.ready();
    const release = await hold(fn, sizes);

    const answer = await post(fn.url, { body: whole });
    const ready = await fetch(`${fn.url}/readyz`);
    release();
    await sleep(200);
    const after = await post(fn.url, { body: whole });

    expect(answer.status).toBe(status);
    expect(answer.headers.get('retry-after')).toBe(retryAfter);
    expect(ready.status).toBe(200);
    expect(after.status).toBe(200);
  });
});

describe('a connection that speaks no HTTP', () => {
  it('is answered UPLOAD_MALFORMED and closed', async () => {
    const fn = await start('fallback');

    const answer = await raw(fn.port, 'photo please\r\n\r\n');

    expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/);
    expect(answer).toContain('"code":"UPLOAD_MALFORMED"');
  });
});

describe('a primary that was started with a niceness above its own', () => {
  it('loads its lead model all the same, without the right to lower it', async () => {
    const through = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-sys_nice'] : [];
    const fn = await start('primary', {}, [...through, 'nice', '-n', '15']);
    await fn.ready();

    expect((await (await post(fn.url)).json()).model).toBe('wide-resnet');
  });
});

describe('X-Revision', () => {
  const asked = (url: string) => [post(url), post(url, { query: '?top=0' }), fetch(`${url}/readyz`)];

  it.each<[string, NodeJS.ProcessEnv, string | null]>([
    ['names the revision that the platform made', { K_REVISION: 'classify-fallback-00012' }, 'classify-fallback-00012'],
    ['is absent where no platform made one', {}, null],
  ])('%s, in answers, problems and probes', async (_what, env, expected) => {
    const fn = await start('fallback', env);
    await fn.ready();

    const responses = await Promise.all(asked(fn.url));

    expect(responses.map(({ status }) => status)).toEqual([200, 400, 200]);
    expect(responses.map(({ headers }) => headers.get('x-revision'))).toEqual(Array(3).fill(expected));
  });
});

describe('a function whose port is taken', () => {
  it('says so in one sentence and exits with 1', async () => {
    const fn = await start('fallback');

    const second = startFunction('fallback', { PORT: String(fn.port) });

    await expect(second).rejects.toThrow(
      `exit 1: Expected a free port for PORT but received ${fn.port}: another program listens there`,
    );
  });
});

describe('a function whose only model fails its golden case', () => {
  it('says so and exits with 1', async () => {
    const dir = makeModelsDir({ mobilenet: 'moody' });
    changeCard(join(dir, 'mobilenet'), (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } }));
    const fn = await start('fallback', { MODELS_DIR: dir });

    const [code] = fn.process.exitCode === null ? await once(fn.process, 'exit') : [fn.process.exitCode];

    expect(code).toBe(1);
    rmSync(dir, { recursive: true });
  });
});

describe('a primary with someone to wake the fallback', () => {
  let gate: Upstream;
  let dir: string;
  let wakeUrl: string;

  beforeAll(async () => {
    gate = await startUpstream('gate');
    wakeUrl = `http://127.0.0.1:${gate.port}/readyz`;
    dir = makeModelsDir({ 'wide-resnet': 'moody', mobilenet: 'real' });
  });

  beforeEach(() => gate.behave(answer(200)));

  afterAll(async () => {
    await gate.close();
    rmSync(dir, { recursive: true });
  });

  const red = sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } }).png();
  const ends = ({ lines }: RunningFunction) => lines.filter(({ message }) => message === 'fallback asked to wake');
  const wakes = async ({ url }: RunningFunction) =>
    /^understudy_wakes_total.*/m.exec(await (await fetch(`${url}/metrics`)).text())?.[0];

  async function untilAsked(fn: RunningFunction): Promise<void> {
    for (let i = 0; i < 500 && ends(fn).length === 0; i += 1) await sleep(10);
  }

  it('asks once when the Wide ResNet is taken out, logs and counts it, and answers on', async () => {
    const fn = await start('primary', { MODELS_DIR: dir, WAKE_URL: wakeUrl });
    await fn.ready();
    const body = new Uint8Array(await red.toBuffer());
    for (let i = 0; i < 2; i += 1) await post(fn.url, { body });
    const before = gate.received.length;

    for (let i = 0; i < 10; i += 1) await post(fn.url, { body });
    await untilAsked(fn);

    expect(before).toBe(0);
    expect(gate.received).toMatchObject([{ method: 'GET', url: '/readyz' }]);
    expect(ends(fn)).toMatchObject([{ severity: 'info', cause: 'lost', outcome: 'ready', status: 200 }]);
    expect(await wakes(fn)).toBe('understudy_wakes_total{outcome="ready"} 1');
    expect((await post(fn.url, { body })).headers.get('x-model')).toBe('mobilenet');
  });

  it('asks at its start when the Wide ResNet must not be served', async () => {
    const mobilenetOnly = makeModelsDir({ mobilenet: 'moody' });
    const fn = await start('primary', { MODELS_DIR: mobilenetOnly, WAKE_URL: wakeUrl });
    await untilAsked(fn);

    expect(ends(fn)).toMatchObject([{ cause: 'lost', outcome: 'ready' }]);
    rmSync(mobilenetOnly, { recursive: true });
  });

  it('asks when its Wide ResNet fails its golden case', async () => {
    const unlike = makeModelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' });
    changeCard(join(unlike, 'wide-resnet'), (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } }));
    const fn = await start('primary', { MODELS_DIR: unlike, WAKE_URL: wakeUrl });
    await untilAsked(fn);

    expect(ends(fn)).toMatchObject([{ cause: 'lost', outcome: 'ready' }]);
    rmSync(unlike, { recursive: true });
  });

  it('asks in a brown-out that lasts, and says when nobody heard', async () => {
    const fn = await start('primary', {
      MODELS_DIR: dir,
      WORKERS: '1',
      WAKE_URL: `http://127.0.0.1:${await freePort()}/`,
    });
    await fn.ready();
    const uploads = Array.from({ length: 64 }, () => {
      const socket = connect(fn.port, '127.0.0.1');
      socket.write('POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: 9\r\n\r\npart');
      return socket;
    });
    await sleep(100);
    const codes = [];
    for (let i = 0; i < 14; i += 1, await sleep(250)) codes.push((await (await post(fn.url)).json()).code);
    for (const socket of uploads) socket.destroy();
    await untilAsked(fn);

    expect(codes).toEqual(Array(14).fill('BUSY'));
    expect(ends(fn)).toMatchObject([
      { cause: 'brown-out', outcome: 'failed', error: expect.stringContaining('ECONNREFUSED') },
    ]);
    expect(await wakes(fn)).toBe('understudy_wakes_total{outcome="failed"} 1');
  }, 15_000);

  it('does not ask for a client whose patience is below the budget', async () => {
    const fn = await start('primary', { MODELS_DIR: dir, WAKE_URL: wakeUrl });
    await fn.ready();
    for (let i = 0; i < 14; i += 1, await sleep(250)) await post(fn.url, { headers: { 'x-deadline-ms': '1' } });

    expect(gate.received).toHaveLength(0);
  }, 15_000);

  it('does not ask while it drains', async () => {
    const fn = await start('primary', { MODELS_DIR: dir, WAKE_URL: wakeUrl });
    await fn.ready();

    expect(await fn.stop()).toBe(0);
    expect(gate.received).toHaveLength(0);
  });

  it('asks nobody when it is the fallback', async () => {
    const raising = makeModelsDir({ mobilenet: 'moody' });
    const fn = await start('fallback', { MODELS_DIR: raising, WAKE_URL: wakeUrl });
    await fn.ready();
    const body = new Uint8Array(await red.toBuffer());
    const answers = [];
    for (let i = 0; i < 5; i += 1) answers.push((await post(fn.url, { body })).status);

    expect(answers).toEqual([500, 500, 500, 500, 500]);
    expect(gate.received).toHaveLength(0);
    rmSync(raising, { recursive: true });
  });
});

describe('a function with a faulty environment', () => {
  it('reports all faults at once and exits with 1', async () => {
    const started = startFunction('primary', { WORKERS: 'many', LOG_LEVEL: 'loud' });

    await expect(started).rejects.toThrow(/exit 1: Expected .* WORKERS .*\nExpected .* LOG_LEVEL/);
  });
});
