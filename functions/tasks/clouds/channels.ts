import type { Tensor } from '../../core/task.ts';
import type { CloudsInput } from './card.ts';
import { type Patch, planeOf, validityOf } from './patch.ts';
import { mirror, planTiles } from './tiles.ts';

/**
 * The tensors of a patch, one for each tile, row by row: float32 [1, channels, height, width] of (reflectance - mean) / std for each band,
 * then 1 or 0 where the card wants a flag. Written into `former` where that has the same size.
 */
export function toTensors(patch: Patch, input: CloudsInput, former: readonly Tensor[] = []): readonly Tensor[] {
  const plan = planTiles(patch.width, patch.height, input);
  const { tileWidth, tileHeight, lefts, tops } = plan;
  const channels = readChannels(patch, input);
  const pixels = tileWidth * tileHeight;
  const dims = [1, channels.length, tileHeight, tileWidth];
  const places = tops.flatMap((top) => lefts.map((left) => [left, top] as const));
  return places.map(([left, top], index) => {
    const known = former[index]?.data;
    const size = channels.length * pixels;
    const data = known instanceof Float32Array && known.length === size ? known : new Float32Array(size);
    const columns = mirror(left, tileWidth, plan.width);
    const rows = mirror(top, tileHeight, plan.height);
    for (const [number, channel] of channels.entries()) {
      let to = number * pixels;
      for (const row of rows) {
        const from = row * plan.width;
        for (const column of columns) {
          data[to] = typeof channel === 'number' ? channel : (channel[from + column] as number);
          to += 1;
        }
      }
    }
    return { elementType: 'float32', data, dims };
  });
}

/** Each channel as values of the averaged patch, or one value for all of it. */
function readChannels(patch: Patch, input: CloudsInput): readonly (Float32Array | number)[] {
  const { bands, optional, flag, meters } = input;
  const hasOptional = optional.every((band) => (patch.bands as readonly string[]).includes(band));
  const read = meters === 20 ? averageBand : readBand;
  const channels = [...bands, ...optional].map((band, index) => {
    const plane = planeOf(patch, band);
    if (!plane && index < bands.length) throw new Error(`Expected band ${band} of the patch but received none`);
    if (!plane || (index >= bands.length && !hasOptional)) return 0;
    return read(plane, patch, input.mean[index] as number, input.std[index] as number);
  });
  return flag ? [...channels, hasOptional ? 1 : 0] : channels;
}

function readBand(plane: Uint16Array, _patch: Patch, mean: number, std: number): Float32Array {
  const values = new Float32Array(plane.length);
  for (let i = 0; i < plane.length; i += 1) values[i] = ((plane[i] as number) / 10_000 - mean) / std;
  return values;
}

/** The means of 2x2 pixels, of those that have data; 0 where none has. */
function averageBand(plane: Uint16Array, patch: Patch, mean: number, std: number): Float32Array {
  const { width, height } = patch;
  const validity = validityOf(patch);
  const [across, down] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const values = new Float32Array(across * down);
  for (let row = 0; row < down; row += 1) {
    for (let column = 0; column < across; column += 1) {
      let [sum, count] = [0, 0];
      for (let y = 2 * row; y < Math.min(2 * row + 2, height); y += 1) {
        for (let i = y * width + 2 * column; i < y * width + Math.min(2 * column + 2, width); i += 1) {
          sum += plane[i] as number; // 0 where there is no data
          count += validity[i] as number;
        }
      }
      values[row * across + column] = (sum / Math.max(1, count) / 10_000 - mean) / std;
    }
  }
  return values;
}
