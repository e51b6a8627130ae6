import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readDocument } from '../../functions/image/document.ts';
import { readSite } from '../../ingress/site.ts';
import { documentedFetch } from '../support/documented.ts';
import { type RunningFunction, startUnderFramework } from '../support/function.ts';
import { form, photo, post, sendBare } from '../support/posted.ts';
import { cleanAfterAll, expectFault } from '../support/served.ts';

const { start } = cleanAfterAll();

describe.each([
  ['primary', 'our listener', 'wide-resnet', false, null],
  ['fallback', 'our listener', 'mobilenet', true, 'failover'],
  ['primary', "the framework's server", 'wide-resnet', false, null],
  ['fallback', "the framework's server", 'mobilenet', true, 'failover'],
] as const)('the %s function behind %s', (tier, host, model, degraded, reason) => {
  const isOurs = host === 'our listener';
  let fn: RunningFunction;

  beforeAll(async () => {
    fn = await (isOurs ? start(tier) : startUnderFramework(tier));
    await fn.ready();
  });

  afterAll(() => {
    fn.process.kill('SIGKILL');
  });

  it('answers a multipart upload as in the contract', async () => {
    const response = await documentedFetch(`${fn.url}/classify`, { method: 'POST', body: form(photo) });

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

  it('answers a PUT as it does a POST', async () => {
    const put = await fetch(`${fn.url}/classify?top=2`, { method: 'PUT', body: new Uint8Array(photo) });

    expect(put.status).toBe(200);
    const posted = await post(fn.url, { query: '?top=2' });
    expect(await put.json()).toEqual(await posted.json());
  });

  it('answers JSON, and at its doors', async () => {
    const body = JSON.stringify({ inputs: photo.toString('base64'), parameters: { top_k: 1 } });
    const sent = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
    const answer = await (await fetch(`${fn.url}/classify`, sent)).json();

    expect(answer).toMatchObject({ model, tier, predictions: [{ label: 'goldfish' }] });
    const [only, ...others] = await (await fetch(`${fn.url}/huggingface`, sent)).json();
    expect([only.label, others]).toEqual(['goldfish', []]);
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

  /** The framework's server answers these itself, before the function. */
  const ours: [string, number, Asked][] = [
    ['ROUTE_NOT_FOUND', 404, { path: '/favicon.ico', method: 'GET' }],
    ['UPLOAD_UNSUPPORTED', 415, { headers: { 'content-encoding': 'gzip' } }],
    ['UPLOAD_UNSUPPORTED', 415, { headers: { 'content-type': 'application/xml' }, body: '{' }],
    ['UPLOAD_MALFORMED', 400, { headers: { 'content-type': 'application/json' }, body: '{' }],
  ];

  it.each<[string, number, Asked]>([
    ...(isOurs ? ours : []),
    ['ROUTE_NOT_FOUND', 404, { path: '/nowhere' }],
    ['ROUTE_NOT_FOUND', 404, { path: '/v2/models/nothing', method: 'GET' }],
    ['METHOD_NOT_ALLOWED', 405, { path: '/classify', method: 'GET' }],
    ['METHOD_NOT_ALLOWED', 405, { path: '/readyz' }],
    ['PARAMETER_INVALID', 400, { path: '/classify?top=21' }],
    ['PARAMETER_INVALID', 400, { headers: { 'x-deadline-ms': '0' } }],
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

      const response = await documentedFetch(fn.url + path, {
        method,
        headers: {
          ...type,
          ...headers,
          'x-request-start': `t=${(Date.now() / 1000 - sentSecondsAgo).toFixed(3)}`,
        },
        ...(method === 'POST' && { body }),
      });

      await expectFault(response, code, status);
    },
  );

  it('answers its probes and the Open Inference Protocol', async () => {
    const json = async (path: string) => (await documentedFetch(fn.url + path)).json();

    expect(await json('/livez')).toEqual({ status: 'alive' });
    expect(await json('/readyz')).toEqual({ status: 'ready' });
    expect(await json('/v2')).toMatchObject({ name: `understudy-${tier}` });
    expect(await json('/v2/health/live')).toEqual({ live: true });
    expect(await json('/v2/health/ready')).toEqual({ ready: true });
    expect(await json(`/v2/models/${model}/ready`)).toEqual({ name: model, ready: true });
    expect(await json(`/v2/models/${model}`)).toMatchObject({
      name: model,
      platform: 'onnx',
      outputs: expect.arrayContaining([{ name: 'logits', datatype: 'FP32', shape: [1, 200] }]),
    });
  });

  it('answers with the document of the API, byte for byte that of the ingress', async () => {
    const response = await documentedFetch(`${fn.url}/openapi.json`);

    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.text()).toBe(readDocument());
    expect(
      readSite()
        .find(({ name }) => name === 'openapi.json')
        ?.content.toString(),
    ).toBe(readDocument());
  });

  it('counts its answers and shows its workers in /metrics', async () => {
    await post(fn.url);

    const text = await (await documentedFetch(`${fn.url}/metrics`)).text();

    expect(text).toMatch(
      new RegExp(
        `understudy_requests_total{status="200",code="",tier="${tier}",model="${model}",reason="${reason ?? ''}"} [1-9]`,
      ),
    );
    expect(text).toMatch(/understudy_stage_seconds_count{stage="model"} [1-9]/);
    expect(text).toMatch(new RegExp(`understudy_workers{model="${model}"} [1-9]`));
    expect(text).toContain(`understudy_queue{model="${model}"} 0`);
    expect(text).toContain(`understudy_breaker_open{model="${model}"} 0`);
    expect(text).toMatch(new RegExp(`understudy_workers_busy_seconds_total{model="${model}"} [0-9.]*[1-9]`));
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
});
