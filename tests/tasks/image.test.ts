import { describe, expect, it } from '@jest/globals';
import { decodeImage, type Image } from '../../functions/tasks/image/image.ts';
import { type FixtureName, fixture, orientedJpeg } from '../support/fixtures.ts';

const recipe = { resize: 64, crop: 64 };
const maxPixels = 40_000_000;

async function decode(name: FixtureName): Promise<Image> {
  return decodeImage(await fixture(name), recipe, maxPixels);
}

/** Red, green and blue of one pixel. */
function colorAt({ pixels }: Image, x: number, y: number): number[] {
  return [...pixels.data.subarray((y * pixels.width + x) * 3, (y * pixels.width + x) * 3 + 3)];
}

describe('decodeImage', () => {
  it.each<[FixtureName, number, number]>([
    ['jpeg', 96, 80],
    ['progressiveJpeg', 96, 80],
    ['jpegWithTail', 96, 80],
    ['png', 40, 30],
    ['webp', 40, 30],
    ['gif', 40, 30],
    ['avif', 32, 24],
    ['grayJpeg', 40, 30],
    ['cmykJpeg', 40, 30],
    ['alphaPng', 40, 30],
    ['deepPng', 40, 30],
    ['deepGrayPng', 40, 30],
    ['palettePng', 40, 30],
    ['animatedGif', 12, 10],
    ['animatedWebp', 12, 10],
    ['onePixel', 1, 1],
    ['column', 1, 5000],
    ['row', 5000, 1],
  ])('gives 64 x 64 RGB pixels and the size of %s', async (name, width, height) => {
    const image = await decode(name);

    expect(image).toMatchObject({ sourceWidth: width, sourceHeight: height, pixels: { width: 64, height: 64 } });
    expect(image.pixels.data).toHaveLength(64 * 64 * 3);
    expect(image.pixels.data.buffer.byteLength).toBe(64 * 64 * 3);
  });

  it.each<FixtureName>(['zeroBytes', 'oneByte', 'text', 'svg', 'pdf', 'tiff', 'heic'])(
    'refuses %s with IMAGE_UNSUPPORTED',
    async (name) => {
      await expect(decode(name)).rejects.toMatchObject({ code: 'IMAGE_UNSUPPORTED' });
    },
  );

  it.each<FixtureName>([
    'truncatedJpeg',
    'truncatedPng',
    'truncatedAvif',
    'jpegWithoutItsEnd',
    'pngWithoutItsEnd',
    'webpWithoutItsEnd',
    'gifWithoutItsEnd',
    'jpegOfThreeBytes',
    'pngSignature',
    'corruptPng',
  ])('refuses %s with IMAGE_UNREADABLE', async (name) => {
    await expect(decode(name)).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
  });

  it('refuses an AVIF container around another codec', async () => {
    await expect(decode('avifOfAnotherCodec')).rejects.toMatchObject({
      code: expect.stringMatching(/^IMAGE_(UNSUPPORTED|UNREADABLE)$/),
    });
  });

  it('says what it expects and nothing that the library said', async () => {
    await expect(decode('truncatedJpeg')).rejects.toThrow(
      /^Expected a complete and valid image for the upload but received one that cannot be decoded$/,
    );
  });

  it('refuses a GIF whose frame claims to be larger than its file could be with IMAGE_TOO_MANY_PIXELS', async () => {
    await expect(decode('gifOfForgedFrame')).rejects.toMatchObject({ code: 'IMAGE_TOO_MANY_PIXELS' });
  });

  it('refuses a decompression bomb with IMAGE_TOO_MANY_PIXELS', async () => {
    await expect(decode('bomb')).rejects.toMatchObject({
      code: 'IMAGE_TOO_MANY_PIXELS',
      message: 'Expected at most 40000000 pixels for the image but received 8000 x 5001',
    });
  });

  it.each([
    [96 * 80 + 1, 'below'],
    [96 * 80, 'at'],
  ])('takes an image of 7680 pixels where %i are allowed (%s the limit)', async (limit) => {
    await expect(decodeImage(await fixture('jpeg'), recipe, limit)).resolves.toMatchObject({ sourceWidth: 96 });
  });

  it('refuses an image one pixel above the limit with IMAGE_TOO_MANY_PIXELS', async () => {
    await expect(decodeImage(await fixture('jpeg'), recipe, 96 * 80 - 1)).rejects.toMatchObject({
      code: 'IMAGE_TOO_MANY_PIXELS',
    });
  });

  it.each<FixtureName>(['animatedGif', 'animatedWebp'])('counts and shows the first frame of %s', async (name) => {
    const image = await decodeImage(await fixture(name), recipe, 12 * 10);

    expect(colorAt(image, 32, 32)).toEqual([255, 0, 0]);
  });

  it.each([
    [1, 24, 16, 'top'],
    [2, 24, 16, 'top'],
    [3, 24, 16, 'bottom'],
    [4, 24, 16, 'bottom'],
    [5, 16, 24, 'left'],
    [6, 16, 24, 'right'],
    [7, 16, 24, 'right'],
    [8, 16, 24, 'left'],
  ] as const)(
    'turns EXIF orientation %i to %i x %i with the first stored row at the %s',
    async (orientation, width, height, side) => {
      const image = await decodeImage(await orientedJpeg(orientation), recipe, maxPixels);

      const [x, y] = { top: [32, 4], bottom: [32, 60], left: [4, 32], right: [60, 32] }[side];
      const [red, , blue] = colorAt(image, x as number, y as number) as [number, number, number];
      expect(image).toMatchObject({ sourceWidth: width, sourceHeight: height });
      expect(red).toBeGreaterThan(250);
      expect(blue).toBeLessThan(5);
    },
  );

  it('drops alpha and keeps the color below it', async () => {
    const [opaque, transparent] = await Promise.all([decode('png'), decode('alphaPng')]);

    expect(transparent.pixels.data).toEqual(opaque.pixels.data);
  });

  it('gives a 16-bit image the pixels of its 8-bit twin', async () => {
    const [eight, sixteen] = await Promise.all([decode('png'), decode('deepPng')]);

    expect(sixteen.pixels.data).toEqual(eight.pixels.data);
  });

  it('reads an image that lies in the middle of a longer buffer', async () => {
    const bytes = await fixture('png');
    const surrounded = Buffer.concat([Buffer.alloc(100, 1), bytes, Buffer.alloc(100, 1)]);

    const image = await decodeImage(surrounded.subarray(100, 100 + bytes.length), recipe, maxPixels);

    expect(image.pixels.data).toEqual((await decode('png')).pixels.data);
  });
});
