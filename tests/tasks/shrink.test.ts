import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import sharp, { type JpegOptions } from 'sharp';
import { decodeImage } from '../../functions/tasks/image/image.ts';
import { scan } from '../../functions/tasks/image/scan.ts';
import { reductions, shrinkJpeg } from '../../functions/tasks/image/shrink.ts';
import { assemble } from '../support/assemble.ts';
import { type FixtureName, fixture, orientedJpeg } from '../support/fixtures.ts';
import { decodeReduced } from '../support/reduced.ts';

const recipe = { resize: 72, crop: 72 };
const maxPixels = 40_000_000;
const photos = [1, 2, 3].map((n) => readFileSync(`tests/images/test_image_${n}.jpg`));
const [photo] = photos as [Buffer];

function meanDifference(actual: Uint8Array, expected: Uint8Array): number {
  return actual.reduce((sum, value, i) => sum + Math.abs(value - (expected[i] as number)), 0) / expected.length;
}

/** The mean of each square of pixels that is whole, and how many there are across and down. */
async function meansOf(jpeg: Buffer, reduction: number) {
  const raw = sharp(jpeg, { ignoreIcc: true }).toColourspace('srgb').raw();
  const { data, info } = await raw.toBuffer({ resolveWithObject: true });
  const [width, height] = [Math.floor(info.width / reduction), Math.floor(info.height / reduction)];
  const means = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y, channel] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    let sum = 0;
    for (let row = y * reduction; row < (y + 1) * reduction; row++) {
      for (let column = x * reduction; column < (x + 1) * reduction; column++) {
        sum += data[(row * info.width + column) * 3 + channel] as number;
      }
    }
    return Math.round(sum / reduction ** 2);
  });
  return { means, window: { left: 0, top: 0, width, height } };
}

/** A part of a photo, so that its sides are no multiples of 16, encoded anew. */
const encoded = (options: JpegOptions, isGray = false) =>
  sharp(photo)
    .extract({ left: 100, top: 50, width: 203, height: 155 })
    .grayscale(isGray)
    .jpeg({ quality: 90, ...options })
    .toBuffer();

describe.each(reductions)('shrinkJpeg by %i', (reduction) => {
  it.each([
    ['with full colors', () => encoded({ chromaSubsampling: '4:4:4' })],
    ['with a quarter of the colors', () => encoded({ chromaSubsampling: '4:2:0' })],
    ['in gray', () => encoded({}, true)],
    ['with tables of its own', () => encoded({ optimizeCoding: true, quality: 40 })],
  ])('gives the means of the pixels of a JPEG %s', async (_what, make) => {
    const jpeg = await make();
    const { means, window } = await meansOf(jpeg, reduction);

    const pixels = shrinkJpeg(jpeg, reduction, window) as Uint8Array;

    // Measured: 0.5 at most; colors that are stored at half the size are spread otherwise.
    expect(meanDifference(pixels, means)).toBeLessThan(0.8);
  });

  it('gives a window of it', async () => {
    const jpeg = await encoded({});
    const whole = shrinkJpeg(jpeg, reduction, { left: 0, top: 0, width: 25, height: 19 }) as Uint8Array;

    const part = shrinkJpeg(jpeg, reduction, { left: 7, top: 5, width: 11, height: 3 });

    const rows = [5, 6, 7].flatMap((y) => [...whole.subarray((y * 25 + 7) * 3, (y * 25 + 18) * 3)]);
    expect([...(part as Uint8Array)]).toEqual(rows);
  });
});

const segment = (code: number, ...payload: number[]) => [0xff, code, 0, payload.length + 2, ...payload];
/** Codes 0, 10 and 110 for differences of 0, 4 and 8 bits; 0 and 10 for the end of a block and a run of zeros. */
const huffman = [
  ...segment(0xc4, 0x00, 1, 1, 1, ...Array<number>(13).fill(0), 0, 4, 8),
  ...segment(0xc4, 0x10, 1, 1, ...Array<number>(14).fill(0), 0x00, 0xf0),
];
const frameOf = ({ code = 0xc0, components = 1, ids = [1, 2, 3] } = {}) => {
  const each = ids.slice(0, components).flatMap((id) => [id, 0x11, 0]);
  return segment(code, 8, 0, 8, 0, 24, components, ...each);
};
const scanOf = (components = 1, ids = [1, 2, 3]) =>
  segment(0xda, components, ...ids.slice(0, components).flatMap((id) => [id, 0x00]), 0, 63, 0);
