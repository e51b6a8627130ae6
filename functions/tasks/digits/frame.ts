import type { Picture } from '../image/whole.ts';
import { lend } from './arena.ts';
import type { Figure } from './figure.ts';
import type { Plane } from './ink.ts';

/** Sides of MNIST's pictures, and of the square in them that a digit fills (Y. LeCun et al., 1998). */
export const frameSide = 28;
const digitSide = 20;
/** Where MNIST has the center of mass, as a column and a row. */
const center = 14;

/** Level above which a pixel of a picture of MNIST's form is ink: compression adds less. */
const leastInk = 32;

/** The picture's own pixels, where it has MNIST's form: 28x28, light on black, 20 wide or high, centered by mass. */
export function asFramed({ data, width, height }: Picture): Uint8Array | undefined {
  if (width !== frameSide || height !== frameSide || data.length !== 3 * frameSide ** 2) return undefined;
  const values = Uint8Array.from({ length: frameSide ** 2 }, (_, i) => data[3 * i + 1] as number);
  let [mass, x, y] = [0, 0, 0];
  let [left, right, top, bottom] = [frameSide, 0, frameSide, 0];
  for (const [at, value] of values.entries()) {
    const [column, row] = [at % frameSide, Math.floor(at / frameSide)];
    if (
      Math.abs(value - (data[3 * at] as number)) > leastInk ||
      Math.abs(value - (data[3 * at + 2] as number)) > leastInk
    )
      return undefined;
    if (value <= leastInk) continue;
    mass += value;
    x += value * column;
    y += value * row;
    [left, right] = [Math.min(left, column), Math.max(right, column)];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
  }
  const size = Math.max(right - left, bottom - top) + 1;
  const isCentered = Math.abs(x / mass - center) < 1 && Math.abs(y / mass - center) < 1;
  return isCentered && size <= digitSide && size >= digitSide - 2 ? values : undefined;
}

/** Strokes at least so wide, in pixels of the frame: those of a fine pen would fade. */
const leastStroke = 1.9;

/** A figure as MNIST has it: fitted into 20x20, its center of mass in the middle of 28x28, its ink 255. */
export function frame(figure: Figure): Uint8Array {
  const plane = thicken(crop(figure), figure.low);
  const { width, height } = plane;
  const scale = digitSide / Math.max(width, height);
  let [mass, x, y] = [0, 0, 0];
  for (const [at, value] of plane.values.entries()) {
    mass += value;
    x += value * (at % width);
    y += value * Math.floor(at / width);
  }
  const values = resample(plane, weights(width, x / mass, scale), weights(height, y / mass, scale));
  const inked = values.filter((value) => value > figure.low / 2).sort();
  const dark = inked[Math.floor(0.7 * inked.length)] ?? 1; // the rest are rims
  return Uint8Array.from(values, (value) => Math.min(255, Math.round((255 * value) / dark)));
}

function crop({ plane, left, right, top, bottom }: Figure): Plane {
  const [width, height] = [right - left + 1, bottom - top + 1];
  const values = lend(Float32Array, width * height);
  for (let y = 0; y < height; y++) {
    const from = (top + y) * plane.width + left;
    values.set(plane.values.subarray(from, from + width), y * width);
  }
  return { values, width, height };
}

/** With strokes that will be wide enough. */
function thicken(plane: Plane, low: number): Plane {
  const { values, width, height } = plane;
  const wanted = (leastStroke / digitSide) * Math.max(width, height);
  const more = Math.round((wanted - strokeOf(plane, low)) / 2);
  if (more < 1) return plane;
  // The most of a square around each pixel: first along rows, then along columns.
  const padded = { width: width + 2 * more, height: height + 2 * more };
  const rows = lend(Float32Array, padded.width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < padded.width; x++) {
      let most = 0;
      for (let from = Math.max(0, x - 2 * more); from <= Math.min(width - 1, x); from++)
        most = Math.max(most, values[y * width + from] as number);
      rows[y * padded.width + x] = most;
    }
  }
  const result = lend(Float32Array, padded.width * padded.height);
  for (let y = 0; y < padded.height; y++) {
    for (let x = 0; x < padded.width; x++) {
      let most = 0;
      for (let from = Math.max(0, y - 2 * more); from <= Math.min(height - 1, y); from++)
        most = Math.max(most, rows[from * padded.width + x] as number);
      result[y * padded.width + x] = most;
    }
  }
  return { values: result, ...padded };
}

/** Width of the strokes in pixels: twice the area by the outline. */
function strokeOf({ values, width, height }: Plane, low: number): number {
  let [area, edges] = [0, 0];
  for (let at = 0; at < values.length; at++) {
    if (!((values[at] as number) >= low)) continue;
    const [x, y] = [at % width, Math.floor(at / width)];
    area += 1;
    if (x === 0 || !((values[at - 1] as number) >= low)) edges += 1;
    if (x === width - 1 || !((values[at + 1] as number) >= low)) edges += 1;
    if (y === 0 || !((values[at - width] as number) >= low)) edges += 1;
    if (y === height - 1 || !((values[at + width] as number) >= low)) edges += 1;
  }
  return (2 * area) / (0.8 * Math.max(1, edges)); // steps along a slanted edge are longer than it is
}

/** How much each of `length` pixels counts for each pixel of the frame, when `middle` comes to lie in the center. */
function weights(length: number, middle: number, scale: number): readonly Float32Array[] {
  const half = Math.max(1, 1 / scale) / 2;
  // By whole pixels, as MNIST has it: the edges of its digits are as sharp on all sides.
  const first = center - Math.round((middle + 0.5) * scale - 0.5);
  return Array.from({ length: frameSide }, (_, i) => {
    const at = (i - first + 0.5) / scale - 0.5;
    return Float32Array.from({ length }, (_, from) => {
      const overlap = Math.min(from + 0.5, at + half) - Math.max(from - 0.5, at - half);
      return Math.max(0, overlap) / (2 * half);
    });
  });
}

function resample(
  { values, width, height }: Plane,
  across: readonly Float32Array[],
  down: readonly Float32Array[],
): Float32Array {
  const rows = lend(Float32Array, frameSide * height);
  for (let y = 0; y < height; y++) {
    for (const [i, shares] of across.entries()) {
      let sum = 0;
      for (let x = 0; x < width; x++) sum += (shares[x] as number) * (values[y * width + x] as number);
      rows[y * frameSide + i] = sum;
    }
  }
  const result = lend(Float32Array, frameSide ** 2);
  for (const [j, shares] of down.entries()) {
    for (let i = 0; i < frameSide; i++) {
      let sum = 0;
      for (let y = 0; y < height; y++) sum += (shares[y] as number) * (rows[y * frameSide + i] as number);
      result[j * frameSide + i] = sum;
    }
  }
  return result;
}
