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
  readonly isTiled: boolean;
}

/**
 * The whole patch in one run, its sides made multiples, or tiles of one size. Tiles begin outside of the patch, so that the border lies where
 * a tile counts in full, and share one pixel more than `overlap`, the outermost of which counts nothing: as ukis-csmask does it.
 */
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
    return { width: across, height: down, tileWidth, tileHeight, lefts: [0], tops: [0], ramp: 0, isTiled: false };
  }
  const { size, overlap } = tile;
  const plan = { width: across, height: down, tileWidth: size, tileHeight: size, ramp: overlap, isTiled: true };
  return { ...plan, lefts: placeTiles(across, size, overlap), tops: placeTiles(down, size, overlap) };
}

function placeTiles(side: number, size: number, overlap: number): readonly number[] {
  const step = size - overlap - 1;
  return Array.from({ length: Math.ceil((side + overlap) / step) }, (_, index) => index * step - overlap);
}

/** The source of each of `length` pixels from `start`, where a side goes on as its mirror image that repeats the border: cba|abc|cba. */
export function mirror(start: number, length: number, side: number): Int32Array {
  const period = 2 * side;
  return Int32Array.from({ length }, (_, index) => {
    const place = (((start + index) % period) + period) % period;
    return place < side ? place : period - 1 - place;
  });
}

/**
 * The scores of the averaged patch, [3, height, width]: the logits of the only run, or the mean of the tiles' probabilities, in which each tile
 * counts by the product of its weights along both sides.
 * @param runs logits [1, 3, tileHeight, tileWidth] each, row by row
 */
export function joinTiles(runs: readonly Float32Array[], plan: Plan): Float32Array {
  const { width, height, tileWidth, tileHeight, lefts, tops, ramp } = plan;
  const pixels = width * height;
  const joined = new Float32Array(3 * pixels);
  const [across, down] = [weigh(tileWidth, ramp), weigh(tileHeight, ramp)];
  for (const [index, run] of runs.entries()) {
    const scores = plan.isTiled ? toProbabilities(run) : run;
    const [left, top] = [lefts[index % lefts.length] as number, tops[Math.floor(index / lefts.length)] as number];
    for (let y = Math.max(0, -top); y < Math.min(tileHeight, height - top); y += 1) {
      for (let x = Math.max(0, -left); x < Math.min(tileWidth, width - left); x += 1) {
        const weight = (down[y] as number) * (across[x] as number);
        const [from, to] = [y * tileWidth + x, (top + y) * width + left + x];
        for (let channel = 0; channel < 3; channel += 1) {
          const place = channel * pixels + to;
          const score = scores[channel * tileWidth * tileHeight + from] as number;
          joined[place] = (joined[place] as number) + weight * score;
        }
      }
    }
  }
  return joined;
}

/** The softmax over the three classes of each pixel. */
function toProbabilities(logits: Float32Array): Float32Array {
  const pixels = logits.length / 3;
  const made = new Float32Array(logits.length);
  for (let i = 0; i < pixels; i += 1) {
    const [clear, cloud, shadow] = [logits[i], logits[pixels + i], logits[2 * pixels + i]] as [number, number, number];
    const highest = Math.max(clear, cloud, shadow);
    const powers = [Math.exp(clear - highest), Math.exp(cloud - highest), Math.exp(shadow - highest)] as const;
    const sum = powers[0] + powers[1] + powers[2];
    for (let channel = 0; channel < 3; channel += 1) made[channel * pixels + i] = (powers[channel] as number) / sum;
  }
  return made;
}

/** Rises over `ramp` pixels as a cosine does, from 0 to 1; two tiles' weights sum to 1 wherever they overlap. */
function weigh(size: number, ramp: number): Float32Array {
  const rise = (i: number) => (i >= ramp ? 1 : (1 - Math.cos((Math.PI * i) / ramp)) / 2);
  return Float32Array.from({ length: size }, (_, i) => rise(Math.min(i, size - 1 - i)));
}

/** Scores at 20 m as scores at 10 m, each for four pixels: interpolated ones would move the mask's edges off the model's. */
export function repeatScores(
  scores: Float32Array,
  { width, height }: Plan,
  to: { readonly width: number; readonly height: number },
): Float32Array {
  const repeated = new Float32Array(3 * to.width * to.height);
  for (let channel = 0, at = 0; channel < 3; channel += 1) {
    for (let y = 0; y < to.height; y += 1) {
      const row = (channel * height + (y >> 1)) * width;
      for (let x = 0; x < to.width; x += 1, at += 1) repeated[at] = scores[row + (x >> 1)] as number;
    }
  }
  return repeated;
}
