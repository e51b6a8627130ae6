import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { fromArrayBuffer } from 'geotiff';
import sharp from 'sharp';
import { infer, makeCloudsModels } from '../support/clouds.ts';
import { documentedFetch } from '../support/documented.ts';
import type { RunningFunction } from '../support/function.ts';
import { drawGeoTiff } from '../support/geotiff.ts';
import { cleanAfterAll, expectFault } from '../support/served.ts';

/** Of the model `weather`, by near infrared: the first row clear, the second cloud, the third shadow; the fourth has no data. */
const nir = [2000, 6000, 100, 0];
const file = drawGeoTiff({
  width: 72,
  value: (band, pixel) => {
    const row = Math.floor(pixel / 72);
    if (row === 3) return 0;
    return band === 3 ? (nir[row] ?? 2000) : 1000;
  },
});
const fractions = { cloudFraction: 1 / 63, shadowFraction: 1 / 63, validFraction: 63 / 64 };
const about = { model: 'clouds', version: '1', tier: 'primary', degraded: false, reason: null };
const row = (value: number) => Array<number>(72).fill(value);
const mask = [row(0), row(1), row(2), row(255), ...Array.from({ length: 60 }, () => row(0))];

const modelsDir = makeCloudsModels({ clouds: 'weather', 'clouds-index': 'index' });
const { later, startReady } = cleanAfterAll();
later(() => rmSync(modelsDir, { recursive: true }));
let fn: RunningFunction;
beforeAll(async () => {
  // The contract is tried, not the speed.
  const patience = { DEADLINE_MS: '30000', PRIMARY_BUDGET_MS: '29999' };
  fn = await startReady('clouds', { MODELS_DIR: modelsDir, WORKERS: '1', ...patience });
});

