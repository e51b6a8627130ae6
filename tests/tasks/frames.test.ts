import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { hasMoreFrames } from '../../functions/tasks/image/frames.ts';
import { decodeImage } from '../../functions/tasks/image/image.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');

/** One black pixel a frame. */
function gifOf(frames: number): Buffer {
  const head = Buffer.concat([Buffer.from('GIF89a'), Buffer.of(1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 255, 255, 255)]);
  const comment = Buffer.of(0x21, 0xfe, 2, 0x2c, 0x2c, 0); // holds what begins a frame elsewhere
  const frame = Buffer.of(0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0);
  return Buffer.concat([head, comment, ...Array.from({ length: frames }, () => frame), Buffer.of(0x3b)]);
}

function webpOf(frames: number): Buffer {
  const odd = Buffer.concat([Buffer.from('XMP '), Buffer.of(3, 0, 0, 0), Buffer.from('ANM'), Buffer.of(0)]);
  const frame = Buffer.concat([Buffer.from('ANMF'), Buffer.of(4, 0, 0, 0), Buffer.from('ANMF')]);
  const chunks = Buffer.concat([odd, ...Array.from({ length: frames }, () => frame)]);
  return Buffer.concat([Buffer.from('RIFF'), Buffer.alloc(4), Buffer.from('WEBP'), chunks]);
}

describe.each([
  ['gif', gifOf],
  ['webp', webpOf],
] as const)('hasMoreFrames of a %s', (format, make) => {
  it.each([
    ['below', 2, false],
    ['at', 3, false],
    ['above', 4, true],
  ])('tells that it is %s the limit', (_where, frames, more) => {
    expect(hasMoreFrames(make(frames), format, 3)).toBe(more);
  });

  it('ends at the end of a file that is cut short', () => {
    const whole = make(3);

    for (let length = 0; length < whole.length; length += 1) {
      expect(hasMoreFrames(whole.subarray(0, length), format, 3)).toBe(false);
    }
  });
});

describe('decodeImage', () => {
  const recipe = { resize: 4, crop: 4 };

  it.each([
    ['below', 999],
    ['at', 1000],
  ])('decodes the first frame of an animation %s the limit', async (_where, frames) => {
    expect((await decodeImage(gifOf(frames), recipe, 100)).sourceWidth).toBe(1);
  });

  it('rejects an animation above the limit with IMAGE_UNREADABLE', async () => {
    await expect(decodeImage(gifOf(1001), recipe, 100)).rejects.toMatchObject({
      code: 'IMAGE_UNREADABLE',
      message: 'Expected at most 1000 frames for the image but received more',
    });
  });

  const filled = (bytes: number) => Buffer.concat([photo.subarray(0, 2), Buffer.alloc(bytes, 0xff), photo.subarray(2)]);

  it.each([
    ['below', 999],
    ['at', 1000],
  ])('decodes a JPEG with fill bytes %s the limit', async (_where, bytes) => {
    expect((await decodeImage(filled(bytes), recipe, 1e6)).sourceWidth).toBe(480);
  });

  it.each([1001, 10_000_000])('rejects a JPEG with %d fill bytes with IMAGE_UNREADABLE', async (bytes) => {
    await expect(decodeImage(filled(bytes), recipe, 1e6)).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
  });
});
