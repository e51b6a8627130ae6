import type { Picture } from '../image/whole.ts';
import { lend, mapped } from './arena.ts';
import { close, open } from './background.ts';

/** A number for each pixel, row by row. */
export interface Plane {
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
}

export interface Ink {
  /** How far each pixel is from the background in the direction of the ink, 0 and above, in levels of 255. */
  readonly plane: Plane;
  /** Standard deviation of the background. */
  readonly noise: number;
}

/** Cells of the longer side in which the ink's color is looked for. */
const cells = 64;
/** Share of the longer side that is wider than any stroke: what is as wide is a shadow, or the background. */
const widest = 0.22;
/** Share of each side at the border that does not decide about the ink's color: ruling and table edges lie there. */
const margin = 0.08;
/** Sum of a direction's parts, 1.73 for gray, from which on values along it tell how bright a pixel is. */
const leastGray = 1.2;
/** How much ink in the dark is strengthened at most: more would be noise. */
const maxGain = 3;
/** Pixels of the longer side below which a stroke is so narrow that less noise would not be worth a fainter stroke. */
const softenedSide = 64;

/**
 * Separates ink of any color from a background of any color: along the direction of colors in which the picture strays from its
 * background, to that of both sides where few pixels stray far, whatever stands out and is no wider than a stroke. Shadows stay behind.
 */
export function inkOf(picture: Picture): Ink {
  const { width, height } = picture;
  const channels = split(picture);
  const [red, green, blue] = directionOf(channels, width, height);
  const [reds, greens, blues] = channels as [Uint8Array, Uint8Array, Uint8Array];
  const values = lend(Float32Array, width * height);
  for (let at = 0; at < values.length; at++) {
    values[at] = red * (reds[at] as number) + green * (greens[at] as number) + blue * (blues[at] as number);
  }
  const sharp = { values, width, height };
  const plane = Math.max(width, height) < softenedSide ? sharp : soften(sharp);
  const background = open(plane, radiusFor(width, height));
  const isLight = Math.abs(red + green + blue) >= leastGray;
  const above = subtract(plane.values, background, isLight);
  // Of noise, the opened plane is the lower side.
  const typical = quantile(above, 0.5);
  const noise = Math.max(
    0.5,
    1.4826 *
      quantile(
        mapped(above, (value) => Math.abs(value - typical)),
        0.5,
      ),
  );
  return { plane: { values: mapped(above, (value) => Math.max(0, value - typical)), width, height }, noise };
}

/** The values less the background; where both are brightnesses, as if the whole background were as bright as most of it. */
function subtract(values: Float32Array, background: Float32Array, isLight: boolean): Float32Array {
  if (!isLight) return mapped(values, (value, at) => value - (background[at] as number));
  const usual = Math.max(1, quantile(mapped(background, Math.abs), 0.5));
  return mapped(values, (value, at) => {
    const behind = background[at] as number;
    return ((value - behind) * usual) / Math.max(Math.abs(behind), usual / maxGain);
  });
}

/** RGB, each 0 to 255. What is transparent shows the lighter or darker ground of which the opaque pixels stand out more. */
function split({ data, width, height }: Picture): readonly Uint8Array[] {
  const pixels = width * height;
  const step = data.length / pixels;
  const planes = [0, 1, 2].map((channel) => {
    const plane = lend(Uint8Array, pixels);
    for (let at = 0, from = channel; at < pixels; at++, from += step) plane[at] = data[from] as number;
    return plane;
  });
  if (step === 3) return planes;
  let [light, opaque] = [0, 0];
  for (let i = 0; i < pixels; i++) {
    const alpha = data[i * 4 + 3] as number;
    opaque += alpha;
    for (const plane of planes) light += (alpha * (plane[i] as number)) / 3;
  }
  const ground = light > 127.5 * opaque ? 0 : 255;
  for (const plane of planes) {
    for (let i = 0; i < pixels; i++) {
      const alpha = data[i * 4 + 3] as number;
      plane[i] = Math.round(((plane[i] as number) * alpha + ground * (255 - alpha)) / 255);
    }
  }
  return planes;
}

const radiusFor = (width: number, height: number) => Math.ceil((widest * Math.max(width, height)) / 2);

type Color = readonly [red: number, green: number, blue: number];

/** The direction from the background's color to the ink's, of length 1. */
function directionOf(channels: readonly Uint8Array[], width: number, height: number): Color {
  const cell = Math.max(1, Math.max(width, height) / cells);
  const [across, down] = [Math.ceil(width / cell), Math.ceil(height / cell)];
  const size = { width: across, height: down };
  const grids = channels.map((channel) => shrink(channel, { width, height, across, down }));
  const [reds, greens, blues] = grids as [Float32Array, Float32Array, Float32Array];
  const [red, green, blue] = mainDirection(
    grids.map((values) => standOut({ values, ...size })),
    size,
  );
  const values = mapped(
    reds,
    (level, at) => red * level + green * (greens[at] as number) + blue * (blues[at] as number),
  );
  // Without its ink a page is smooth. Without what lies between strokes it is not.
  const plane = { values, ...size };
  const radius = radiusFor(across, down);
  const isHigh =
    roughness({ ...size, values: open(plane, radius) }) < roughness({ ...size, values: close(plane, radius) });
  const sign = isHigh ? 1 : -1;
  return [sign * red, sign * green, sign * blue];
}

