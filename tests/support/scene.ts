import { createRandom } from '../../models/random.ts';

/** A drawn patch of Sentinel-2: numbers as in a product without an offset, and what each pixel is. */
export interface Scene {
  readonly side: number;
  /** For each band, row by row. */
  readonly bands: Readonly<Record<string, readonly number[]>>;
  /** 0 clear, 1 cloud, 2 shadow. */
  readonly truth: Uint8Array;
}

/** Reflectance of what there is to see, in the order of `bandNames`; typical values, invented for tests and no measurement. */
const bandNames = ['B02', 'B03', 'B04', 'B08', 'B11', 'B12'];
const materials = {
  vegetation: [0.05, 0.08, 0.05, 0.34, 0.19, 0.1],
  soil: [0.11, 0.15, 0.19, 0.27, 0.35, 0.28],
  water: [0.07, 0.06, 0.04, 0.03, 0.01, 0.01],
  snow: [0.84, 0.85, 0.85, 0.8, 0.1, 0.09],
  cloud: [0.52, 0.53, 0.54, 0.59, 0.42, 0.31],
};

/** Of the light that falls on a shadow, this much is left. */
const shade = 0.45;

export interface SceneOptions {
  readonly seed?: number;
  readonly side?: number;
  readonly hasSnow?: boolean;
  readonly hasClouds?: boolean;
}

/** Smooth fields decide where land, water and clouds are; a cloud's edge is 0.06 of its field wide, its shadow lies to the upper left. */
export function drawScene({ seed = 1, side = 128, hasSnow = false, hasClouds = true }: SceneOptions = {}): Scene {
  const [moisture, height, haze] = [0, 1, 2].map((turn) => drawField(seed, turn, side)) as [Field, Field, Field];
  const cover = (x: number, y: number) => (hasClouds ? clamp((haze(x, y) - 0.55) / 0.06) : 0);
  const noise = createRandom(seed, 3);
  const bands = Object.fromEntries(bandNames.map((name) => [name, [] as number[]]));
  const truth = new Uint8Array(side * side);
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const cloud = cover(x, y);
      const shadow = cover(x + 14, y + 10) * (1 - cloud);
      const dry = clamp((moisture(x, y) - 0.4) / 0.2);
      const ground = hasSnow && height(x, y) > 0.5 ? materials.snow : height(x, y) < 0.36 ? materials.water : undefined;
      for (const [index, name] of bandNames.entries()) {
        const of = (material: readonly number[]) => material[index] as number;
        const land = ground ? of(ground) : of(materials.soil) * dry + of(materials.vegetation) * (1 - dry);
        const seen = of(materials.cloud) * cloud + land * (1 - cloud) * (1 - (1 - shade) * shadow);
        bands[name]?.push(Math.round(10_000 * seen) + noise.below(7));
      }
      truth[y * side + x] = cloud > 0.5 ? 1 : shadow > 0.5 ? 2 : 0;
    }
  }
  return { side, bands, truth };
}

type Field = (x: number, y: number) => number;

/** Values about 0.5, smooth over 32 pixels, with smaller waves of half and a quarter of that. */
function drawField(seed: number, turn: number, side: number): Field {
  const layers = [32, 16, 8].map((step, layer) => {
    const random = createRandom(seed, 10 + 10 * turn + layer);
    const count = Math.ceil((side + 32) / step) + 2;
    const knots = Array.from({ length: count * count }, () => random.below(1000) / 1000);
    return (x: number, y: number) => {
      const [column, row] = [Math.floor(x / step), Math.floor(y / step)];
      const [across, down] = [ease(x / step - column), ease(y / step - row)];
      const knot = (dx: number, dy: number) => knots[(row + dy) * count + column + dx] as number;
      const upper = knot(0, 0) * (1 - across) + knot(1, 0) * across;
      const lower = knot(0, 1) * (1 - across) + knot(1, 1) * across;
      return upper * (1 - down) + lower * down;
    };
  });
  const weights = [0.6, 0.27, 0.13];
  return (x, y) => layers.reduce((sum, layer, index) => sum + (weights[index] as number) * layer(x, y), 0);
}

function ease(share: number): number {
  return share * share * (3 - 2 * share);
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}
