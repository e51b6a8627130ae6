import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { readJpegHeader } from '../../functions/tasks/image/jpeg.ts';
import { type FixtureName, fixture, orientedJpeg } from '../support/fixtures.ts';

const start = [0xff, 0xd8];
const scanAndEnd = [0xff, 0xda, 0, 2, 0x11, 0x22, 0xff, 0xd9];

/** A marker with its payload, whose length counts its own two bytes. */
function segment(code: number, payload: readonly number[]): readonly number[] {
  return [0xff, code, 0, payload.length + 2, ...payload];
}

/** A frame header of 20 x 10 pixels. */
function frame({ code = 0xc0, bits = 8, height = 10, width = 20, channels = 3 } = {}): readonly number[] {
  return segment(code, [bits, height >> 8, height & 255, width >> 8, width & 255, channels, 1, 0x11, 0]);
}

function headerOf(...parts: readonly (readonly number[])[]) {
  return readJpegHeader(Buffer.from([start, ...parts, scanAndEnd].flat()));
}

const sizeTold = { isComplete: true, size: { width: 20, height: 10 } };
const sizeUntold = { isComplete: true };

describe('readJpegHeader', () => {
  it.each([
    ['a baseline frame', frame()],
    ['an extended frame', frame({ code: 0xc1 })],
    ['a progressive frame', frame({ code: 0xc2 })],
    ['a gray frame', frame({ channels: 1 })],
  ])('tells the size of %s', (_what, bytes) => {
    expect(headerOf(segment(0xe0, [1, 2]), bytes)).toEqual(sizeTold);
  });

  it.each([
    ['whose frame is lossless', frame({ code: 0xc3 })],
    ['whose frame is coded arithmetically', frame({ code: 0xc9 })],
    ['of 12 bits', frame({ bits: 12 })],
    ['of four channels', frame({ channels: 4 })],
    ['of two channels', frame({ channels: 2 })],
    ['whose height comes later', frame({ height: 0 })],
    ['of no width', frame({ width: 0 })],
    ['without a frame', []],
    ['with Huffman tables only', frame({ code: 0xc4 })],
    ['with EXIF before the frame', [...segment(0xe1, [69, 120]), ...frame()]],
    ['with EXIF behind markers that have no length', [0xff, 0x01, 0xff, 0xd3, ...segment(0xe1, [69, 120]), ...frame()]],
    ['whose second frame alone would do', [...frame({ bits: 12 }), ...frame()]],
    ['with EXIF behind the frame', [...frame(), ...segment(0xe1, [69, 120])]],
  ])('leaves the size of one %s to the decoder', (_what, bytes) => {
    expect(headerOf(bytes)).toEqual(sizeUntold);
  });

  it.each([
    ['bytes', [0x12, 0x34]],
    ['stuffed bytes', [0xff, 0, 0xff, 0, 0x34]],
  ])('reads past %s between segments', (_what, bytes) => {
    expect(headerOf(bytes, frame(), bytes)).toEqual(sizeTold);
  });

  it('takes the largest size', () => {
    const size = { width: 65_535, height: 65_535 };

    expect(headerOf(frame(size))).toEqual({ isComplete: true, size });
  });

  it.each([
    [999, sizeTold],
    [1000, sizeTold],
    [1001, { isComplete: false }],
  ])('reads past %i fill bytes or gives up', (fillers, expected) => {
    expect(headerOf(new Array<number>(fillers).fill(0xff), frame())).toEqual(expected);
  });

  it.each([
    [999, sizeTold],
    [1000, sizeTold],
    [1001, { isComplete: false }],
  ])('reads %i segments, the frame among them, or gives up', (segments, expected) => {
    const others = Array.from({ length: segments - 1 }, () => segment(0xe0, []));

    expect(headerOf(...others, frame())).toEqual(expected);
  });

  it.each([
    ['nothing', []],
    ['its start', start],
    ['half a marker', [...start, 0xff]],
    ['a marker without its length', [...start, 0xff, 0xc0, 0]],
    ['a frame cut short', [...start, 0xff, 0xc0, 0, 11, 8, 0, 10]],
    ['a frame and no scan', [...start, ...frame()]],
    ['a scan without an end', [...start, ...frame(), 0xff, 0xda, 0, 2, 1, 2, 0xff]],
    ['a segment that is longer than the rest', [...start, 0xff, 0xe0, 255, 255, 1, ...frame(), ...scanAndEnd]],
    ['nothing but other bytes', [...start, 0x12, 0x34, 0x56, 0x78, 0x9a]],
    [
      'more runs of bytes between segments than any has',
      [...start, ...Array(1001).fill([0xff, 0]).flat(), ...scanAndEnd],
    ],
  ])('finds %s incomplete', (_what, bytes) => {
    expect(readJpegHeader(Buffer.from(bytes)).isComplete).toBe(false);
  });

  it.each<FixtureName>(['jpeg', 'progressiveJpeg', 'jpegWithTail', 'grayJpeg'])(
    'tells of %s what libvips tells',
    async (name) => {
      const bytes = await fixture(name);

      expect(readJpegHeader(bytes)).toEqual({ isComplete: true, size: (await sharp(bytes).metadata()).autoOrient });
    },
  );

  it.each([1, 2, 3])('tells of tests/images/test_image_%i.jpg what libvips tells', async (n) => {
    const bytes = readFileSync(`tests/images/test_image_${n}.jpg`);

    expect(readJpegHeader(bytes)).toEqual({ isComplete: true, size: (await sharp(bytes).metadata()).autoOrient });
  });

  it('leaves inks and turned images to libvips', async () => {
    expect(readJpegHeader(await fixture('cmykJpeg'))).toEqual(sizeUntold);
    expect(readJpegHeader(await orientedJpeg(6))).toEqual(sizeUntold);
  });
});
