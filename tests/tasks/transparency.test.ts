import { describe, expect, it } from '@jest/globals';
import sharp, { type Sharp } from 'sharp';
import { decodeImage } from '../../functions/tasks/image/image.ts';
import { decodeReduced } from '../support/reduced.ts';

const maxPixels = 40_000_000;
const recipe = { resize: 8, crop: 8 };
const red = [220, 30, 20] as const;

/** Red where it is transparent, opaque red, and half of each: as product photos lie on a ground that nobody sees. */
function transparent(side: number, channels: 2 | 4 = 4): Sharp {
  const color = channels === 4 ? red : [200];
  const data = Uint8Array.from({ length: side * side * channels }, (_, i) => {
    const channel = i % channels;
    if (channel < channels - 1) return color[channel] as number;
    return ([0, 128, 255] as const)[Math.floor(i / channels / 16) % 3] as number;
  });
  return sharp(data, { raw: { width: side, height: side, channels } });
}

const sides = [
  ['a small', 64],
  ['a large', 1001],
] as const;

describe.each(sides)('decodeImage of %s picture', (_size, side) => {
  it.each<[string, () => Promise<Buffer>, readonly number[], number]>([
    ['PNG', () => transparent(side).png().toBuffer(), red, 0],
    ['PNG of 16 bits', () => transparent(side).toColourspace('rgb16').png().toBuffer(), red, 0],
    ['gray PNG', () => transparent(side, 2).toColourspace('b-w').png().toBuffer(), [200, 200, 200], 0],
    ['WebP', () => transparent(side).webp({ lossless: true, exact: true, effort: 0 }).toBuffer(), red, 0],
    ['AVIF', () => transparent(side).avif({ effort: 0, quality: 90 }).toBuffer(), red, 3],
    ['PNG with a palette', async () => palettePng(side), red, 0],
    ['GIF', async () => gifOf({ side, frame: [0, 0, side, side], transparent: 1 }), red, 0],
    ['GIF whose picture is smaller', async () => gifOf({ side, frame: [10, 10, 20, 20], transparent: 1 }), red, 0],
  ])(
    'keeps the color under the transparency of %s',
    async (_what, make, color, tolerance) => {
      for (const decode of [decodeImage, decodeReduced]) {
        const { pixels } = await decode(await make(), recipe, maxPixels);

        const farthest = Math.max(...pixels.data.map((value, i) => Math.abs(value - (color[i % 3] as number))));
        expect(farthest).toBeLessThanOrEqual(tolerance);
      }
    },
    20_000,
  );
});

describe('decodeImage of a GIF', () => {
  it('gives the first color to what its only picture leaves free', async () => {
    const { pixels } = await decodeImage(gifOf({ side: 8, frame: [2, 3, 4, 2] }), recipe, maxPixels);

    const isRed = Array.from({ length: 64 }, (_, i) => pixels.data[3 * i] === red[0]);
    const expected = Array.from({ length: 64 }, (_, i) => i % 8 >= 2 && i % 8 < 6 && i >= 24 && i < 40);
    expect(isRed).toEqual(expected);
    expect([...pixels.data.subarray(0, 3)]).toEqual([0, 0, 255]);
  });

  it('takes the colors of the picture itself where it has some', async () => {
    const own = [0, 200, 0, 10, 20, 30];
    const { pixels } = await decodeImage(
      gifOf({ side: 8, frame: [0, 0, 8, 8], transparent: 1, own }),
      recipe,
      maxPixels,
    );

    expect([...pixels.data.subarray(0, 3)]).toEqual([10, 20, 30]);
  });
});

interface Gif {
  readonly side: number;
  /** Left, top, width and height. */
  readonly frame: readonly [number, number, number, number];
  /** Which color is transparent. */
  readonly transparent?: number;
  /** A palette of the picture's own. */
  readonly own?: readonly number[];
}

/** A picture of the second color, red, before a ground of the first one, blue. */
function gifOf({ side, frame, transparent: index, own }: Gif): Buffer {
  const word = (value: number) => [value & 255, value >> 8];
  const control = index === undefined ? [] : [0x21, 0xf9, 4, 1, 0, 0, index, 0];
  const [, , width, height] = frame;
  const palette = own ? [0x80, ...own] : [0];
  return Buffer.from([
    ...Buffer.from('GIF89a'),
    ...[...word(side), ...word(side), 0x80, 0, 0],
    ...[0, 0, 255, ...red],
    ...control,
    ...[0x2c, ...frame.flatMap(word), ...palette],
    ...[2, ...subBlocks(codesOf(width * height)), 0x3b],
  ]);
}

/** LZW of so many pixels of color 1, three bits a code: the table is cleared (4) before every second one, so that it never grows. */
function codesOf(count: number): readonly number[] {
  const bytes: number[] = [];
  let [bits, held] = [0, 0];
  const push = (code: number) => {
    bits |= code << held;
    held += 3;
    for (; held >= 8; held -= 8, bits >>= 8) bytes.push(bits & 255);
  };
  for (let i = 0; i < count; i++) {
    if (i % 2 === 0) push(4);
    push(1);
  }
  push(5);
  return [...bytes, bits];
}

function subBlocks(bytes: readonly number[]): readonly number[] {
  const blocks: number[] = [];
  for (let at = 0; at < bytes.length; at += 255) {
    const block = bytes.slice(at, at + 255);
    blocks.push(block.length);
    for (const byte of block) blocks.push(byte);
  }
  return [...blocks, 0];
}

/** One color, red, which is transparent: sharp writes none such. */
async function palettePng(side: number): Promise<Buffer> {
  const png = await sharp({ create: { width: side, height: side, channels: 3, background: { r: 220, g: 30, b: 20 } } })
    .png({ palette: true })
    .toBuffer();
  const at = png.indexOf('IDAT') - 4;
  const chunk = Buffer.from([0, 0, 0, 1, ...Buffer.from('tRNS'), 0, 0x40, 0xe6, 0xd8, 0x66]);
  return Buffer.concat([png.subarray(0, at), chunk, png.subarray(at)]);
}
