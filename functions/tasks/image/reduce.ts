import { readBaseline } from './baseline.ts';
import type { Header } from './header.ts';
import type { Pixels } from './image.ts';
import { type Axis, type ImageRecipe, planAxes, planFilter, resizeRegion } from './resize.ts';
import { reductions, shrinkJpeg } from './shrink.ts';

/** A baseline JPEG that is upright, of which `reduceJpeg` makes pixels in any thread. */
export interface PlainJpeg {
  readonly data: Uint8Array;
  readonly isEncoded: true;
  /** Its own. */
  readonly width: number;
  readonly height: number;
}

/** The largest, by the processor time of its codes, during which its thread runs no model: 1.2 ms for a photo of 30 kB, 2.8 for one of 100. */
const largest = { bytes: 262_144, pixels: 2_000_000 };

/** Whether `reduceJpeg` makes pixels of it, unless its codes are broken: a baseline JPEG at least twice as large as the model wants it. */
export function isReducible({ bytes, width, height, isPlainJpeg }: Header, recipe: ImageRecipe): boolean {
  const isSmall = bytes.length <= largest.bytes && width * height <= largest.pixels;
  if (!isPlainJpeg || !isSmall || !reductionFor(width, height, recipe)) return false;
  return readBaseline(bufferOf(bytes)) !== undefined;
}

/** The crop from a JPEG decoded at the smallest size that has as many pixels; undefined where its codes are broken. */
export function reduceJpeg({ data, width, height }: PlainJpeg, recipe: ImageRecipe): Pixels | undefined {
  const reduction = reductionFor(width, height, recipe);
  if (!reduction) return undefined;
  const [across, down] = planAxes(width, height, recipe).map((axis) => ({
    ...axis,
    source: axis.source / reduction,
  })) as [Axis, Axis];
  const [columns, rows] = [planFilter(across, recipe.kernel), planFilter(down, recipe.kernel)];
  const window = { left: columns.first, top: rows.first, width: columns.length, height: rows.length };
  const region = shrinkJpeg(bufferOf(data), reduction, window);
  return region && { data: resizeRegion(region, columns, rows), width: recipe.crop, height: recipe.crop };
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function reductionFor(width: number, height: number, { resize }: ImageRecipe) {
  return reductions.find((reduction) => Math.min(width, height) / reduction >= resize);
}
