import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { decodeBlock } from '../../functions/tasks/clouds/decoders.ts';
import type { Layout } from '../../functions/tasks/clouds/layout.ts';
import { type Drawing, drawGeoTiff } from '../support/geotiff.ts';
import { packBits, packLzw, packZstd } from '../support/pack.ts';
import { numbersOf, read } from '../support/patches.ts';

const [width, height] = [90, 75];
/** Hard to compress, and other in each band. */
const numberAt = (band: number, pixel: number) => ((pixel * 7919 + band * 104_729) ^ ((pixel * pixel) % 911)) % 9001;

/** Each compression with each type, predictor, order of bytes, and form of blocks at least once. */
const drawings: Drawing[] = [
  { compression: 'none' },
  { compression: 'none', isBigEndian: true, isPlanar: true, tile: [32, 48] },
  { compression: 'none', type: 'float32', isBigEndian: true, isBigTiff: true },
  { compression: 'deflate', predictor: 2, isBigEndian: true },
  { compression: 'adobe', type: 'int16', predictor: 2, tile: [32, 48] },
  { compression: 'adobe', type: 'float32', predictor: 3, isPlanar: true },
  { compression: 'adobe', type: 'float32', predictor: 3, isBigEndian: true, tile: [16, 16] },
  { compression: 'lzw' },
  { compression: 'lzw', predictor: 2, isBigEndian: true, isPlanar: true, rowsPerStrip: 1 },
  { compression: 'lzw', type: 'float32', predictor: 3, tile: [128, 128], isBigTiff: true },
  { compression: 'packbits', type: 'int16', isBigTiff: true, isBigEndian: true },
  { compression: 'packbits', tile: [96, 80] },
];

const fixtures = [
  'zstd',
  'zstd-tiled',
  'zstd-float',
  'lzw-tiled',
  'lzw-big-endian',
  'packbits',
  'deflate-float',
  'deflate-big',
  'cloud-optimized',
];

describe('the numbers of a GeoTIFF', () => {
  it.each(drawings)('are those that were written with %j', async (drawing) => {
    const scale = drawing.type === 'float32' ? 10_000 : 1;
    const value = (band: number, pixel: number) => numberAt(band, pixel) / scale;

    const patch = await read(drawGeoTiff({ rowsPerStrip: 13, ...drawing, width, height, value }));

    expect(patch).toMatchObject({ width, height, bands: ['B02', 'B03', 'B04', 'B08'], level: 'L2A' });
    for (const [band, name] of patch.bands.entries()) {
      expect(numbersOf(patch, name)).toEqual(
        Array.from({ length: width * height }, (_, pixel) => numberAt(band, pixel)),
      );
    }
  });

  it.each(fixtures)('are those that GDAL wrote into %s.tif', async (name) => {
    const patch = await read(readFileSync(`tests/tasks/clouds/${name}.tif`));

    expect(patch).toMatchObject({ width: 80, height: 72, bands: ['B02', 'B03', 'B04', 'B08'], level: 'L1C' });
    for (const [band, name] of patch.bands.entries()) {
      const expected = Array.from({ length: 80 * 72 }, (_, pixel) => {
        const [x, y] = [pixel % 80, Math.floor(pixel / 80)];
        return (3 * x + 5 * y + 700 * band + Math.floor((x * y) / 16)) % 9000;
      });
      expect(numbersOf(patch, name)).toEqual(expected);
    }
  });

  it('are 0 in blocks that the file leaves out', async () => {
    const sparse = { tags: { 279: { type: 'long', values: [0, 0, 0, 0] } } } as const;

    const patch = await read(drawGeoTiff({ rowsPerStrip: 16, ...sparse }));

    expect(new Set(numbersOf(patch, 'B04'))).toEqual(new Set([0]));
  });
});

/** 16x16 numbers of 2 bytes. */
const layout: Layout = {
  width: 64,
  height: 64,
  bandCount: 1,
  elementType: 'uint16',
  compression: 'none',
  predictor: 1,
  isPlanar: false,
  isLittleEndian: true,
  isTiled: true,
  blockWidth: 16,
  blockHeight: 16,
};
const whole = 512;

const packers: [Layout['compression'], (length: number) => Uint8Array][] = [
  ['deflate', (length) => deflateSync(Buffer.alloc(length, 7))],
  ['lzw', (length) => packLzw(Buffer.alloc(length, 7))],
  ['packbits', (length) => packBits(Buffer.alloc(length, 7))],
  ['zstd', (length) => packZstd(7, length)],
];

describe.each(packers)('a block by %s', (compression, pack) => {
  const decode = async (length: number) => {
    return new Uint8Array(await decodeBlock(pack(length), { ...layout, compression }));
  };

  it.each([whole - 2, whole])('of %d bytes is what was packed', async (length) => {
    expect(await decode(length)).toEqual(new Uint8Array(length).fill(7));
  });

  it.each([whole + 1, 2 * whole, 4_000_000])('of %d bytes is never more than the header says', async (length) => {
    const decoded = await decode(length).catch(() => new Uint8Array());

    expect(decoded.length).toBeLessThanOrEqual(whole);
  });

  it('that is cut in its middle gives less or a fault', async () => {
    const bytes = pack(whole);

    const decoded = await decodeBlock(bytes.subarray(0, bytes.length >> 1), { ...layout, compression }).catch(() => {});

    expect(decoded?.byteLength ?? 0).toBeLessThan(whole);
  });
});