const quantization = segment(0xdb, 0, ...Array<number>(64).fill(16));
const everyBlock = segment(0xdd, 0, 1);
/** Three gray blocks of 8 x 8 with a restart marker behind each: 15 steps above the middle, 8 below and none. */
const blocks = [0b10_1111_0_1, 0xff, 0xd0, 0b10_0111_0_1, 0xff, 0xd1, 0b0_0_111111];

function jpegOf(...parts: readonly (readonly number[])[]): Buffer {
  return Buffer.from([[0xff, 0xd8], ...parts, [0xff, 0xd9]].flat());
}

describe('shrinkJpeg', () => {
  const window = { left: 0, top: 0, width: 3, height: 1 };
  const head = [quantization, huffman];

  it('begins anew at each restart marker', () => {
    const jpeg = jpegOf(...head, everyBlock, frameOf(), scanOf(), blocks);

    const pixels = shrinkJpeg(jpeg, 8, window) as Uint8Array;

    // A step is 16, and an eighth of it is what each pixel changes by.
    expect([...pixels]).toEqual([158, 158, 158, 112, 112, 112, 128, 128, 128]);
  });

  it.each([
    ['that is progressive', [...head, frameOf({ code: 0xc2 }), scanOf(), blocks]],
    ['that is coded arithmetically', [...head, frameOf({ code: 0xc9 }), scanOf(), blocks]],
    ['of two components', [...head, frameOf({ components: 2 }), scanOf(2), blocks]],
    ['that is called RGB', [...head, frameOf({ components: 3, ids: [82, 71, 66] }), scanOf(3, [82, 71, 66]), blocks]],
    ['whose components have scans of their own', [...head, frameOf({ components: 3 }), scanOf(1), blocks]],
    ['without its quantization', [huffman, frameOf(), scanOf(), blocks]],
    ['without its codes', [quantization, frameOf(), scanOf(), blocks]],
    ['without a frame', [...head, scanOf(), blocks]],
    ['with two frames', [...head, frameOf(), frameOf(), scanOf(), blocks]],
    [
      'with more codes than there are',
      [...head, segment(0xc4, 0, 3, ...Array(15).fill(0), 0, 4, 8), frameOf(), scanOf()],
    ],
    ['whose restart marker is misnumbered', [...head, everyBlock, frameOf(), scanOf(), [0xbd, 0xff, 0xd1]]],
    ['without its restart marker', [...head, everyBlock, frameOf(), scanOf(), [0xbd, 0xbd, 0xbd]]],
    ['whose scan is cut short', [...head, frameOf(), scanOf(), [0xbd]]],
    ['with a code that does not exist', [...head, frameOf(), scanOf(), [0xfe, 0xfe, 0xfe, 0xfe]]],
    ['that is nothing but a start', []],
  ])('leaves one %s to others', (_what, parts) => {
    expect(shrinkJpeg(jpegOf(...(parts as number[][])), 8, window)).toBeUndefined();
  });

  it('leaves a window beyond the image to others', () => {
    const jpeg = jpegOf(...head, everyBlock, frameOf(), scanOf(), blocks);

    expect(shrinkJpeg(jpeg, 8, { ...window, left: 1 })).toBeUndefined();
    expect(shrinkJpeg(jpeg, 8, { ...window, height: 2 })).toBeUndefined();
  });

  it('leaves whatever is no JPEG any more to others, at any place where it ends', () => {
    for (let length = 0; length < 2000; length += 13) {
      expect(shrinkJpeg(photo.subarray(0, length), 4, { left: 0, top: 0, width: 120, height: 90 })).toBeUndefined();
    }
  });

  it('runs what scan.wat says', async () => {
    expect(await assemble('scan')).toBe(scan);
  });
});

