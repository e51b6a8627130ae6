import type { CloudsInput } from '../../functions/tasks/clouds/card.ts';
import { type Band, createPlanes, type Patch, planeOf, validityOf } from '../../functions/tasks/clouds/patch.ts';

export interface Planes {
  readonly width: number;
  readonly height: number;
  /** The number of each band at each pixel. */
  readonly bands: Readonly<Record<string, (pixel: number) => number>>;
  /** Pixels without data. */
  readonly gaps?: readonly number[];
  readonly level?: Patch['level'];
  readonly dilate?: number;
  readonly form?: Patch['form'];
}

/** A decoded patch of these numbers. */
export function patchOf({ width, height, bands, gaps = [], level = 'L2A', dilate = 0, form = 'json' }: Planes): Patch {
  const names = Object.keys(bands) as Band[];
  const data = createPlanes(width, height, names.length);
  const patch: Patch = { data, width, height, bands: names, level, georeference: [], dilate, form };
  validityOf(patch).fill(1);
  for (const gap of gaps) validityOf(patch)[gap] = 0;
  for (const name of names) {
    const plane = planeOf(patch, name) as Uint16Array;
    for (let i = 0; i < plane.length; i += 1) plane[i] = gaps.includes(i) ? 0 : (bands[name]?.(i) as number);
  }
  return patch;
}

/** What a card says of its input, unless told otherwise: four bands as they are, in one run. */
export function inputOf(change: Partial<CloudsInput> = {}): CloudsInput {
  const { bands = ['B02', 'B03', 'B04', 'B08'], optional = [] } = change;
  const all = [...bands, ...optional];
  return {
    name: 'bands',
    bands,
    optional,
    flag: false,
    mean: all.map(() => 0),
    std: all.map(() => 1),
    multiple: 1,
    tile: null,
    meters: 10,
    levels: ['L1C', 'L2A'],
    ...change,
  };
}
