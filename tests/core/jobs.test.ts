import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Sent, send } from '../support/client.ts';
import type { RunningFunction } from '../support/function.ts';
import {
  expectJobProblem,
  get,
  idOf,
  inJson,
  keysOf,
  makeStoreFolder,
  openStore,
  order,
  readRecord,
  untilEnded,
} from '../support/jobs.ts';
import { imagePart, multipart } from '../support/multipart.ts';
import { cleanAfterAll, linesOf, plain } from '../support/served.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');
const { startReady } = cleanAfterAll();
const [folder, removeFolder] = makeStoreFolder();
const store = openStore(folder);
afterAll(removeFolder);

describe('a function with a store for jobs', () => {
  let primary: RunningFunction;
  beforeAll(async () => {
    primary = await startReady('primary', { JOBS_STORE: folder, WORKERS: '1' });
  }, 60_000);

  it('accepts a job with 202 once upload and record are in the store', async () => {
    const { status, headers, text } = await order(primary, { body: await plain('navy') });

    expect(status).toBe(202);
    expect(headers).toMatchObject({
      location: expect.stringMatching(/^\/jobs\/[a-z2-7]{26}$/),
      'retry-after': expect.stringMatching(/^\d+$/),
      'preference-applied': 'respond-async',
      'content-type': 'application/json',
      'x-request-id': expect.any(String),
    });
    expect(JSON.parse(text)).toMatchObject({
      id: idOf(headers.location),
      task: 'classify',
      state: expect.stringMatching(/waiting|running/),
      requestId: headers['x-request-id'],
    });
    const job = await readRecord(store, idOf(headers.location));
    expect((await store.get(job.photo.key))?.bytes).toEqual(await plain('navy'));
    expect(job.deadlineAt - job.createdAt).toBe(3_600_000);
  });

  it.each([
    ['a raw body', '/classify?top=2', { body: photo }],
    ['a language', '/classify', { body: photo, headers: { 'accept-language': 'de' } }],
    ['handling=strict', '/classify?features=1', { body: photo, headers: { prefer: 'respond-async, handling=strict' } }],
    ['JSON', '/classify?top=4&min_score=0.01', inJson(photo, { top_k: 3 })],
    ["Hugging Face's door", '/huggingface?top=3', { body: photo }],
    ["Hugging Face's door, JSON", '/huggingface', inJson(photo, { top_k: 1 })],
    ["TorchServe's door", '/predictions/classify', { method: 'PUT', body: photo }],
  ])(
    'ends with the answer of the synchronous way, byte for byte and header for header: %s',
    async (_, path, sent: Sent) => {
      const { method = 'POST', body = photo, headers: given = {} } = sent;
      const headers = { 'content-type': 'image/jpeg', ...given };
      const { headers: accepted } = await order(primary, { method, path, body, headers });
      const job = await untilEnded(primary, accepted.location);
      const later = await get(primary, `${accepted.location}/result`);
      const prefer = 'prefer' in given ? 'handling=strict' : '';
      const now = await send(primary.url, { method, path, body, headers: { ...headers, prefer } });

      expect(now.status).toBe(200);
      expect(later.text).toBe(now.text);
      expect(JSON.stringify(job.result)).toBe(JSON.stringify(JSON.parse(now.text)));
      const varying = { date: '', 'x-request-id': '', 'server-timing': '', 'cache-control': 'private, no-cache' };
      expect({ ...later.headers, ...varying }).toEqual({ ...now.headers, ...varying });
      expect(job).toMatchObject({ state: 'succeeded', attempts: 1, createdAt: expect.any(String) });
      expect(Date.parse(String(job.expiresAt)) - Date.parse(String(job.endedAt))).toBe(86_400_000);
    },
  );

  it('takes a form, and writes one request id into the lines of 202 and of the run', async () => {
    const { body, headers: form } = multipart(imagePart(photo));
    const headers = { ...form, 'x-request-id': 'from-202-to-result' };
    const runs = (await linesOf(primary, 'job run', 0)).length;
    const { headers: accepted } = await order(primary, { path: '/classify?top=3', body, headers });
    await untilEnded(primary, accepted.location);
    const lines = [...(await linesOf(primary, 'request', 1)), ...(await linesOf(primary, 'job run', runs + 1))];
    const told = lines.filter(({ requestId }) => requestId === 'from-202-to-result');
    expect(told).toMatchObject([
      { message: 'request', status: 202, job: idOf(accepted.location) },
      { message: 'job run', state: 'succeeded', job: idOf(accepted.location), model: 'wide-resnet' },
    ]);
  });

  it('gives the same job to a repeat, whatever the order of its parameters and its patience', async () => {
    const one = await order(primary, { path: '/classify?top=1&min_score=0.1', body: photo });
    const other = await order(primary, {
      path: '/classify?min_score=0.1&top=1',
      body: photo,
      headers: { 'x-deadline-ms': '86400000' },
    });
    expect(other.status).toBe(202);
    expect(other.headers.location).toBe(one.headers.location);
    const third = await order(primary, { path: '/classify?top=2&min_score=0.1', body: photo });
    expect(third.headers.location).not.toBe(one.headers.location);
  });

  it('gives one job to ten clients that come at once', async () => {
    const body = await plain('teal');
    const before = (await keysOf(store, 'records/')).length;
    const answers = await Promise.all(Array.from({ length: 10 }, () => order(primary, { body })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(answers.map(({ headers }) => headers.location)).size).toBe(1);
    expect(await keysOf(store, 'records/')).toHaveLength(before + 1);
    await untilEnded(primary, answers[0]?.headers.location);
  });

  it('takes an Idempotency-Key for what makes a job of a client the same, and refuses it for another upload', async () => {
    const headers = { 'idempotency-key': 'key of mine' };
    const [one, again] = [
      await order(primary, { body: photo, headers }),
      await order(primary, { body: photo, headers }),
    ];
    expect(again.headers.location).toBe(one.headers.location);
    const of = (name: string) => order(primary, { body: photo, headers: { ...headers, 'x-key-name': name } });
    const named = [await of('acme'), await of('other')].map((answer) => answer.headers.location);
    expect(new Set([one.headers.location, ...named]).size).toBe(3);
    const photos = await keysOf(store, 'photos/');
    expectJobProblem(await order(primary, { body: await plain('red'), headers }), 'IDEMPOTENCY_CONFLICT');
    expectJobProblem(await order(primary, { path: '/classify?top=1', body: photo, headers }), 'IDEMPOTENCY_CONFLICT');
    expect(await keysOf(store, 'photos/')).toEqual(photos);
    const other = await order(primary, { body: photo, headers: { 'idempotency-key': 'another' } });
    expect(other.headers.location).not.toBe(one.headers.location);
  });

  it.each([
    ['no bytes', { body: Buffer.alloc(0) }, 400, 'UPLOAD_EMPTY'],
    ['another type', { body: photo, headers: { 'content-type': 'text/html' } }, 415, 'UPLOAD_UNSUPPORTED'],
    ['top=21', { body: photo, path: '/classify?top=21' }, 400, 'PARAMETER_INVALID'],
    ['a day and a millisecond', { body: photo, headers: { 'x-deadline-ms': '86400001' } }, 400, 'PARAMETER_INVALID'],
    ['a key of 256', { body: photo, headers: { 'idempotency-key': 'k'.repeat(256) } }, 400, 'PARAMETER_INVALID'],
    ['an empty key', { body: photo, headers: { 'idempotency-key': '' } }, 400, 'PARAMETER_INVALID'],
    ['a key with é', { body: photo, headers: { 'idempotency-key': 'é' } }, 400, 'PARAMETER_INVALID'],
  ])('judges an upload as the synchronous way does, before 202: %s', async (_, sent, status, code) => {
    const answer = await order(primary, sent);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ code, instance: answer.headers['x-request-id'] });
  });

  it('takes the longest patience and the longest key', async () => {
    const headers = { 'x-deadline-ms': '86400000', 'idempotency-key': 'k'.repeat(255) };
    const { status, headers: accepted } = await order(primary, { body: photo, headers });
    expect(status).toBe(202);
    const job = await readRecord(store, idOf(accepted.location));
    expect(job.deadlineAt - job.createdAt).toBe(86_400_000);
  });

  it('ends with the problem of the synchronous way for what is no image', async () => {
    const body = Buffer.from('no image at all');
    const { headers } = await order(primary, { body, headers: { 'x-request-id': 'for-a-text' } });
    const job = await untilEnded(primary, headers.location);
    const later = await get(primary, `${headers.location}/result`);
    const now = await send(primary.url, { body, headers: { 'x-request-id': 'for-a-text' } });
    expect(job).toMatchObject({ state: 'failed', attempts: 1, problem: JSON.parse(now.text) });
    expect([later.status, later.text]).toEqual([now.status, now.text]);
    expect(later.status).toBe(422);
    expect(await keysOf(store, 'dead/')).toEqual([]);
  });

  it('waits with GET as long as the client would, and with POST for the answer itself', async () => {
    const { headers } = await order(primary, { body: await plain('olive') });
    const told = await get(primary, String(headers.location), { prefer: 'wait=30' });
    expect(told.headers['preference-applied']).toBe('wait=30');
    expect(JSON.parse(told.text).state).toBe('succeeded');

    const posted = await order(primary, { body: await plain('gray'), headers: { prefer: 'respond-async, wait=30' } });
    expect(posted.status).toBe(200);
    expect(posted.headers).toMatchObject({
      location: expect.stringMatching(/^\/jobs\//),
      'preference-applied': 'respond-async, wait=5',
      'x-model': 'wide-resnet',
    });
    expect(JSON.parse(posted.text)).toHaveProperty('predictions');
  });

  it('tells by ETag that nothing has changed, and answers HEAD', async () => {
    const { headers } = await order(primary, { body: await plain('olive') });
    await untilEnded(primary, headers.location);
    const told = await get(primary, String(headers.location));
    expect(told.headers).toMatchObject({
      etag: expect.stringMatching(/^"\w+"$/),
      'cache-control': 'private, no-cache',
    });
    const etag = String(told.headers.etag);
    const again = await get(primary, String(headers.location), { 'if-none-match': `W/"x", ${etag}` });
    expect([again.status, again.text, again.headers.etag]).toEqual([304, '', etag]);
    const head = await send(primary.url, { method: 'HEAD', path: String(headers.location) });
    expect([head.status, head.text, head.headers['content-length']]).toEqual([200, '', String(told.text.length)]);
  });

  it.each(['/jobs/unknown', `/jobs/${'a'.repeat(26)}`, `/jobs/${'a'.repeat(26)}/result`])(
    'knows no job for %s',
    async (path) => expectJobProblem(await get(primary, path), 'JOB_NOT_FOUND'),
  );

  it.each([
    ['POST', `/jobs/${'a'.repeat(26)}`, 'GET, HEAD, DELETE'],
    ['DELETE', `/jobs/${'a'.repeat(26)}/result`, 'GET, HEAD'],
  ])('allows no %s of %s', async (method, path, allow) => {
    const { status, headers } = await send(primary.url, { method, path });
    expect([status, headers.allow]).toEqual([405, allow]);
  });

  it('cancels nothing that has ended', async () => {
    const { headers } = await order(primary, { body: await plain('olive') });
    await untilEnded(primary, headers.location);
    expectJobProblem(await send(primary.url, { method: 'DELETE', path: String(headers.location) }), 'JOB_NOT_WAITING');
  });

  it('counts jobs by state, and says at its start that the spool is for one machine', async () => {
    const text = await (await fetch(`${primary.url}/metrics`)).text();
    expect(text).toMatch(/^understudy_jobs_ended_total{task="classify",state="succeeded",code=""} [1-9]/m);
    expect(text).toMatch(/^understudy_jobs_ended_total{task="classify",state="failed",code="IMAGE_UNSUPPORTED"} 1$/m);
    expect(text).toMatch(/^understudy_job_attempts_total{task="classify"} [1-9]/m);
    for (const name of ['jobs{task="classify",state="waiting"}', 'jobs_oldest_seconds{task="classify"}']) {
      expect(text).toContain(`understudy_${name} `);
    }
    expect(text).toMatch(/^understudy_jobs_dead{task="classify"} 0$/m);
    expect(await linesOf(primary, 'jobs wait in a spool, for the functions of one machine', 1)).toHaveLength(1);
  });
});
