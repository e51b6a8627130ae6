import type { TaskInput } from '../../core/task.ts';

/** The bands that every patch has, and those that are read where a file has them. */
export const requiredBands = ['B02', 'B03', 'B04', 'B08'] as const;
const furtherBands = ['B11', 'B12', 'B10'] as const;
export const usedBands = [...requiredBands, ...furtherBands] as const;

export type Band = (typeof usedBands)[number];

/** L1C is reflectance at the top of the atmosphere, L2A that of the surface. */
export const levels = ['L1C', 'L2A'] as const;
export type Level = (typeof levels)[number];

/** How the mask is answered; `logits` is what the golden case of a card compares. */
export type Form = 'json' | 'rle' | 'png' | 'tiff' | 'logits';

/** A tag of a GeoTIFF that says where on Earth its pixels lie. */
export interface GeoTag {
  readonly tag: number;
  readonly values: string | readonly number[];
}

/** Where the pixels of a GeoTIFF lie, as its tags say it; none for a file without coordinates. */
export type Georeference = readonly GeoTag[];

/** A decoded patch, and what its mask is to become. */
export interface Patch extends TaskInput {
  /**
   * In shared memory: a plane of width x height uint16 for each of `bands`, in units of 1/10000 of reflectance, the offset removed,
   * below 0 clipped; then a plane of bytes, 1 where a pixel has data and 0 where it has none and its values are 0.
   */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly bands: readonly Band[];
  readonly level: Level;
  readonly georeference: Georeference;
  /** Radius in pixels of the disk by which clouds grow. */
  readonly dilate: number;
  readonly form: Form;
}

/** What of a Patch a file gives. */
export type FilePatch = Omit<Patch, 'dilate' | 'form'>;

type Planes = Pick<Patch, 'data' | 'width' | 'height' | 'bands'>;

/** Memory for the planes of a patch, all 0. */
export function createPlanes(width: number, height: number, bands: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(width * height * (2 * bands + 1)));
}

/** One band of a patch, to be read or filled; undefined where it has none of that name. */
export function planeOf({ data, width, height, bands }: Planes, band: string): Uint16Array | undefined {
  const index = (bands as readonly string[]).indexOf(band);
  const pixels = width * height;
  return index === -1 ? undefined : new Uint16Array(data.buffer, data.byteOffset + 2 * pixels * index, pixels);
}

/** Which pixels of a patch have data, to be read or filled. */
export function validityOf({ data, width, height, bands }: Planes): Uint8Array {
  const pixels = width * height;
  return data.subarray(2 * pixels * bands.length, (2 * bands.length + 1) * pixels);
}
