import { describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { isAvif } from '../functions/shared/avif.ts';
import { decodeImage } from '../functions/shared/image.ts';
import { fixture } from './support/fixtures.ts';

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
    // Eight steps from black to white, 4 x 16 pixels each, made by Pillow with range='limited'; the levels are what Pillow reads.
    const steps =
      'AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOltZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5waXRtAAAAAAABAAAAHmlsb2' +
      'MAAAAARAAAAQABAAAAAQAAAQ0AAAArAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9yAAAAAGhpcHJwAAAASWlwY28AAAAUaXNwZQAAAAAAAAAg' +
      'AAAAEAAAAA5waXhpAAAAAAEIAAAADGF2MUOBABwAAAAAE2NvbHJuY2x4AAEADQAGAAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAM21kYXQSAAoIGBD/7TAQ0GIyHU' +
      'RBqkAAeQCA5I3cHmzFc/RiK2IJyVYWUqoZdiTg';
    const { pixels } = await decodeImage(Buffer.from(steps, 'base64'), recipe, maxPixels);

    const levels = [1, 5, 9, 13].map((x) => pixels.data[(8 * 16 + x) * 3]);
    expect(levels).toEqual([73, 109, 146, 182]);
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
