import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { decodeImage } from '../../functions/tasks/image/image.ts';
import { decodeReduced } from '../support/reduced.ts';

const maxPixels = 1_000_000;
const recipe = { resize: 64, crop: 64 };
const photo = withJfif(1, 1);
const restarted = restartedJpeg([]);

/** Three gray blocks of 8 x 8 side by side with a restart marker behind each, and what may lie before the first or replace it. */
function restartedJpeg(before: readonly number[], first = 0xd0): Buffer {
  const segment = (code: number, ...payload: number[]) => [0xff, code, 0, payload.length + 2, ...payload];
  const zeros = (count: number) => Array<number>(count).fill(0);
  return Buffer.from([
    ...[0xff, 0xd8],
    ...segment(0xdb, 0, ...Array<number>(64).fill(16)),
    ...segment(0xc4, 0x00, 1, 1, ...zeros(14), 0, 4), // 0: no difference, 10: one of four bits
    ...segment(0xc4, 0x10, 1, ...zeros(15), 0), // 0: end of the block
    ...segment(0xdd, 0, 1),
    ...segment(0xc0, 8, 0, 8, 0, 24, 1, 1, 0x11, 0),
    ...segment(0xda, 1, 1, 0x00, 0, 63, 0),
    ...[0b10_1111_0_1, ...before, 0xff, first, 0b10_0111_0_1, 0xff, 0xd1, 0b0_0_111111],
    ...[0xff, 0xd9],
  ]);
}

function withJfif(...revision: readonly number[]): Buffer {
  const bytes = readFileSync('tests/images/test_image_1.jpg');
  const jfif = Buffer.from([0xff, 0xe0, 0, 16, ...Buffer.from('JFIF\0'), ...revision, 0, 0, 1, 0, 1, 0, 0]);
  return Buffer.concat([bytes.subarray(0, 2), jfif, bytes.subarray(2)]);
}

function insertedAt(at: number, ...bytes: readonly number[]): Buffer {
  return Buffer.concat([photo.subarray(0, at), Buffer.from(bytes), photo.subarray(at)]);
}

function changedAt(at: number, ...bytes: readonly number[]): Buffer {
  const changed = Buffer.from(photo);
  changed.set(bytes, at);
  return changed;
}

const tablesAt = photo.indexOf(Buffer.of(0xff, 0xdb));
const scanAt = photo.indexOf(Buffer.of(0xff, 0xda));
const lastOfScanHeader = scanAt + 2 + photo.readUInt16BE(scanAt + 2) - 1;

describe('decodeImage of a JPEG', () => {
  it.each([
    ['of JFIF revision 0.00', photo, withJfif(0, 0)],
    ['of JFIF revision 2.01', photo, withJfif(2, 1)],
    ['whose scan header ends its band at 0', photo, changedAt(lastOfScanHeader - 1, 0)],
    ['with bytes between segments', photo, insertedAt(tablesAt, 0x12, 0x34)],
    ['with a stuffed byte between segments', photo, insertedAt(tablesAt, 0xff, 0x00, 0x34)],
    ['with a comment that is counted one byte short', photo, insertedAt(tablesAt, 0xff, 0xfe, 0, 5, 97, 98, 99, 100)],
    [
      'with an Adobe transform that there is none of',
      photo,
      insertedAt(tablesAt, 0xff, 0xee, 0, 14, ...Buffer.from('Adobe'), 0, 100, 0, 0, 0, 0, 7),
    ],
    ['with bytes before a restart marker', restarted, restartedJpeg([1, 2, 3, 4, 5, 6])],
    ['with a misnumbered restart marker', restarted, restartedJpeg([], 0xd5)],
  ])('gives the pixels of one %s', async (_what, well, odd) => {
    const expected = await decodeImage(well, recipe, maxPixels);

    expect(await decodeImage(odd, recipe, maxPixels)).toEqual(expected);
    expect(await decodeReduced(odd, recipe, maxPixels)).toMatchObject({ sourceWidth: expected.sourceWidth });
  });

  it.each([
    ['within its scan', photo.subarray(0, photo.length >> 1)],
    ['before its scan, behind bytes between segments', insertedAt(tablesAt, 0x12, 0x34).subarray(0, scanAt)],
    ['before its end marker', photo.subarray(0, photo.length - 2)],
    ['before a restart marker', restarted.subarray(0, restarted.indexOf(Buffer.of(0xff, 0xd0)))],
  ])('refuses one that is cut short %s with IMAGE_UNREADABLE', async (_where, bytes) => {
    await expect(decodeImage(bytes, recipe, maxPixels)).rejects.toMatchObject({
      code: 'IMAGE_UNREADABLE',
    });
  });
});
