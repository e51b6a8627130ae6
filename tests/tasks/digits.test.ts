import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { documentedFetch } from '../support/documented.ts';
import { drawDigit, drawSvg } from '../support/drawn.ts';
import type { RunningFunction } from '../support/function.ts';
import { form, sendBare } from '../support/posted.ts';
import { cleanAfterAll } from '../support/served.ts';

const { start } = cleanAfterAll();

const seven = await drawDigit(7).png().toBuffer();
let fn: RunningFunction;

beforeAll(async () => {
  fn = await start('digits', { MAX_UPLOAD_BYTES: '40000', MAX_PIXELS: '30400' }); // 160x190
  await fn.ready();
});

interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer | FormData | string;
  readonly sentSecondsAgo?: number;
}

function predict({ path = '/predict', method = 'POST', headers = {}, body = seven, sentSecondsAgo = 0 }: Asked) {
  const type = body instanceof FormData ? {} : { 'content-type': 'image/png' };
  const stamp = `t=${(Date.now() / 1000 - sentSecondsAgo).toFixed(3)}`;
  return documentedFetch(fn.url + path, {
    method,
    headers: { ...type, 'x-request-start': stamp, ...headers },
    ...(method === 'POST' && { body: Buffer.isBuffer(body) ? new Uint8Array(body) : body }),
  });
}

describe('GET /', () => {
  it('says which model is ready', async () => {
    const response = await documentedFetch(`${fn.url}/`);

    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'ready', model: 'digits', version: expect.any(String) });
  });
});

