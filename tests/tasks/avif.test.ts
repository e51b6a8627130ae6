import { describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { isAvif, isGrayOfLimitedRange } from '../../functions/tasks/image/avif.ts';
import { decodeImage } from '../../functions/tasks/image/image.ts';
import { fixture } from '../support/fixtures.ts';

const recipe = { resize: 16, crop: 16 };
const maxPixels = 1_000_000;

/** With other brands: the major one and three compatible ones, as many as libheif writes. */
async function branded(major: string, ...compatible: readonly string[]): Promise<Buffer> {
  const avif = Buffer.from(await fixture('avif'));
  expect(avif.readUInt32BE(0)).toBe(28);
  avif.write(major, 8, 'latin1');
  avif.write(compatible.join(''), 16, 'latin1');
  return avif;
}

// Eight steps from black to white, 4 x 16 pixels each, made by Pillow with range='limited'; the levels are what Pillow reads.
const steps = Buffer.from(
  'AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOltZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5waXRtAAAAAAABAAAAHmlsb2' +
    'MAAAAARAAAAQABAAAAAQAAAQ0AAAArAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9yAAAAAGhpcHJwAAAASWlwY28AAAAUaXNwZQAAAAAAAAAg' +
    'AAAAEAAAAA5waXhpAAAAAAEIAAAADGF2MUOBABwAAAAAE2NvbHJuY2x4AAEADQAGAAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAM21kYXQSAAoIGBD/7TAQ0GIyHU' +
    'RBqkAAeQCA5I3cHmzFc/RiK2IJyVYWUqoZdiTg',
  'base64',
);

describe('decodeImage of an AVIF', () => {
  it.each([
    ['avis', 'avif', 'mif1', 'miaf'],
    ['miaf', 'mif1', 'miaf', 'avif'],
    ['MA1B', 'avif', 'miaf', 'mif1'],
    ['mif1', 'avif', 'miaf', 'mif1'],
    ['msf1', 'avis', 'avif', 'iso8'],
    ['mif1', 'avis', 'miaf', 'iso8'],
  ])('takes one of the major brand %s with %s', async (major, ...compatible) => {
    const expected = await decodeImage(await fixture('avif'), recipe, maxPixels);

    expect(await decodeImage(await branded(major, ...compatible), recipe, maxPixels)).toEqual(expected);
  });

  it.each([
    ['heic', 'mif1', 'heic', 'miaf'],
    ['mif1', 'heic', 'miaf', 'mif1'],
  ])('refuses one of the major brand %s with %s with IMAGE_UNSUPPORTED', async (major, ...compatible) => {
    await expect(decodeImage(await branded(major, ...compatible), recipe, maxPixels)).rejects.toMatchObject({
      code: 'IMAGE_UNSUPPORTED',
    });
  });

  it('looks for brands within their box alone', () => {
    const box = Buffer.from('\0\0\0\x14ftypmif1\0\0\0\0heicavif', 'latin1');

    expect(isAvif(box)).toBe(false);
    box[3] = 0x18;
    expect(isAvif(box)).toBe(true);
  });

  it('expands gray of limited range', async () => {
    const { pixels } = await decodeImage(steps, recipe, maxPixels);

    const levels = [1, 5, 9, 13].map((x) => pixels.data[(8 * 16 + x) * 3]);
    expect(levels).toEqual([73, 109, 146, 182]);
  });

  it('answers whatever its boxes say', async () => {
    const boxes = steps.length - 51;
    for (let at = 28; at < boxes; at++) {
      for (const value of [0, 1, 255]) {
        const changed = Buffer.from(steps);
        changed[at] = value;
        expect(typeof isGrayOfLimitedRange(changed)).toBe('boolean');
      }
      expect(typeof isGrayOfLimitedRange(steps.subarray(0, at))).toBe('boolean');
    }
  });

  it('leaves gray of full range as it is', async () => {
    const gray = await sharp(
      Uint8Array.from({ length: 256 }, (_, i) => i),
      { raw: { width: 16, height: 16, channels: 1 } },
    )
      .avif({ lossless: true, effort: 0 })
      .toBuffer();
    const { pixels } = await decodeImage(gray, recipe, maxPixels);

    expect([0, 100, 255].map((i) => pixels.data[3 * i])).toEqual([0, 100, 255]);
  });
});