/** How much a cell is higher than its surroundings within a stroke's width, or else lower: below 0. Steps and slopes give 0. */
function standOut(plane: Plane): Float32Array {
  const radius = radiusFor(plane.width, plane.height);
  const [lower, upper] = [open(plane, radius), close(plane, radius)];
  return mapped(plane.values, (value, at) => 2 * value - (lower[at] as number) - (upper[at] as number));
}

/** Cells away from the border. */
function* inner(width: number, height: number): Generator<number> {
  const [x0, y0] = [Math.floor(width * margin), Math.floor(height * margin)];
  for (let y = y0; y < height - y0; y++) for (let x = x0; x < width - x0; x++) yield y * width + x;
}

/** In which the colors stray most. */
function mainDirection(offsets: readonly Float32Array[], { width, height }: Pick<Plane, 'width' | 'height'>): Color {
  const [reds, greens, blues] = offsets as [Float32Array, Float32Array, Float32Array];
  let [rr, rg, rb, gg, gb, bb] = [0, 0, 0, 0, 0, 0];
  for (const at of inner(width, height)) {
    const [r, g, b] = [reds[at] as number, greens[at] as number, blues[at] as number];
    const weight = r * r + g * g + b * b; // noise counts little
    rr += weight * r * r;
    rg += weight * r * g;
    rb += weight * r * b;
    gg += weight * g * g;
    gb += weight * g * b;
    bb += weight * b * b;
  }
  return principal([rr, rg, rb, gg, gb, bb]);
}

/** Sum of the differences between neighbors, away from the border. */
function roughness({ values, width, height }: Plane): number {
  let sum = 0;
  for (const at of inner(width, height)) {
    const value = values[at] as number;
    sum += Math.abs(value - (values[at - 1] ?? value)) + Math.abs(value - (values[at - width] ?? value));
  }
  return sum;
}

interface Sizes {
  readonly width: number;
  readonly height: number;
  readonly across: number;
  readonly down: number;
}

/** The mean of each cell. */
function shrink(channel: Uint8Array, { width, height, across, down }: Sizes): Float32Array {
  const sums = lend(Float32Array, across * down);
  const counts = lend(Uint32Array, across * down);
  const columns = Uint16Array.from({ length: width }, (_, x) => Math.floor((x * across) / width));
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * down) / height) * across;
    for (let x = 0; x < width; x++) {
      const at = row + (columns[x] as number);
      (sums[at] as number) += channel[y * width + x] as number;
      (counts[at] as number) += 1;
    }
  }
  return mapped(sums, (sum, at) => sum / (counts[at] as number));
}

/** The direction of most variance of a symmetric 3x3 matrix, given by its upper half. */
function principal([rr = 0, rg = 0, rb = 0, gg = 0, gb = 0, bb = 0]: readonly number[]): Color {
  let direction: Color = [0.577, 0.577, 0.577];
  // Power iteration, which ends near enough: the second direction has a small part of the first one's variance.
  for (let i = 0; i < 20; i++) {
    const [r, g, b] = direction;
    const next = [rr * r + rg * g + rb * b, rg * r + gg * g + gb * b, rb * r + gb * g + bb * b] as const;
    const length = Math.hypot(...next);
    if (length === 0) break;
    direction = [next[0] / length, next[1] / length, next[2] / length];
  }
  return direction;
}

/** Each pixel with a weight of 4, its neighbors beside it with 2 and those at its corners with 1. */
function soften({ values, width, height }: Plane): Plane {
  const rows = lend(Float32Array, values.length);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const middle = values[at] as number;
      const left = x > 0 ? (values[at - 1] as number) : middle;
      const right = x < width - 1 ? (values[at + 1] as number) : middle;
      rows[at] = (left + 2 * middle + right) / 4;
    }
  }
  const result = lend(Float32Array, values.length);
  for (let at = 0; at < values.length; at++) {
    const middle = rows[at] as number;
    const above = at >= width ? (rows[at - width] as number) : middle;
    const below = at + width < rows.length ? (rows[at + width] as number) : middle;
    result[at] = (above + 2 * middle + below) / 4;
  }
  return { values: result, width, height };
}

/** The value below which `share` of the values lie, between 0 and 511, to a quarter of a level. */
export function quantile(values: Float32Array, share: number): number {
  const counts = lend(Uint32Array, 2048);
  for (const value of values) (counts[Math.min(2047, Math.max(0, Math.round(4 * value)))] as number) += 1;
  let [level, seen] = [0, 0];
  while (seen + (counts[level] as number) < share * values.length) seen += counts[level++] as number;
  return level / 4;
}
