import { rmSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { infer, makeCloudsModels } from '../support/clouds.ts';
import type { RunningFunction } from '../support/function.ts';
import { drawGeoTiff } from '../support/geotiff.ts';
import { cleanAfterEach, linesOf } from '../support/served.ts';

const clean = cleanAfterEach();

async function start(env: NodeJS.ProcessEnv, ...models: Parameters<typeof makeCloudsModels>): Promise<RunningFunction> {
  const dir = makeCloudsModels(...models);
  clean.later(() => rmSync(dir, { recursive: true }));
  return clean.start('clouds', { MODELS_DIR: dir, WORKERS: '1', ...env });
}

/** A patch whose first pixel is as blue as this; all else is clear to any model. */
const patchOfBlue = (blue: number, type: 'uint16' | 'int16' = 'uint16') =>
  drawGeoTiff({ type, value: (band, pixel) => (band === 0 && pixel === 0 ? blue : 1000 + band) });
const [calm, raising] = [patchOfBlue(1000), patchOfBlue(20_000)];

async function ask(fn: RunningFunction, file: Uint8Array, headers: Record<string, string> = {}) {
  const response = await infer(fn, file, { query: '?format=rle', headers });
  const { model, degraded, reason, code } = await response.json();
  return { status: response.status, model, degraded, reason, code };
}

const three = { chosen: 'weather', clouds: 'weather', 'clouds-index': 'index' } as const;
/** The chosen one knows one level, the embedded one the other. */
const levels = { chosen: { levels: ['L1C'] }, clouds: { levels: ['L2A'] } };

describe('a chain of three', () => {
  it('is led by the chosen model, then the embedded one, then the index test', async () => {
    const fn = await start({ CLOUDS_MODEL: 'chosen' }, three);
    await fn.ready();

    expect(await ask(fn, calm)).toMatchObject({ status: 200, model: 'chosen', degraded: false, reason: null });
    // Both networks raise.
    expect(await ask(fn, raising)).toMatchObject({
      status: 200,
      model: 'clouds-index',
      degraded: true,
      reason: 'error',
    });
    expect((await ask(fn, raising, { prefer: 'handling=strict' })).code).toBe('PRIMARY_REQUIRED');
  });

  it('passes over a model that does not know the level or the bands of a patch, which is no fault of it', async () => {
    const fn = await start({ CLOUDS_MODEL: 'chosen' }, three, levels);
    await fn.ready();

    for (let i = 0; i < 4; i += 1) {
      expect(await ask(fn, calm)).toMatchObject({ model: 'clouds', degraded: true, reason: 'error' });
    }
    const other = drawGeoTiff({ items: { LEVEL: 'L1C' } });
    expect(await ask(fn, other)).toMatchObject({ model: 'chosen', degraded: false });
  });

  it('is one of two where no other model is chosen', async () => {
    const fn = await start({}, { clouds: 'weather', 'clouds-index': 'index' });
    await fn.ready();

    expect(await ask(fn, calm)).toMatchObject({ model: 'clouds', degraded: false });
    const line = fn.lines.filter(({ message }) => message === 'worker ready').map(({ model }) => model);
    expect(line.sort()).toEqual(['clouds', 'clouds-index']);
  });

  it('begins with the embedded model where the chosen folder is missing', async () => {
    const fn = await start({ CLOUDS_MODEL: 'nowhere' }, { clouds: 'weather', 'clouds-index': 'index' });
    await linesOf(fn, 'worker ready', 2);

    expect(await ask(fn, calm)).toMatchObject({ status: 200, model: 'clouds', degraded: true, reason: 'error' });
  });

  it('takes no model that needs bands which a patch lacks', async () => {
    const swir = { bands: ['B02', 'B03', 'B04', 'B11'] };
    const fn = await start({}, { clouds: 'weather', 'clouds-index': 'index' }, { clouds: swir });
    await fn.ready();

    expect(await ask(fn, calm)).toMatchObject({ model: 'clouds-index', reason: 'error' });
  });
});

describe('the index test', () => {
  it('answers alone where there is no network', async () => {
    const fn = await start({ CLOUDS_MODEL: 'clouds-index' }, { 'clouds-index': 'index' });
    await fn.ready('degraded');

    expect(await ask(fn, raising)).toMatchObject({ status: 200, model: 'clouds-index' });
  });
});