describe('POST /predict', () => {
  it('answers as in the contract', async () => {
    const response = await predict({ body: form(seven) });

    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-model')).toBe('digits');
    expect(response.headers.get('x-tier')).toBe('primary');
    expect(response.headers.get('x-degraded')).toBeNull();
    const answer = await response.json();
    expect(answer).toEqual({
      model: 'digits',
      version: expect.any(String),
      tier: 'primary',
      degraded: false,
      reason: null,
      digit: 7,
      probabilities: expect.any(Array),
    });
    expect(answer.probabilities).toHaveLength(10);
    expect(answer.probabilities.reduce((sum: number, share: number) => sum + share, 0)).toBeCloseTo(1, 9);
    expect(answer.probabilities.indexOf(Math.max(...answer.probabilities))).toBe(7);
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])('reads %d', async (digit) => {
    const pen = await drawDigit(digit).png().toBuffer();
    const chalk = await drawDigit(digit, { ink: '#eee', paper: '#223322', pen: 6 }).png().toBuffer();

    expect(await (await predict({ body: pen })).json()).toMatchObject({ digit });
    expect(await (await predict({ body: chalk })).json()).toMatchObject({ digit });
  });

  it.each<[string, () => Promise<Buffer>]>([
    ['JPEG', () => drawDigit(7).jpeg().toBuffer()],
    ['progressive JPEG in shades of gray', () => drawDigit(7).grayscale().jpeg({ progressive: true }).toBuffer()],
    ['JPEG in inks', () => drawDigit(7).toColourspace('cmyk').jpeg().toBuffer()],
    ['JPEG on its side', () => drawDigit(7).rotate(270).withMetadata({ orientation: 6 }).jpeg().toBuffer()],
    ['PNG with a palette', () => drawDigit(7).png({ palette: true, colors: 8 }).toBuffer()],
    ['PNG of 16 bits', () => drawDigit(7).toColourspace('rgb16').png().toBuffer()],
    ['PNG with transparent paper', () => drawDigit(7).unflatten().png().toBuffer()],
    ['WebP', () => drawDigit(7).webp().toBuffer()],
    ['GIF', () => drawDigit(7).gif().toBuffer()],
    ['AVIF', () => drawDigit(7).avif().toBuffer()],
    ['28x28 pixels', () => drawDigit(7).resize(28, 28, { fit: 'cover' }).png().toBuffer()],
  ])('reads a %s', async (_format, encode) => {
    expect(await (await predict({ body: await encode() })).json()).toMatchObject({ digit: 7 });
  });

  it.each(['image/jpeg', 'application/octet-stream'])('takes a raw body of type %s', async (type) => {
    expect((await predict({ headers: { 'content-type': type } })).status).toBe(200);
  });

  it('takes a raw body without a type', async () => {
    expect(await sendBare(fn.port, '/predict', seven)).toMatchObject({ digit: 7 });
  });

  it.each([
    [39_999, 200],
    [40_000, 200],
    [40_001, 413],
  ])('takes at most MAX_UPLOAD_BYTES: %d bytes', async (size, status) => {
    const padded = Buffer.concat([seven, Buffer.alloc(size - seven.length)]); // libvips ignores what follows a PNG's end

    expect((await predict({ body: padded })).status).toBe(status);
  });

  it.each([
    [189, 200],
    [190, 200],
    [191, 422],
  ])('takes at most MAX_PIXELS: 160 x %d', async (height, status) => {
    const body = await drawDigit(7).resize(160, height, { fit: 'fill' }).png().toBuffer();

    const response = await predict({ body });

    expect(response.status).toBe(status);
    if (status === 422) expect(await response.json()).toMatchObject({ code: 'IMAGE_TOO_MANY_PIXELS' });
  });

  const onPaper = (content: string) =>
    drawSvg(120, 120, `<rect width="120" height="120" fill="#fff"/>${content}`).png().toBuffer();
  const gradient =
    '<linearGradient id="g"><stop stop-color="#fff"/><stop offset="1" stop-color="#444"/></linearGradient><rect width="120" height="120" fill="url(#g)"/>';
  const scribble = '<path d="M30 30 L90 90 M30 90 L90 30 M60 25 V95 M25 60 H95" stroke="#000" stroke-width="6"/>';

  it.each<[string, string, () => Promise<Buffer>]>([
    ['a blank page', 'a blank page', () => onPaper('')],
    ['a gradient', 'a blank page', () => drawSvg(120, 120, gradient).jpeg().toBuffer()],
    ['two digits', '2 separate figures', () => drawDigit(4, { times: 2 }).resize({ width: 150 }).png().toBuffer()],
    ['a scribble', 'a figure that is none', () => onPaper(scribble)],
  ])('answers IMAGE_NO_DIGIT to %s', async (_what, seen, draw) => {
    const response = await predict({ body: await draw() });

    expect(response.status).toBe(422);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toEqual({
      type: '/problems#image-no-digit',
      title: 'Image shows no digit',
      status: 422,
      code: 'IMAGE_NO_DIGIT',
      detail: `Expected a single digit for the image but received ${seen}`,
      instance: response.headers.get('x-request-id'),
    });
  });

  it('takes a picture in base64, and several', async () => {
    const json = { inputs: seven.toString('base64') };
    const inJson = await predict({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) });
    const batch = await predict({ path: '/predict?batch=1', body: form(seven, Buffer.from('seven')) });
    const parameter = { ...json, parameters: { top_k: 1 } };
    const refused = await predict({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(parameter) });

    expect(await inJson.json()).toMatchObject({ digit: 7 });
    expect(await batch.json()).toMatchObject([{ digit: 7 }, { code: 'IMAGE_UNSUPPORTED' }]);
    expect(await refused.json()).toMatchObject({ code: 'PARAMETER_INVALID' });
  });

  it.each<[string, number, Asked]>([
    ['ROUTE_NOT_FOUND', 404, { path: '/classify' }],
    ['METHOD_NOT_ALLOWED', 405, { method: 'GET' }],
    ['PARAMETER_INVALID', 400, { headers: { 'x-deadline-ms': '0' } }],
    ['UPLOAD_UNSUPPORTED', 415, { headers: { 'content-type': 'application/pdf' } }],
    ['UPLOAD_MALFORMED', 400, { headers: { 'content-type': 'application/json' } }],
    ['UPLOAD_MALFORMED', 400, { headers: { 'content-type': 'multipart/form-data' } }],
    ['UPLOAD_EMPTY', 400, { body: '' }],
    ['UPLOAD_AMBIGUOUS', 400, { body: form(seven, seven) }],
    ['IMAGE_UNSUPPORTED', 422, { body: 'a digit, in words: seven' }],
    ['IMAGE_UNREADABLE', 422, { body: seven.subarray(0, seven.length / 2) }],
    ['DEADLINE_EXCEEDED', 504, { sentSecondsAgo: 20 }],
  ])('answers %s with %d', async (code, status, asked) => {
    const response = await predict(asked);

    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      code,
      status,
      detail: expect.stringMatching(/^Expected .+ received/),
    });
  });

  it('names its model by the Open Inference Protocol, and writes one line a request', async () => {
    const model = await (await documentedFetch(`${fn.url}/v2/models/digits`)).json();
    await predict({ headers: { 'x-request-id': 'logged-once' } });
    await sleep(50);

    expect(model).toMatchObject({
      name: 'digits',
      inputs: [{ datatype: 'FP32', shape: [1, 1, 28, 28] }],
      outputs: [{ datatype: 'FP32', shape: [1, 11] }],
    });
    const lines = fn.lines.filter(({ requestId }) => requestId === 'logged-once');
    expect(lines).toEqual([expect.objectContaining({ status: 200, model: 'digits', width: 160, height: 190 })]);
  });
});
