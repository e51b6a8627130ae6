import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { documentedFetch } from '../support/documented.ts';
import type { RunningFunction } from '../support/function.ts';
import { boundaryLine, imagePart, multipart, rawMultipart } from '../support/multipart.ts';
import { form, photo } from '../support/posted.ts';
import { cleanAfterAll, expectFault, plain } from '../support/served.ts';

const { modelsDir, startReady } = cleanAfterAll();

const photos = [1, 2, 3].map((number) => readFileSync(`tests/images/test_image_${number}.jpg`));
const text = readFileSync('tests/images/test_image_4.jpg'); // no picture

type Element = Record<string, unknown>;

/** Sends a body to /classify, or to another path of the function. */
function send(fn: RunningFunction, body: BodyInit, { query = '?batch=1', headers = {}, path = '/classify' } = {}) {
  return documentedFetch(`${fn.url}${path}${query}`, { method: 'POST', body, headers });
}
const arrayOf = async (answer: Promise<Response>): Promise<Element[]> => (await answer).json();

describe('a batch of photos', () => {
  let fn: RunningFunction;

  beforeAll(async () => {
    fn = await startReady('primary');
  });

  /** What each photo gets by itself. */
  const alone = async (query = '') => {
    const answers: Element[] = [];
    for (const one of photos) answers.push(await (await send(fn, new Uint8Array(one), { query })).json());
    return answers;
  };

  it('is answered in order, each with the body that it would get alone', async () => {
    const answer = await send(fn, form(...photos), { query: '?batch=1&top=2' });

    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/json',
      'x-model': 'wide-resnet',
      'x-tier': 'primary',
      'server-timing': expect.stringMatching(/^upload;dur=[\d.]+$/),
    });
    expect(await answer.json()).toEqual(await alone('?top=2'));
  });

  it('may be multipart/mixed, and one photo alone, raw or in JSON', async () => {
    const expected = await alone();
    const pieces = photos.flatMap((one) => [boundaryLine, 'Content-Type: image/jpeg\r\n\r\n', one, '\r\n']);
    const { headers, body } = rawMultipart([...pieces, `${boundaryLine.trimEnd()}--\r\n`]);
    const type = headers['content-type'].replace('form-data', 'mixed');
    const mixed = arrayOf(send(fn, new Uint8Array(body), { headers: { 'content-type': type } }));
    const raw = arrayOf(send(fn, new Uint8Array(photo)));
    const json = arrayOf(
      send(fn, JSON.stringify({ inputs: photo.toString('base64') }), {
        headers: { 'content-type': 'application/json' },
      }),
    );

    expect(await mixed).toEqual(expected);
    expect(await raw).toEqual([expected[0]]);
    expect(await json).toEqual([expected[0]]);
  });

  it('is not spoiled by one that is no photo, or empty', async () => {
    const { headers, body } = multipart(imagePart(photo), imagePart(text), imagePart(''), imagePart(photo));
    const answer = await send(fn, new Uint8Array(body), { headers: { ...headers, 'x-request-id': 'batch-1' } });

    const [first] = await alone();
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual([
      first,
      expect.objectContaining({ code: 'IMAGE_UNSUPPORTED', status: 422, instance: 'batch-1' }),
      expect.objectContaining({ code: 'UPLOAD_EMPTY', status: 400 }),
      first,
    ]);
  });

  it('is a 200 of problems when all photos are at fault', async () => {
    const answer = await send(fn, form(text, text));

    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject([{ code: 'IMAGE_UNSUPPORTED' }, { code: 'IMAGE_UNSUPPORTED' }]);
  });

  it('may have 32 photos, and no more', async () => {
    const many = (count: number) => send(fn, form(...Array<Buffer>(count).fill(photo)));

    const elements = await arrayOf(many(32));
    expect(elements).toHaveLength(32);
    for (const element of elements) expect(element).toHaveProperty('predictions');
    await expectFault(await many(33), 'UPLOAD_TOO_LARGE', 413);
  });

  it('may have as many bytes as one photo, and no more', async () => {
    const half = Buffer.alloc(5_242_880);

    expect(await arrayOf(send(fn, form(half, half)))).toMatchObject([{ status: 422 }, { status: 422 }]);
    await expectFault(await send(fn, form(half, Buffer.alloc(5_242_881))), 'UPLOAD_TOO_LARGE', 413);
  });

  it.each<[string, number, Parameters<typeof send>[2], BodyInit]>([
    ['UPLOAD_AMBIGUOUS', 400, { query: '' }, form(photo, photo)],
    ['UPLOAD_AMBIGUOUS', 400, { query: '?batch=0' }, form(photo, photo)],
    ['PARAMETER_INVALID', 400, { query: '?batch=2' }, form(photo)],
    ['PARAMETER_INVALID', 400, { query: '?batch=1&batch=1' }, form(photo)],
    ['PARAMETER_INVALID', 400, { path: '/huggingface' }, form(photo)],
    ['UPLOAD_UNSUPPORTED', 415, { query: '', headers: { 'content-type': 'multipart/mixed; boundary=x' } }, 'x'],
    ['UPLOAD_MALFORMED', 400, { headers: { 'content-type': 'multipart/mixed' } }, 'x'],
    ['UPLOAD_MALFORMED', 400, { headers: { 'content-type': 'multipart/mixed; boundary=x' } }, '--x\r\n'],
    ['UPLOAD_EMPTY', 400, {}, form()],
  ])('is answered %s, %d with %j', async (code, status, options, body) => {
    await expectFault(await send(fn, body, options), code, status);
  });

  it('is one line of the log', async () => {
    await send(fn, form(photo, text), { headers: { 'x-request-id': 'batch-log' } });
    const lines = () => fn.lines.filter(({ requestId }) => requestId === 'batch-log');
    while (lines().length === 0) await new Promise((resolve) => setTimeout(resolve, 10));

    const bytes = photo.length + text.length;
    expect(lines()).toMatchObject([{ status: 200, model: 'wide-resnet', photos: 2, answered: 1, bytes }]);
  });
});

// The first pixel says what the model does: red raises, green takes seconds, black answers.
describe('a batch before a model that fails', () => {
  let fn: RunningFunction;
  let black: Buffer;
  let red: Buffer;
  let green: Buffer;

  beforeAll(async () => {
    [black, red, green] = await Promise.all([plain('black'), plain('red'), plain('lime')]);
    fn = await startReady('fallback', { MODELS_DIR: modelsDir({ mobilenet: 'moody' }), WORKERS: '2' });
  });

  it('has its problems beside answers', async () => {
    const answer = await send(fn, form(red, black, text));

    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-degraded')).toBe('failover');
    expect(await answer.json()).toMatchObject([
      { code: 'INTERNAL', status: 500 },
      { reason: 'failover', predictions: expect.any(Array) },
      { code: 'IMAGE_UNSUPPORTED', status: 422 },
    ]);
  });

  it('fails as a whole when none is answered and the fault is ours, so that another tier is asked', async () => {
    for (const files of [form(red, red), form(text, red)]) {
      const answer = await send(fn, files);

      expect([answer.status, (await answer.json()).code]).toEqual([500, 'INTERNAL']);
    }
  });

  it('has one deadline', async () => {
    const answer = await send(fn, form(black, green, black), { headers: { 'x-deadline-ms': '700' } });

    const [first, second] = await answer.json();
    expect(first).toHaveProperty('predictions');
    expect(second).toMatchObject({ code: 'DEADLINE_EXCEEDED', status: 504 });
  });
});
