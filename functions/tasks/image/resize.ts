import { passes } from './passes.ts';

/** What a model wants: the shorter side resized to `resize` pixels, then the middle `crop` x `crop`; crop <= resize. */
export interface ImageRecipe {
  readonly resize: number;
  readonly crop: number;
  /** Pillow's bilinear or bicubic. @default "linear" */
  readonly kernel?: Kernel;
}

export type Kernel = 'linear' | 'cubic';

/** The same for recipes that make the same pixels of an image. */
export function geometryOf({ resize, crop, kernel = 'linear' }: ImageRecipe): string {
  return `${resize}/${crop}/${kernel}`;
}

/** One side of the image on its way: `source` pixels become `resized`, of which the crop keeps `crop` from `offset` on. */
export interface Axis {
  /** Not a whole number where the last pixel stands for less of the image than the others. */
  readonly source: number;
  readonly resized: number;
  readonly offset: number;
  readonly crop: number;
}

/** The crop needs `length` source pixels of an axis from `first` on. */
export interface Span {
  readonly first: number;
  readonly length: number;
}

/** A filter for one axis: pixel i of the crop is a weighted sum of `counts[i]` source pixels. */
export interface Filter extends Span {
  /** For each pixel of the crop, where its source pixels begin, counted from `first`. */
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  /** `stride` places for each pixel of the crop. */
  readonly weights: Int32Array;
  readonly stride: number;
}

/**
 * Weights are whole numbers in units of 2^-22, as Pillow's are: 255 times the sum of their amounts, at most 1.3 where some are below
 * zero, stays below 2^31, so that 32 bits hold every sum.
 */
const one = 2 ** 22;

/** A pixel's share by its distance from the center, in pixels of the coarser side, and the distance from which on it has none. */
interface Curve {
  readonly reach: number;
  share(distance: number): number;
}

const curves: Readonly<Record<Kernel, Curve>> = {
  linear: { reach: 1, share: (distance) => Math.max(0, 1 - distance) },
  // Keys' cubic convolution with a = -0.5, as Pillow has it; OpenCV has -0.75.
  cubic: {
    reach: 2,
    share(distance) {
      if (distance < 1) return (1.5 * distance - 2.5) * distance ** 2 + 1;
      return distance < 2 ? ((-0.5 * distance + 2.5) * distance - 4) * distance + 2 : 0;
    },
  },
};

/** Both axes by torchvision's rules: the longer side is cut to a whole number, the crop's offset is rounded half to even. */
export function planAxes(width: number, height: number, { resize, crop }: ImageRecipe): [across: Axis, down: Axis] {
  const shorter = Math.min(width, height);
  const plan = (source: number): Axis => {
    const resized = source === shorter ? resize : Math.trunc((resize * source) / shorter);
    return { source, resized, offset: roundHalfToEven((resized - crop) / 2), crop };
  };
  return [plan(width), plan(height)];
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

/**
 * Which source pixels the filter of each pixel of the crop covers. Where the axis shrinks, the curve is measured in resized pixels
 * (antialiasing); where it grows, in source pixels (interpolation).
 */
function placeFilter({ source, resized, offset }: Axis, { reach }: Curve) {
  const scale = source / resized;
  const unit = Math.max(scale, 1);
  const centerOf = (i: number) => (offset + i + 0.5) * scale;
  return {
    unit,
    centerOf,
    startOf: (i: number) => Math.max(0, Math.trunc(centerOf(i) - reach * unit + 0.5)),
    endOf: (i: number) => Math.min(Math.ceil(source), Math.trunc(centerOf(i) + reach * unit + 0.5)),
  };
}

/** The source pixels for the crop's part of an axis: known before their weights are. */
export function planSpan(axis: Axis, kernel: Kernel = 'linear'): Span {
  const { startOf, endOf } = placeFilter(axis, curves[kernel]);
  const first = startOf(0);
  return { first, length: endOf(axis.crop - 1) - first };
}

/** The weights for the crop's part of an axis. */
export function planFilter(axis: Axis, kernel: Kernel = 'linear'): Filter {
  const { crop } = axis;
  const curve = curves[kernel];
  const { unit, centerOf, startOf, endOf } = placeFilter(axis, curve);
  const { first, length } = planSpan(axis, kernel);
  const stride = Math.ceil(curve.reach * unit) * 2 + 1;
  const starts = new Int32Array(crop);
  const counts = new Int32Array(crop);
  const weights = new Int32Array(crop * stride);
  const shares = new Float64Array(stride);
  for (let i = 0; i < crop; i++) {
    const center = centerOf(i);
    const start = startOf(i);
    const count = endOf(i) - start;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const share = curve.share(Math.abs(start + k - center + 0.5) / unit);
      shares[k] = share;
      sum += share;
    }
    for (let k = 0; k < count; k++) {
      const share = shares[k] as number;
      weights[i * stride + k] = Math.trunc((share / sum) * one + Math.sign(share) / 2);
    }
    starts[i] = start - first;
    counts[i] = count;
  }
  return { first, length, starts, counts, weights, stride };
}

/** `passes.wat`: both passes read and write this module's own memory. */
interface Passes {
  readonly memory: WebAssembly.Memory;
  across(from: number, rowBytes: number, height: number, ...filterAndTo: readonly number[]): void;
  down(from: number, rowBytes: number, ...filterAndTo: readonly number[]): void;
}

const { memory, across, down } = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(passes, 'base64')))
  .exports as unknown as Passes;

const pageBytes = 65_536;
/** Vectors of 16 bytes; as many lie behind each array, for what is written beyond its end. */
const vectorBytes = 16;

/**
 * The crop of an RGB region that begins where both filters do: Pillow's two passes, each rounded to 8 bits. Eight times as fast
 * in WebAssembly's vectors as in numbers of JavaScript. The memory for the largest region so far is kept.
 */
export function resizeRegion(region: Uint8Array, columns: Filter, rows: Filter): Uint8Array {
  const rowBytes = columns.counts.length * 3;
  let end = 0;
  const reserve = (bytes: number) => {
    const at = end;
    end += Math.ceil(bytes / vectorBytes + 1) * vectorBytes;
    return at;
  };
  const reserveFilter = ({ starts, counts, weights }: Filter) =>
    [starts, counts, weights].map((values) => ({ at: reserve(values.byteLength), values }));
  const from = reserve(region.length);
  const between = reserve(rows.length * rowBytes);
  const to = reserve(rows.counts.length * rowBytes);
  const acrossFilter = reserveFilter(columns);
  const downFilter = reserveFilter(rows);

  const missingBytes = end - memory.buffer.byteLength;
  if (missingBytes > 0) memory.grow(Math.ceil(missingBytes / pageBytes));
  const bytes = new Uint8Array(memory.buffer);
  const numbers = new Int32Array(memory.buffer);
  bytes.set(region, from);
  for (const { at, values } of [...acrossFilter, ...downFilter]) numbers.set(values, at / numbers.BYTES_PER_ELEMENT);

  const placesOf = (filter: typeof acrossFilter) => filter.map(({ at }) => at);
  across(
    from,
    columns.length * 3,
    rows.length,
    ...placesOf(acrossFilter),
    columns.stride,
    columns.counts.length,
    between,
  );
  down(between, rowBytes, ...placesOf(downFilter), rows.stride, rows.counts.length, to);
  return bytes.slice(to, to + rows.counts.length * rowBytes);
}
