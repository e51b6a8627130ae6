import { type CloudsInput, goldenLogits } from './card.ts';
import { type Band, createPlanes, type Patch, planeOf, validityOf } from './patch.ts';

/** Places of the golden case's grid along a side. */
const places = 4;

/**
 * The generated patch of a card's golden case, with all of the model's bands, of the first of its levels and without gaps. Its side is that of
 * one tile at 10 m a pixel, else 64 pixels, 128 for a model of 20 m. Band k of [...bands, ...optional] has at column x and row y the
 * number ((37 floor(x / 4) + 59 floor(y / 4) + 89 k) mod 256) * 24, in units of 1/10000 of reflectance.
 */
export function goldenPatch({ bands, optional, tile, meters, levels }: CloudsInput): Patch {
  const side = ((tile?.size ?? 64) * meters) / 10;
  const names = [...bands, ...optional] as Band[];
  const patch: Patch = {
    data: createPlanes(side, side, names.length),
    width: side,
    height: side,
    bands: names,
    level: levels[0] ?? 'L1C',
    georeference: [],
    dilate: 0,
    form: 'logits',
  };
  validityOf(patch).fill(1);
  for (const [index, name] of names.entries()) {
    const plane = planeOf(patch, name) as Uint16Array;
    for (let i = 0; i < plane.length; i += 1) {
      const [column, row] = [Math.floor((i % side) / 4), Math.floor(i / side / 4)];
      plane[i] = ((37 * column + 59 * row + 89 * index) % 256) * 24;
    }
  }
  return patch;
}

/**
 * The logits that a card's golden case names, 48 numbers: for each class (clear, cloud, shadow), row by row, those of the pixels in a grid of
 * 4 x 4, whose column and row are floor((2 i + 1) * side / 8) for i from 0 to 3.
 * @param logits [3, side, side], as the classes of the mask are taken from
 */
export function sampleLogits(logits: Float32Array, { width, height }: Patch): Float32Array {
  return Float32Array.from({ length: goldenLogits }, (_, index) => {
    const [channel, row, column] = [Math.floor(index / 16), Math.floor(index / places) % places, index % places];
    const at = (place: number, side: number) => Math.floor(((2 * place + 1) * side) / (2 * places));
    return logits[(channel * height + at(row, height)) * width + at(column, width)] as number;
  });
}
