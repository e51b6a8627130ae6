import { lend } from './arena.ts';
import type { Plane } from './ink.ts';

/** Pixels of ink that hang together, at their sides or corners. */
export interface Part {
  /** What its pixels are marked with. */
  readonly mark: number;
  readonly area: number;
  /** Sum of the ink. */
  readonly ink: number;
  /** First and last column and row. */
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  /** Center of mass, in pixels. */
  readonly x: number;
  readonly y: number;
  /** Pixels nearer to the picture's border than the width of its margin. */
  readonly inMargin: number;
}

export interface Parts {
  readonly list: readonly Part[];
  /** The mark of the part that a pixel belongs to, or 0. */
  readonly marks: Uint16Array;
}

/** Parts with more ink than `low` at each pixel and than `high` at one; `margin` pixels wide is the picture's border. */
export function partsOf(
  plane: Plane,
  { low, high }: { readonly low: number; readonly high: number },
  margin: number,
): Parts {
  const { values, width, height } = plane;
  const marks = lend(Uint16Array, values.length);
  const list: Part[] = [];
  const stack = lend(Int32Array, values.length);
  for (let from = 0; from < values.length; from++) {
    if (marks[from] !== 0 || !((values[from] as number) >= high)) continue;
    const mark = list.length + 1;
    if (mark > 65_535) break; // noise
    let [area, ink, left, right, top, bottom, x, y, inMargin] = [0, 0, width, 0, height, 0, 0, 0, 0];
    let depth = 1;
    stack[0] = from;
    marks[from] = mark;
    while (depth > 0) {
      const at = stack[--depth] as number;
      const [column, row, value] = [at % width, Math.floor(at / width), values[at] as number];
      area += 1;
      ink += value;
      x += value * column;
      y += value * row;
      left = Math.min(left, column);
      right = Math.max(right, column);
      top = Math.min(top, row);
      bottom = Math.max(bottom, row);
      if (Math.min(column, row, width - 1 - column, height - 1 - row) < margin) inMargin += 1;
      for (let ny = Math.max(0, row - 1); ny <= Math.min(height - 1, row + 1); ny++) {
        for (let nx = Math.max(0, column - 1); nx <= Math.min(width - 1, column + 1); nx++) {
          const next = ny * width + nx;
          if (marks[next] !== 0 || !((values[next] as number) >= low)) continue;
          marks[next] = mark;
          stack[depth++] = next;
        }
      }
    }
    list.push({ mark, area, ink, left, right, top, bottom, x: x / ink, y: y / ink, inMargin });
  }
  return { list, marks };
}

/** How far each pixel is from the nearest one with `mark`, in pixels (steps of 1 and 1.4, at most 8 % too long). */
export function distancesFrom(marks: Uint16Array, mark: number, width: number): Float32Array {
  const distances = lend(Float32Array, marks.length);
  for (let at = 0; at < marks.length; at++) distances[at] = marks[at] === mark ? 0 : 1e6;
  const height = marks.length / width;
  const near = (at: number, x: number, y: number, step: number) => {
    // What has been visited before: one row back, and the pixel beside.
    const row = at - step * width;
    let best = distances[at] as number;
    const [isFirst, isLast] = step > 0 ? [x === 0, x === width - 1] : [x === width - 1, x === 0];
    if (!isFirst) best = Math.min(best, (distances[at - step] as number) + 1);
    if (step > 0 ? y > 0 : y < height - 1) {
      best = Math.min(best, (distances[row] as number) + 1);
      if (!isFirst) best = Math.min(best, (distances[row - step] as number) + 1.4);
      if (!isLast) best = Math.min(best, (distances[row + step] as number) + 1.4);
    }
    distances[at] = best;
  };
  for (let at = 0; at < marks.length; at++) near(at, at % width, Math.floor(at / width), 1);
  for (let at = marks.length - 1; at >= 0; at--) near(at, at % width, Math.floor(at / width), -1);
  return distances;
}

/** How many separate areas without the marked pixels lie inside them, each of at least `least` pixels. */
export function holesOf(isInk: Uint8Array, width: number, least: number): number {
  const seen = lend(Uint8Array, isInk.length);
  seen.set(isInk);
  const height = isInk.length / width;
  const stack = lend(Int32Array, isInk.length);
  let holes = 0;
  for (let from = 0; from < isInk.length; from++) {
    if (seen[from]) continue;
    let [depth, area, isOutside] = [1, 0, false];
    stack[0] = from;
    seen[from] = 1;
    const visit = (next: number) => {
      if (seen[next]) return;
      seen[next] = 1;
      stack[depth++] = next;
    };
    while (depth > 0) {
      const at = stack[--depth] as number;
      const [column, row] = [at % width, Math.floor(at / width)];
      area += 1;
      if (column === 0 || row === 0 || column === width - 1 || row === height - 1) isOutside = true;
      if (column > 0) visit(at - 1);
      if (column < width - 1) visit(at + 1);
      if (row > 0) visit(at - width);
      if (row < height - 1) visit(at + width);
    }
    if (!isOutside && area >= least) holes += 1;
  }
  return holes;
}