describe('POST /infer', () => {
  it('answers a raw GeoTIFF with the whole mask in JSON', async () => {
    const response = await infer(fn, file);

    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('vary')).toBe('Accept');
    expect(response.headers.get('x-model')).toBe('clouds');
    expect(response.headers.get('x-degraded')).toBeNull();
    expect(response.headers.get('server-timing')).toMatch(/^upload;dur=.*, decode;.*, queue;.*, model;/);
    expect(await response.json()).toEqual({ ...about, width: 72, height: 64, ...fractions, mask });
  });

  it.each([
    ['image/tiff', 'patch.tif'],
    ['application/octet-stream', 'patch'],
    ['image/tiff', undefined],
  ])('answers a form with a file of type %s called %s', async (type, name) => {
    const form = new FormData();
    form.append('note', 'a text');
    form.append('image', new Blob([new Uint8Array(file)], { type }), name ?? 'blob');

    const response = await documentedFetch(`${fn.url}/infer`, { method: 'POST', body: form });

    expect(await response.json()).toMatchObject({ ...about, ...fractions });
  });

  it.each(['application/octet-stream', 'image/tiff; application=geotiff'])(
    'answers a body of type %s',
    async (type) => {
      expect((await infer(fn, file, { headers: { 'content-type': type } })).status).toBe(200);
    },
  );

  it('answers runs in JSON, whatever the Accept header', async () => {
    const response = await infer(fn, file, { query: '?format=rle', headers: { accept: 'image/png' } });

    expect(response.headers.get('content-type')).toBe('application/json');
    const runs = { values: [0, 1, 2, 255, 0], counts: [72, 72, 72, 72, 60 * 72] };
    expect(await response.json()).toEqual({ ...about, width: 72, height: 64, ...fractions, mask: runs });
  });

  it.each(['image/png', 'image/tiff'])('answers %s with the same in headers', async (accept) => {
    const response = await infer(fn, file, { headers: { accept } });

    const headers = Object.fromEntries(response.headers);
    expect(headers).toMatchObject({
      'content-type': accept,
      vary: 'Accept',
      'x-model': 'clouds',
      'x-model-version': '1',
      'x-tier': 'primary',
      'x-cloud-fraction': String(fractions.cloudFraction),
      'x-shadow-fraction': String(fractions.shadowFraction),
      'x-valid-fraction': String(fractions.validFraction),
    });
    const body = await response.arrayBuffer();
    if (accept === 'image/png') {
      expect(await sharp(new Uint8Array(body)).metadata()).toMatchObject({ format: 'png', width: 72, height: 64 });
      return;
    }
    const image = await (await fromArrayBuffer(body)).getImage();
    const input = await (await fromArrayBuffer(new Uint8Array(file).buffer)).getImage();
    expect(image.getBoundingBox()).toEqual(input.getBoundingBox());
    expect(image.getGeoKeys()).toEqual(input.getGeoKeys());
    expect([...((await image.readRasters())[0] as Uint8Array)]).toEqual(mask.flat());
  });

  it('grows clouds when asked to', async () => {
    const { mask, cloudFraction } = await (await infer(fn, file, { query: '?dilate=1' })).json();

    expect(mask.slice(0, 5)).toEqual([row(1), row(1), row(1), row(255), row(0)]);
    expect(cloudFraction).toBe(3 / 63);
  });

  it('answers the patch of the quick start', async () => {
    const response = await infer(fn, readFileSync('tests/images/patch.tif'));

    expect(await response.json()).toMatchObject({ ...about, width: 128, height: 128, validFraction: 1 });
  });

  it.each([
    ['the level', { items: {} }, '?level=L2A'],
    ['the bands', { bands: [null, null, null, null, null] }, '?bands=B08,B04,-,B03,B02'],
    ['both', { items: {}, bands: [null, null, null, null] }, '?bands=B02,B03,B04,B08&level=L1C&offset=0'],
  ])('asks for %s that it cannot know, and takes the answer', async (_, drawing, query) => {
    const unknown = drawGeoTiff(drawing);

    expect(await (await infer(fn, unknown)).json()).toMatchObject({ code: 'PARAMETER_INVALID', status: 400 });
    expect((await infer(fn, unknown, { query })).status).toBe(200);
  });

  interface Asked {
    query?: string;
    headers?: Record<string, string>;
    body?: Uint8Array;
  }

  it.each<[string, number, Asked]>([
    ['PARAMETER_INVALID', 400, { query: '?dilate=33' }],
    ['PARAMETER_INVALID', 400, { query: '?bands=B02,B03,B04' }],
    ['PARAMETER_INVALID', 400, { query: '?level=L1B' }],
    ['PARAMETER_INVALID', 400, { query: '?offset=500' }],
    ['PARAMETER_INVALID', 400, { query: '?format=png' }],
    ['PARAMETER_INVALID', 400, { body: drawGeoTiff({ bands: Array(10).fill(null) }) }],
    ['UPLOAD_UNSUPPORTED', 415, { headers: { 'content-type': 'image/jpeg' } }],
    ['UPLOAD_UNSUPPORTED', 415, { headers: { 'content-encoding': 'gzip' } }],
    ['UPLOAD_EMPTY', 400, { body: new Uint8Array() }],
    ['UPLOAD_TOO_LARGE', 413, { body: new Uint8Array(16_777_217) }],
    ['IMAGE_UNSUPPORTED', 422, { body: new Uint8Array(16_777_216) }],
    ['IMAGE_UNSUPPORTED', 422, { body: readFileSync('tests/images/test_image_1.jpg') }],
    ['IMAGE_UNREADABLE', 422, { body: file.subarray(0, 500) }],
    ['IMAGE_TOO_MANY_PIXELS', 422, { body: drawGeoTiff({ width: 1025, value: () => 1 }) }],
  ])('answers %s with %d', async (code, status, { query, headers, body = file }) => {
    const response = await infer(fn, body, { ...(query && { query }), ...(headers && { headers }) });

    await expectFault(response, code, status);
  });
});

describe('the function', () => {
  it('says at / which model answers, and at /v2 what that takes', async () => {
    const json = async (path: string) => (await documentedFetch(fn.url + path)).json();

    expect(await json('/')).toEqual({ status: 'ready', model: 'clouds', version: '1' });
    expect(await json('/v2')).toMatchObject({ name: 'understudy-clouds' });
    expect(await json('/v2/models/clouds-index')).toMatchObject({
      inputs: [{ name: 'bands', datatype: 'FP32', shape: [1, 4, -1, -1] }],
      outputs: [{ name: 'logits', datatype: 'FP32', shape: [1, 3, -1, -1] }],
    });
  });

  it('logs what a patch was', async () => {
    await infer(fn, file, { headers: { 'x-request-id': 'told' } });
    await sleep(50);

    const line = fn.lines.find(({ requestId }) => requestId === 'told');

    expect(line).toMatchObject({
      route: 'clouds',
      status: 200,
      width: 72,
      height: 64,
      level: 'L2A',
      bands: 'B02 B03 B04 B08',
    });
  });
});
