import { describe, expect, it } from '@jest/globals';
import { passes } from '../../functions/tasks/image/passes.ts';
import { type Filter, type Kernel, planAxes, planFilter, resizeRegion } from '../../functions/tasks/image/resize.ts';
import { assemble } from '../support/assemble.ts';

const weightBits = 22;

/** One pixel of a pass as Pillow's source has it; `value` tells the byte of a tap, counted along the line. */
function passSlowly(
  value: (tap: number) => number,
  { starts, counts, weights, stride }: Filter,
  pixel: number,
): number {
  let sum = 2 ** (weightBits - 1);
  for (let tap = 0; tap < (counts[pixel] as number); tap += 1) {
    sum += (weights[pixel * stride + tap] as number) * value((starts[pixel] as number) + tap);
  }
  return Math.max(0, Math.min(255, sum >> weightBits));
}

/** Both passes in plain numbers, one channel after the other: what the vectors must give. */
function resizeSlowly(region: Uint8Array, columns: Filter, rows: Filter): Uint8Array {
  const [width, height] = [columns.counts.length, rows.counts.length];
  const between = Uint8Array.from({ length: rows.length * width * 3 }, (_, i) => {
    const [y, x, channel] = [Math.floor(i / width / 3), Math.floor(i / 3) % width, i % 3];
    return passSlowly((tap) => region[(y * columns.length + tap) * 3 + channel] as number, columns, x);
  });
  return Uint8Array.from({ length: height * width * 3 }, (_, i) => {
    const y = Math.floor(i / width / 3);
    return passSlowly((tap) => between[tap * width * 3 + (i % (width * 3))] as number, rows, y);
  });
}

/** The region that both filters need of a source, filled by `draw`. */
function regionOf(width: number, height: number, crop: number, kernel: Kernel, draw: (byte: number) => number) {
  const [across, down] = planAxes(width, height, { resize: crop + 2, crop });
  const [columns, rows] = [planFilter(across, kernel), planFilter(down, kernel)];
  const region = Uint8Array.from({ length: columns.length * rows.length * 3 }, (_, byte) => draw(byte));
  return { region, columns, rows };
}

/** Bytes without a pattern, the same in every run. */
const noise = (byte: number) => (Math.imul(byte + 1, 2_654_435_761) >>> 16) & 255;
/** Where a cubic kernel's negative weights leave 0 to 255. */
const extremes = (byte: number) => (noise(byte) < 128 ? 0 : 255);

describe('resizeRegion', () => {
  it.each<[number, number, number, Kernel]>([
    // [width, height, crop, kernel]: rows of the crop have 3 crop bytes, vectors 16
    [40, 30, 1, 'linear'],
    [40, 30, 5, 'linear'],
    [40, 30, 6, 'cubic'],
    [97, 61, 16, 'linear'],
    [97, 61, 16, 'cubic'],
    [61, 97, 17, 'cubic'],
    [300, 200, 33, 'linear'],
    [9, 13, 32, 'linear'], // enlarged
    [9, 13, 32, 'cubic'],
    [1, 1, 8, 'cubic'],
    [1, 70, 8, 'linear'],
  ])('gives the sums of plain numbers for %i x %i pixels and a crop of %i, %s', (width, height, crop, kernel) => {
    for (const draw of [noise, extremes]) {
      const { region, columns, rows } = regionOf(width, height, crop, kernel, draw);

      expect(resizeRegion(region, columns, rows)).toEqual(resizeSlowly(region, columns, rows));
    }
  });

  it('gives the same after a region that needs more memory', () => {
    const small = regionOf(50, 40, 10, 'cubic', noise);
    const large = regionOf(1500, 1500, 20, 'linear', extremes); // 6 MB, as the module begins with 64 kB

    const before = resizeRegion(small.region, small.columns, small.rows);
    const enlarged = resizeRegion(large.region, large.columns, large.rows);
    const after = resizeRegion(small.region, small.columns, small.rows);

    expect(enlarged).toEqual(resizeSlowly(large.region, large.columns, large.rows));
    expect(after).toEqual(before);
  });

  it('gives a crop that owns its memory', () => {
    const { region, columns, rows } = regionOf(40, 30, 8, 'linear', noise);

    const crop = resizeRegion(region, columns, rows);

    expect(crop.buffer.byteLength).toBe(8 * 8 * 3);
  });

  it('runs what passes.wat says', async () => {
    expect(await assemble('passes')).toBe(passes);
  });
});
