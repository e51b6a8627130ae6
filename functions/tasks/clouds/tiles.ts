import type { CloudsInput } from './card.ts';

/** How a patch is cut into runs of the graph, after it was averaged. */
export interface Plan {
  /** Pixels of the averaged patch. */
  readonly width: number;
  readonly height: number;
  /** Pixels of a run. */
  readonly tileWidth: number;
  readonly tileHeight: number;
  /** Where tiles begin; each is run with each. */
  readonly lefts: readonly number[];
  readonly tops: readonly number[];
  /** Pixels over which the weight of a tile rises from its border. */
  readonly ramp: number;
}

/** The whole patch in one run, its sides made multiples, or tiles of one size, the last one of a row ending where the padded patch does. */
export function planTiles(
  width: number,
  height: number,
  { meters, multiple, tile }: Pick<CloudsInput, 'meters' | 'multiple' | 'tile'>,
): Plan {
  const [across, down] = [width, height].map((side) => Math.ceil((side * 10) / meters)) as [number, number];
  if (!tile) {
    const [tileWidth, tileHeight] = [across, down].map((side) => Math.ceil(side / multiple) * multiple) as [
      number,
      number,
    ];
    return { width: across, height: down, tileWidth, tileHeight, lefts: [0], tops: [0], ramp: 0 };
  }
  const { size, overlap } = tile;
  const plan = { width: across, height: down, tileWidth: size, tileHeight: size, ramp: overlap };
  return { ...plan, lefts: placeTiles(across, size, overlap), tops: placeTiles(down, size, overlap) };
}

function placeTiles(side: number, size: number, overlap: number): readonly number[] {
  const count = Math.max(1, Math.ceil((side - overlap) / (size - overlap)));
  return Array.from({ length: count }, (_, index) => Math.max(0, Math.min(index * (size - overlap), side - size)));
}

/** The source of each of `length` pixels from `start`, where a side goes on as its mirror image that does not repeat the border. */
export function mirror(start: number, length: number, side: number): Int32Array {
  const period = Math.max(1, 2 * (side - 1));
  return Int32Array.from({ length }, (_, index) => {
    const place = (start + index) % period;
    return place < side ? place : period - place;
  });
}

/**
 * The logits of all tiles as those of the averaged patch, [3, height, width]. Where tiles overlap, each counts by the product of its weights
 * along both sides, which rise linearly from the border to 1 over `ramp` pixels.
 * @param tiles [1, 3, tileHeight, tileWidth] each, row by row
 */
export function joinTiles(tiles: readonly Float32Array[], plan: Plan): Float32Array {
  const { width, height, tileWidth, tileHeight, lefts, tops, ramp } = plan;
  const pixels = width * height;
  const joined = new Float32Array(3 * pixels);
  const sums = new Float32Array(pixels);
  const [across, down] = [weigh(tileWidth, ramp), weigh(tileHeight, ramp)];
  for (const [index, tile] of tiles.entries()) {
    const [left, top] = [lefts[index % lefts.length] as number, tops[Math.floor(index / lefts.length)] as number];
    for (let y = 0; y < Math.min(tileHeight, height - top); y += 1) {
      for (let x = 0; x < Math.min(tileWidth, width - left); x += 1) {
        const weight = (down[y] as number) * (across[x] as number);
        const [from, to] = [y * tileWidth + x, (top + y) * width + left + x];
        sums[to] = (sums[to] as number) + weight;
        for (let channel = 0; channel < 3; channel += 1) {
          const place = channel * pixels + to;
          const logit = tile[channel * tileWidth * tileHeight + from] as number;
          joined[place] = (joined[place] as number) + weight * logit;
        }
      }
    }
  }
  for (let i = 0; i < joined.length; i += 1) joined[i] = (joined[i] as number) / (sums[i % pixels] as number);
  return joined;
}

function weigh(size: number, ramp: number): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => Math.min(1, (Math.min(i, size - 1 - i) + 1) / (ramp + 1)));
}

/** Logits at 20 m as logits at 10 m: linear between the centers of pixels, constant beyond the outer ones. */
export function doubleLogits(
  logits: Float32Array,
  { width, height }: Plan,
  to: { readonly width: number; readonly height: number },
): Float32Array {
  const doubled = new Float32Array(3 * to.width * to.height);
  const [columns, rows] = [halfway(to.width, width), halfway(to.height, height)];
  for (let channel = 0, at = 0; channel < 3; channel += 1) {
    const from = channel * width * height;
    for (const [top, bottom, down] of rows) {
      for (const [left, right, across] of columns) {
        const value = (row: number) =>
          (logits[from + row * width + left] as number) * (1 - across) +
          (logits[from + row * width + right] as number) * across;
        doubled[at] = value(top) * (1 - down) + value(bottom) * down;
        at += 1;
      }
    }
  }
  return doubled;
}

/** For each fine pixel the two coarse ones beside its center, and the share of the second. */
function halfway(fine: number, coarse: number): readonly (readonly [number, number, number])[] {
  return Array.from({ length: fine }, (_, i) => {
    const place = Math.min(coarse - 1, Math.max(0, (i + 0.5) / 2 - 0.5));
    const first = Math.floor(place);
    return [first, Math.min(coarse - 1, first + 1), place - first] as const;
  });
}
