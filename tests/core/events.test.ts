import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { toMessage, toRequest } from '../../functions/core/jobs/binding.ts';
import type { JobEvent } from '../../functions/core/jobs/event.ts';
import { acceptInto } from '../support/accepted.ts';
import { type Answer, send } from '../support/client.ts';
import { cleanAfterAll } from '../support/served.ts';

const { later, modelsDir, start, startReady } = cleanAfterAll();
const folder = mkdtempSync(join(tmpdir(), 'events-test-'));
later(() => rmSync(folder, { recursive: true }));
const { accept, read, resultOf, store } = acceptInto(folder);
const digit = readFileSync('tests/images/digit.png');
const photo = readFileSync('tests/images/test_image_1.jpg');
const events = await startReady('events', { JOBS_STORE: folder, EVENTS_TASKS: 'digits,clouds', WORKERS: '1' });

/** Posts an event as a consumer does. */
function post(event: JobEvent, { url } = events, further: Record<string, string> = {}): Promise<Answer> {
  const { headers, body } = toRequest(toMessage(event));
  return send(url, { inside: true, path: '/', headers: { ...headers, ...further }, body: Buffer.from(body) });
}

let keys = 0;
function acceptDigit(bytes: Uint8Array = digit): Promise<JobEvent> {
  keys += 1;
  return accept({ task: 'digits', bytes, idempotencyKey: `key ${keys}` });
}

