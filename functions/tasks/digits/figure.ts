import { lend } from './arena.ts';
import { checkFigure } from './check.ts';
import { type Ink, type Plane, quantile } from './ink.ts';
import { eraseRuling } from './lines.ts';
import { distancesFrom, type Part, type Parts, partsOf } from './parts.ts';
import { noDigit } from './problems.ts';

/** The ink of one figure; all other pixels are 0. */
export interface Figure {
  readonly plane: Plane;
  /** First and last column and row with ink. */
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  /** Least ink of a pixel that belongs to it. */
  readonly low: number;
}

/** Levels of 255 by which the darkest pixels of ink differ at least from the background: less cannot be told from stains. */
const leastContrast = 12;
/** The same in standard deviations of the background. */
const leastContrastToNoise = 6;
/** Share of the pixels that are taken for the darkest: a digit of a tenth of the height has as many. */
const darkestShare = 0.002;
/** Ink of a stroke's edge, and that which each stroke reaches somewhere, as shares of the darkest. */
const [edge, core] = [0.3, 0.55];
/** Pixels of a digit's longer side, and what share of the picture's shorter one it is at least: what is smaller is a speck. */
const [leastSize, leastShare] = [8, 0.1];
/** Share of each side that counts as the border's margin. */
const margin = 0.12;

/** @throws Problem IMAGE_NO_DIGIT */
export function findFigure({ plane, noise }: Ink): Figure {
  const darkest = darkestOf(plane);
  if (darkest < leastContrast || darkest < leastContrastToNoise * noise) throw noDigit('a blank page');
  const low = Math.max(edge * darkest, 3 * noise);
  const high = Math.max(core * darkest, 4 * noise);
  const figure = gather(single(plane, { low, high }), low);
  checkFigure(figure);
  return figure;
}

/** The main figure, without the lines that run through it from side to side. */
function single(plane: Plane, limits: { readonly low: number; readonly high: number }): Found {
  const bordered = eraseRuling(plane, limits.low, ({ isAtBorder }) => isAtBorder);
  const found = choose(bordered.plane, limits);
  if (found !== undefined && !isFromSideToSide(found.main, plane)) return found;
  const bare = eraseRuling(plane, limits.low, () => true);
  if (found !== undefined && bare.across.length + bare.down.length === 0) return found; // a digit that fills the picture
  const other = choose(bare.plane, limits);
  if (other !== undefined) return other;
  if (found !== undefined && bare.across.length === 0 && isNarrow(found.main)) return found; // a 1 of the picture's height
  throw noDigit(bare.across.length + bare.down.length > 1 ? 'lines alone' : 'nothing but background');
}

const isNarrow = ({ left, right, top, bottom }: Pick<Part, 'left' | 'right' | 'top' | 'bottom'>) =>
  right - left < 0.45 * (bottom - top);

interface Found {
  readonly plane: Plane;
  readonly parts: Parts;
  readonly main: Part;
}

/** The ink that only the darkest pixels have, away from the border. */
function darkestOf({ values, width, height }: Plane): number {
  const [x0, y0] = [Math.floor(width * margin), Math.floor(height * margin)];
  const across = width - 2 * x0;
  const inner = lend(Float32Array, across * (height - 2 * y0));
  for (let to = 0, from = y0 * width + x0; to < inner.length; to += across, from += width) {
    inner.set(values.subarray(from, from + across), to);
  }
  return quantile(inner, 1 - darkestShare);
}

function isFromSideToSide({ left, right, top, bottom }: Part, { width, height }: Plane): boolean {
  return (left === 0 && right === width - 1) || (top === 0 && bottom === height - 1);
}

const sizeOf = ({ left, right, top, bottom }: Part) => Math.max(right - left, bottom - top) + 1;

/** The part with most ink, less the nearer it is to the border. */
function choose(plane: Plane, { low, high }: { readonly low: number; readonly high: number }): Found | undefined {
  const { width, height } = plane;
  const shorter = Math.min(width, height);
  const parts = partsOf(plane, { low, high }, margin * shorter);
  const scoreOf = (part: Part) => {
    const { area, ink, inMargin, left, right, top, bottom, x, y } = part;
    if (sizeOf(part) < Math.max(leastSize, leastShare * shorter) || inMargin > 0.7 * area) return 0;
    const away = Math.max(Math.abs(x / (width - 1 || 1) - 0.5), Math.abs(y / (height - 1 || 1) - 0.5)) * 2;
    const touches = [left === 0, right === width - 1, top === 0, bottom === height - 1].filter(Boolean).length;
    return ink * (1 - 0.8 * away) * 0.6 ** touches;
  };
  const scores = parts.list.map(scoreOf);
  const best = Math.max(0, ...scores);
  const main = best > 0 ? parts.list[scores.indexOf(best)] : undefined;
  return main && { plane, parts, main };
}

/** The main part with those that belong to it. @throws Problem IMAGE_NO_DIGIT for others of its kind */
function gather({ plane, parts, main }: Found, low: number): Figure {
  const { width, height } = plane;
  const size = sizeOf(main);
  const distances = distancesFrom(parts.marks, main.mark, width);
  const gaps = lend(Float32Array, parts.list.length + 1).fill(1e6);
  for (let at = 0; at < distances.length; at++) {
    const mark = parts.marks[at] as number;
    gaps[mark] = Math.min(gaps[mark] as number, distances[at] as number);
  }
  const isOf = lend(Uint8Array, parts.list.length + 1);
  isOf[main.mark] = 1;
  let others = 0;
  for (const part of parts.list) {
    if (part === main) continue;
    const gap = gaps[part.mark] as number;
    const touches = part.left === 0 || part.top === 0 || part.right === width - 1 || part.bottom === height - 1;
    const isAside = touches && part.inMargin > 0.5 * part.area;
    if (!isAside && gap <= 0.14 * size && part.area >= 0.02 * main.area) isOf[part.mark] = 1;
    else if (!touches && part.bottom - part.top >= 0.5 * (main.bottom - main.top) && part.ink >= 0.2 * main.ink)
      others += 1;
  }
  if (others > 0) throw noDigit(`${others + 1} separate figures`);
  const chosen = parts.list.filter(({ mark }) => isOf[mark]);
  const values = lend(Float32Array, plane.values.length);
  // With the faint rim of each stroke.
  for (let at = 0; at < values.length; at++) {
    const x = at % width;
    const isRim = [at, at - width, at + width, x > 0 ? at - 1 : at, x < width - 1 ? at + 1 : at].some(
      (near) => isOf[parts.marks[near] ?? 0],
    );
    if (isRim) values[at] = plane.values[at] as number;
  }
  return {
    plane: { values, width, height },
    left: Math.max(0, Math.min(...chosen.map(({ left }) => left)) - 1),
    right: Math.min(width - 1, Math.max(...chosen.map(({ right }) => right)) + 1),
    top: Math.max(0, Math.min(...chosen.map(({ top }) => top)) - 1),
    bottom: Math.min(height - 1, Math.max(...chosen.map(({ bottom }) => bottom)) + 1),
    low,
  };
}
