import { monitorEventLoopDelay } from 'node:perf_hooks';
import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createReader } from '../../functions/tasks/clouds/reader.ts';
import { badFiles, oddFiles, refusedCompressions } from '../support/bad-files.ts';
import { drawGeoTiff } from '../support/geotiff.ts';
import { read, refusal } from '../support/patches.ts';

const ask = { dilate: 0, form: 'json' } as const;
const mebibytes = () => process.memoryUsage.rss() / 2 ** 20;

/** Far above what an idle machine needs, since other tests run beside this one; without the bounds it is 7 to 40 s. */
const patienceMs = 5000;
const loopMs = 1000;

describe('a bad file', () => {
  const reader = createReader();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  beforeAll(async () => {
    await reader.read(drawGeoTiff(), ask);
  });
  afterAll(() => {
    delay.disable();
  });

  it.each(badFiles)(
    'with %s is refused soon, beside an event loop that runs, in little memory',
    async (_, make, code) => {
      const file = make();
      await new Promise(setImmediate); // what making it took
      const before = mebibytes();
      delay.enable();
      delay.reset();
      const startedMs = performance.now();

      const fault = await reader.read(file, ask).catch((fault) => fault);

      const ms = performance.now() - startedMs;
      delay.disable();
      expect({ code: fault.code, detail: fault.message }).toEqual({
        code,
        detail: expect.stringMatching(/^Expected .+ received/),
      });
      expect(fault.message).not.toMatch(/\n|geotiff@|zlib|zstddec|node:|\.js\b/);
      expect(ms).toBeLessThan(patienceMs);
      expect(delay.max / 1e6).toBeLessThan(loopMs);
      expect(mebibytes() - before).toBeLessThan(64);
    },
  );

  it.each(refusedCompressions)('of compression %d is refused by its name, %s', async (number, name) => {
    const [code, detail] = await refusal(drawGeoTiff({ tags: { 259: { type: 'short', values: [number] } } }));

    expect([code, detail]).toEqual(['IMAGE_UNSUPPORTED', expect.stringMatching(new RegExp(`received ${name}$`))]);
  });

  it.each(oddFiles)('is none with %s', async (_, make) => {
    expect(await reader.read(make(), ask)).toMatchObject({ width: 64, height: 64, level: 'L2A' });
  });
});

describe('the limits of a file', () => {
  it.each([
    [63, 64, 'IMAGE_UNSUPPORTED'],
    [64, 63, 'IMAGE_UNSUPPORTED'],
    [64, 64, 'OK'],
    [65, 1023, 'OK'],
    [64, 1024, 'OK'],
    [1024, 64, 'OK'],
    [1025, 64, 'IMAGE_TOO_MANY_PIXELS'],
    [64, 1025, 'IMAGE_TOO_MANY_PIXELS'],
  ])('of %d x %d pixels: %s', async (width, height, code) => {
    expect((await refusal(drawGeoTiff({ width, height, value: () => 7 })))[0]).toBe(code);
  });

  it.each([
    [31, 'OK'],
    [32, 'OK'],
    [33, 'IMAGE_UNSUPPORTED'],
  ])('of %d bands: %s', async (count, code) => {
    const bands = ['B02', 'B03', 'B04', 'B08', ...Array<null>(count - 4).fill(null)];

    expect((await refusal(drawGeoTiff({ bands, value: () => 7 })))[0]).toBe(code);
  });

  it.each([
    [1008, 'OK'],
    [1024, 'OK'],
    [1040, 'IMAGE_UNSUPPORTED'],
  ])('of tiles of 1024 x %d pixels of 16 bands: %s', async (tileHeight, code) => {
    const bands = ['B02', 'B03', 'B04', 'B08', ...Array<null>(12).fill(null)];
    const size = { 322: { type: 'short', values: [1024] }, 323: { type: 'short', values: [tileHeight] } } as const;
    const pack = () => deflateSync(Buffer.alloc(1024 * tileHeight * bands.length * 2));

    expect((await refusal(drawGeoTiff({ bands, tile: [64, 64], tags: size, pack })))[0]).toBe(code);
  });

  it.each([
    [16, 'IMAGE_UNREADABLE'], // whose strips are missing
    [17, 'IMAGE_TOO_MANY_PIXELS'],
  ])('of 1024 x 1024 pixels of %d bands of float32: %s', async (count, code) => {
    const side = { type: 'long', values: [1024] } as const;
    const tags = { 256: side, 257: side, 278: { type: 'long', values: [8] } } as const;

    const file = drawGeoTiff({ bands: Array(count).fill(null), type: 'float32', tags });

    expect((await refusal(file))[0]).toBe(code);
  });

  it.each([
    [4095, 'OK'],
    [4096, 'OK'],
    [4097, 'IMAGE_UNSUPPORTED'],
  ])('of %d numbers of coordinates: %s', async (count, code) => {
    const points = { type: 'double', values: Array<number>(count - 3).fill(1) } as const;

    expect((await refusal(drawGeoTiff({ tags: { 33922: points, 34735: null, 34737: null } })))[0]).toBe(code);
  });

  it('of its tags is 1 MiB', async () => {
    const file = (bytes: number) => {
      const tag = { type: 'byte', values: [], count: bytes, at: 8 } as const;
      return drawGeoTiff({ compression: 'none', width: 512, height: 512, tags: { 60000: tag } });
    };
    const others = 2000;

    expect((await read(file(1_048_576 - others))).width).toBe(512);
    expect((await refusal(file(1_048_577)))[1]).toContain('tags of more than 1048576 bytes');
  });
});