describe('a function that takes events', () => {
  it('runs a job once, and answers 204 without a body each time that its event comes', async () => {
    const event = await acceptDigit();

    const answers = [await post(event), await post(event)];

    const job = await read(event.id);
    expect(answers.map(({ status, text }) => [status, text])).toEqual([
      [204, ''],
      [204, ''],
    ]);
    expect([job.state, job.attempts]).toEqual(['succeeded', 1]);
    expect(JSON.parse(await resultOf(job))).toMatchObject({
      model: 'digits',
      degraded: false,
      digit: expect.any(Number),
    });
  });

  it('takes an event in structured mode', async () => {
    const event = await acceptDigit();
    const headers = { 'content-type': 'application/cloudevents+json; charset=utf-8' };

    const { status } = await send(events.url, {
      inside: true,
      path: '/',
      headers,
      body: Buffer.from(JSON.stringify(event)),
    });

    expect([status, (await read(event.id)).state]).toEqual([204, 'succeeded']);
  });

  it('runs a job once though its event comes ten times at once', async () => {
    const event = await acceptDigit();

    const answers = await Promise.all(Array.from({ length: 10 }, () => post(event)));

    // One whose record another one has just changed is to come again, and finds the end.
    for (const { status } of answers) expect([204, 503]).toContain(status);
    expect((await post(event)).status).toBe(204);
    expect((await read(event.id)).state).toBe('succeeded');
    const results: string[] = [];
    for await (const key of store.list(`results/${event.id}/`)) results.push(key);
    expect(results).toHaveLength(1);
  });

  it('is done with an upload that is no image: that is an end, too', async () => {
    const event = await acceptDigit(Buffer.from('no image'));

    expect((await post(event)).status).toBe(204);

    expect(await read(event.id)).toMatchObject({ state: 'failed', problem: { code: 'IMAGE_UNSUPPORTED' } });
  });

  it.each([
    ['gone', (key: string) => store.delete(key)],
    ['another one', (key: string) => store.put(key, Buffer.from('other bytes'))],
  ])('ends a job whose upload is %s', async (_, change) => {
    const event = await acceptDigit();
    await change((await read(event.id)).photo.key);

    expect((await post(event)).status).toBe(204);

    expect(await read(event.id)).toMatchObject({ state: 'failed', problem: { code: 'UPLOAD_LOST' } });
  });

  it('is done with an event of a job that nobody knows', async () => {
    const event = await acceptDigit();

    expect((await post({ ...event, id: 'z'.repeat(26) })).status).toBe(204);
  });

  it.each([
    ['another type', { type: 'com.example.other' }, 'no event of a job'],
    ['no id of ours', { id: '1' }, 'no event of a job'],
    ['a task that it does not serve', { data: { task: 'classify' } }, 'no task of this function'],
  ])('is done with an event of %s, and calls it dead', async (_, change, why) => {
    const event = { ...(await acceptDigit()), ...change } as JobEvent;

    const { status, headers } = await post(event);

    expect([status, headers['x-dead-letter']]).toEqual([204, why]);
  });

  it.each([
    ['no JSON', { 'content-type': 'application/json' }, '{', 400, 'UPLOAD_MALFORMED'],
    ['no object', { 'content-type': 'application/json' }, '7', 400, 'UPLOAD_MALFORMED'],
    ['another media type', { 'content-type': 'text/plain' }, '{}', 415, 'UPLOAD_UNSUPPORTED'],
    ['many events', { 'content-type': 'application/cloudevents-batch+json' }, '[]', 415, 'UPLOAD_UNSUPPORTED'],
    ['more than 64 KiB', { 'content-type': 'application/json' }, `"${'x'.repeat(65_536)}"`, 413, 'UPLOAD_TOO_LARGE'],
  ])('refuses %s, so that it does not come again', async (_, headers, body, status, code) => {
    const answer = await send(events.url, { inside: true, path: '/', headers, body: Buffer.from(body) });

    expect([answer.status, JSON.parse(answer.text).code]).toEqual([status, code]);
  });

  it('takes 64 KiB', async () => {
    const event = await acceptDigit();
    const body = JSON.stringify({
      ...event,
      padding: 'x'.repeat(65_536 - JSON.stringify({ ...event, padding: '' }).length),
    });
    const headers = { 'content-type': 'application/cloudevents+json' };

    expect(body).toHaveLength(65_536);
    expect((await send(events.url, { inside: true, path: '/', headers, body: Buffer.from(body) })).status).toBe(204);
  });

  it.each([
    ['/', 'GET', 200],
    ['/readyz', 'GET', 200],
    ['/livez', 'GET', 200],
    ['/metrics', 'GET', 200],
    ['/digits', 'POST', 404],
    ['/', 'PUT', 405],
  ])('answers %s %s with %s', async (path, method, status) => {
    expect((await send(events.url, { inside: true, path, method })).status).toBe(status);
  });

  it('asks for an event again while the store does not answer', async () => {
    const event = await acceptDigit();
    const away = await startReady('events', { JOBS_STORE: '/dev/null/store', EVENTS_TASKS: 'digits', WORKERS: '1' });

    const answer = await post(event, away);

    expect([answer.status, JSON.parse(answer.text).code, answer.headers['retry-after']]).toEqual([
      503,
      'UNAVAILABLE',
      '1',
    ]);
    expect(answer.headers).not.toHaveProperty('x-job-attempts');
  });

  it('lets others come before a job that waits for the lead model, but for one that may come too late then', async () => {
    const dir = modelsDir({ mobilenet: 'real' });
    mkdirSync(join(dir, 'wide-resnet'));
    writeFileSync(join(dir, 'wide-resnet', 'model.json'), '{}');
    const env = { MODELS_DIR: dir, JOBS_STORE: folder, EVENTS_TASKS: 'classify', WORKERS: '1' };
    const without = await startReady('events', env);
    const answer = await post(await accept({ task: 'classify', bytes: photo }), without);

    expect([answer.status, JSON.parse(answer.text).detail]).toEqual([
      503,
      'Expected an end of the job but received none: no model that may answer is ready',
    ]);
    expect(answer.headers).toMatchObject({ 'retry-after': '1', 'x-job-attempts': '0' });

    const urgent = await accept({ task: 'classify', bytes: photo, idempotencyKey: 'urgent', deadlineMs: 6000 });
    const back = await post(urgent, without, { 'x-job-hold': 'never' });
    expect([back.status, Number(back.headers['x-job-within-ms']) > 4000]).toEqual([503, true]);
    expect((await post(urgent, without)).status).toBe(204);
    const result = JSON.parse(await resultOf(await read(urgent.id)));
    expect(result).toMatchObject({ model: 'mobilenet', reason: 'timeout' });
  }, 30_000);

  it.each([
    [
      'EVENTS_TASKS',
      { EVENTS_TASKS: 'dogs' },
      /Expected some of classify, digits, clouds for EVENTS_TASKS but received "dogs"/,
    ],
    ['JOBS_STORE', { JOBS_STORE: '' }, /Expected a folder or s3:\/\/BUCKET\/PREFIX for JOBS_STORE but received none/],
    ['a bucket', { JOBS_STORE: 's3://A' }, /for JOBS_STORE but received "s3:\/\/A"/],
    ['brokers', { KAFKA_BROKERS: 'localhost' }, /Expected HOST:PORT, or some with commas, for KAFKA_BROKERS/],
    ['a topic', { KAFKA_BROKERS: 'a:1', KAFKA_TOPIC: 'a b' }, /for KAFKA_TOPIC but received "a b"/],
  ])('does not start with a wrong %s', async (_, env, text) => {
    await expect(start('events', { JOBS_STORE: folder, EVENTS_TASKS: 'digits', ...env })).rejects.toThrow(text);
  });
});