describe('a reduced image', () => {
  it.each([1, 2, 3])('gives nearly the pixels of tests/images/test_image_%i.jpg', async (n) => {
    const bytes = photos[n - 1] as Buffer;
    const exact = await decodeImage(bytes, recipe, maxPixels);

    const reduced = await decodeReduced(bytes, recipe, maxPixels);

    expect(reduced).toMatchObject({ sourceWidth: exact.sourceWidth, sourceHeight: exact.sourceHeight });
    expect(meanDifference(reduced.pixels.data, exact.pixels.data)).toBeLessThan(3);
    expect(reduced.pixels.data).not.toEqual(exact.pixels.data);
    expect(reduced.pixels.data.buffer.byteLength).toBe(72 * 72 * 3);
  });

  it.each<FixtureName>(['png', 'webp', 'gif', 'avif', 'cmykJpeg', 'progressiveJpeg', 'jpeg'])(
    'gives the exact pixels of %s, which has no smaller ones',
    async (name) => {
      const bytes = await fixture(name);

      expect(await decodeReduced(bytes, recipe, maxPixels)).toEqual(await decodeImage(bytes, recipe, maxPixels));
    },
  );

  it.each([1, 3, 6, 8])('turns EXIF orientation %i', async (orientation) => {
    const bytes = await orientedJpeg(orientation);
    const small = { resize: 8, crop: 8 };
    const exact = await decodeImage(bytes, small, maxPixels);

    const reduced = await decodeReduced(bytes, small, maxPixels);

    expect(reduced).toMatchObject({ sourceWidth: exact.sourceWidth, sourceHeight: exact.sourceHeight });
    expect(meanDifference(reduced.pixels.data, exact.pixels.data)).toBeLessThan(12);
  });

  it.each(['jpeg', 'webp'] as const)('gives nearly the pixels of a large %s', async (format) => {
    const bytes = await sharp(photo).resize(1280, 960).toFormat(format, { effort: 0 }).toBuffer();
    const exact = await decodeImage(bytes, recipe, maxPixels);

    const reduced = await decodeReduced(bytes, recipe, maxPixels);

    expect(reduced).toMatchObject({ sourceWidth: 1280, sourceHeight: 960 });
    expect(meanDifference(reduced.pixels.data, exact.pixels.data)).toBeLessThan(3);
  });

  it.each<FixtureName>(['jpegWithoutItsEnd', 'truncatedJpeg', 'pngWithoutItsEnd', 'webpWithoutItsEnd'])(
    'refuses %s with IMAGE_UNREADABLE',
    async (name) => {
      const decoding = decodeReduced(await fixture(name), { resize: 8, crop: 8 }, maxPixels);

      await expect(decoding).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
    },
  );

  it('answers 300 mutated JPEGs with pixels or an image problem', async () => {
    const codes = new Set<unknown>();
    let state = 1;
    const random = (limit: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    const source = await encoded({});

    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(source);
      // Every other one in its headers, where sizes and tables are.
      for (let change = 0; change < 3; change++) bytes[random(round % 2 ? 700 : bytes.length)] = random(256);
      const result = await decodeReduced(bytes, recipe, maxPixels).catch((fault: unknown) => fault);
      codes.add(result instanceof Error ? (result as { code?: unknown }).code : 'pixels');
    }

    const possible = ['pixels', 'IMAGE_UNSUPPORTED', 'IMAGE_UNREADABLE', 'IMAGE_TOO_MANY_PIXELS'];
    expect(possible).toEqual(expect.arrayContaining([...codes]));
    expect(codes).toContain('pixels');
  }, 60_000);

  it('refuses an image above the limit with IMAGE_TOO_MANY_PIXELS', async () => {
    const decoding = decodeReduced(photo, recipe, 480 * 360 - 1);

    await expect(decoding).rejects.toMatchObject({ code: 'IMAGE_TOO_MANY_PIXELS' });
  });
});
