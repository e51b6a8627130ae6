import { lend } from './arena.ts';
import type { Figure } from './figure.ts';
import { holesOf } from './parts.ts';
import { noDigit } from './problems.ts';

/** Areas that a digit encloses: two of an 8, and one or two where strokes cross. Smaller ones, as shares of its box, do not count. */
const [mostHoles, leastHole] = [3, 0.01];
/** How often a figure is as wide as high at most: no digit of MNIST is. */
const mostWide = 2.5;
/** Share of its box that a figure fills at most, unless it is as narrow as a 1: its width less than this share of its height. */
const [mostFilled, narrow] = [0.8, 0.45];
/**
 * How steeply ink rises at most of its edge, as a share of its most: from nothing within this share of the picture's longer side, or
 * within so many pixels. Where light fades to two sides, the dark between rises more slowly.
 */
const rise = { share: 1 / 12, pixels: 4, edge: 0.7 } as const;

/** @throws Problem IMAGE_NO_DIGIT for a shadow, a grid, a line and a spot */
export function checkFigure(figure: Figure): void {
  const { plane, left, right, top, bottom, low } = figure;
  if (steepnessOf(figure) < 1 / Math.max(rise.pixels, rise.share * Math.max(plane.width, plane.height))) {
    throw noDigit('a shadow');
  }
  const [across, down] = [right - left + 1, bottom - top + 1];
  const isInk = lend(Uint8Array, (across + 2) * (down + 2));
  let area = 0;
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      if (!((plane.values[(top + y) * plane.width + left + x] as number) >= low)) continue;
      isInk[(y + 1) * (across + 2) + x + 1] = 1;
      area += 1;
    }
  }
  if (holesOf(isInk, across + 2, leastHole * across * down) > mostHoles) throw noDigit('a grid or a pattern');
  if (across > mostWide * down) throw noDigit('a line');
  const isNarrow = Math.min(across, down) <= narrow * Math.max(across, down);
  if (!isNarrow && area > mostFilled * (across - 2) * (down - 2)) throw noDigit('a filled area');
}

/** By how much of its most the ink changes from pixel to pixel, at its edge where that is not among the least steep. */
function steepnessOf({ plane: { values, width, height }, low }: Figure): number {
  const ink: number[] = [];
  const slopes: number[] = [];
  for (let y = 1; y < height - 1; y++) {
    for (let at = y * width + 1; at < (y + 1) * width - 1; at++) {
      if (!((values[at] as number) >= low)) continue;
      ink.push(values[at] as number);
      const [before, after, above, below] = [-1, 1, -width, width].map((step) => values[at + step] as number) as [
        number,
        number,
        number,
        number,
      ];
      if (Math.min(before, after, above, below) >= low) continue;
      slopes.push(Math.hypot(after - before, below - above) / 2);
    }
  }
  const most = Float32Array.from(ink).sort()[Math.floor(0.9 * ink.length)] ?? 1;
  const steep = Float32Array.from(slopes).sort()[Math.floor((1 - rise.edge) * slopes.length)] ?? most;
  return steep / most;
}
