import { lend } from './arena.ts';
import type { Plane } from './ink.ts';

/** What is left of a plane without whatever is higher than its surroundings and narrower than 2 * radius + 1 pixels: steps and slopes stay. */
export function open(plane: Plane, radius: number): Float32Array {
  return extremes({ ...plane, values: extremes(plane, radius, 1) }, radius, -1);
}

/** The same without whatever is lower. */
export function close(plane: Plane, radius: number): Float32Array {
  return extremes({ ...plane, values: extremes(plane, radius, -1) }, radius, 1);
}

/** The least of the square of 2 * radius + 1 pixels around each pixel, as far as it lies inside; with a sign of -1 the most. */
function extremes({ values, width, height }: Plane, radius: number, sign: 1 | -1): Float32Array {
  const result = lend(Float32Array, values.length);
  const [across, down] = [scratch(width, radius, sign), scratch(height, radius, sign)];
  for (let y = 0; y < height; y++) leastAlong(values, result, { from: y * width, step: 1, length: width }, across);
  for (let x = 0; x < width; x++) leastAlong(result, result, { from: x, step: width, length: height }, down);
  return result;
}

interface Line {
  readonly from: number;
  readonly step: number;
  readonly length: number;
}

interface Scratch {
  readonly radius: number;
  readonly sign: 1 | -1;
  /** From the beginning of a window to here, and from here to its end. */
  readonly before: Float32Array;
  readonly ahead: Float32Array;
}

function scratch(length: number, radius: number, sign: 1 | -1): Scratch {
  const window = 2 * radius + 1;
  const size = Math.ceil((length + 2 * radius) / window) * window;
  return { radius, sign, before: lend(Float32Array, size), ahead: lend(Float32Array, size) };
}

/** The least of each window along a line, or the most, in three comparisons a pixel (M. van Herk, 1992; J. Gil and M. Werman, 1993). */
function leastAlong(
  values: Float32Array,
  result: Float32Array,
  line: Line,
  { radius, sign, before, ahead }: Scratch,
): void {
  const { from, step, length } = line;
  const last = 2 * radius;
  before.fill(Number.POSITIVE_INFINITY);
  for (let i = 0; i < length; i++) before[radius + i] = sign * (values[from + i * step] as number);
  for (let end = before.length - 1; end >= 0; end -= last + 1) {
    let so = Number.POSITIVE_INFINITY;
    for (let i = end; i >= end - last; i--) {
      const value = before[i] as number;
      if (value < so) so = value;
      ahead[i] = so;
    }
    so = Number.POSITIVE_INFINITY;
    for (let i = end - last; i <= end; i++) {
      const value = before[i] as number;
      if (value < so) so = value;
      before[i] = so;
    }
  }
  for (let i = 0; i < length; i++) {
    result[from + i * step] = sign * Math.min(ahead[i] as number, before[i + last] as number);
  }
}
