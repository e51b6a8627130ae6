import { lend } from './arena.ts';
import type { Plane } from './ink.ts';

/** Cells of the longer side in which straight lines are looked for. */
const cells = 80;
/** How far a line may rise or fall over the whole picture, in cells: 6 degrees. */
const maxRise = 8;
/** Share of the way from side to side that ink covers along a line. */
const leastCover = 0.85;
/** Lines of each direction that are looked for; a page in a small picture has fewer. */
const maxLines = 8;

/** A line from one side to the other: where it begins and ends, in pixels, on the axis that it crosses. */
interface Line {
  readonly begin: number;
  readonly end: number;
  readonly isAtBorder: boolean;
}

export interface Ruling {
  /** From left to right, and from top to bottom. */
  readonly across: readonly Line[];
  readonly down: readonly Line[];
  /** The ink without all of them. */
  readonly plane: Plane;
}

/**
 * Erases straight lines that run from side to side, but not the strokes that cross them. `isWanted` says which of those found.
 * @param low ink of a pixel that belongs to a line
 */
export function eraseRuling(plane: Plane, low: number, isWanted: (line: Line, isAcross: boolean) => boolean): Ruling {
  const wide = eraseAcross(plane, low, (line) => isWanted(line, true));
  const tall = eraseAcross(turn(wide.plane), low, (line) => isWanted(line, false));
  return { across: wide.lines, down: tall.lines, plane: turn(tall.plane) };
}

/** Rows become columns. */
function turn({ values, width, height }: Plane): Plane {
  const turned = lend(Float32Array, values.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) turned[x * height + y] = values[y * width + x] as number;
  return { values: turned, width: height, height: width };
}

function eraseAcross(plane: Plane, low: number, isWanted: (line: Line) => boolean) {
  const values = lend(Float32Array, plane.values.length);
  values.set(plane.values);
  const lines: Line[] = [];
  const spared = new Set<string>();
  for (let i = 0; i < maxLines; i++) {
    const line = findLine({ ...plane, values }, low, spared);
    if (line === undefined) break;
    if (isWanted(line.line)) {
      erase(values, plane, low, line.line);
      lines.push(line.line);
    }
    spared.add(line.key);
  }
  return { lines, plane: { ...plane, values } };
}

/** The line from left to right that most ink covers, if it is enough. */
function findLine({ values, width, height }: Plane, low: number, spared: ReadonlySet<string>) {
  const cell = Math.max(1, Math.max(width, height) / cells);
  const [across, down] = [Math.ceil(width / cell), Math.ceil(height / cell)];
  const isInk = lend(Uint8Array, across * down);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / cell) * across;
    for (let x = 0; x < width; x++) if ((values[y * width + x] as number) >= low) isInk[row + Math.floor(x / cell)] = 1;
  }
  // One count for each place at the left and each rise to the right.
  const rises = 2 * maxRise + 1;
  const counts = lend(Uint16Array, rises * (down + 2 * maxRise));
  for (let x = 0; x < across; x++) {
    for (let y = 0; y < down; y++) {
      if (!isInk[y * across + x]) continue;
      for (let rise = -maxRise; rise <= maxRise; rise++) {
        const begin = Math.round(y - (rise * (x + 0.5)) / across) + maxRise;
        (counts[(rise + maxRise) * (down + 2 * maxRise) + begin] as number) += 1;
      }
    }
  }
  let best: { readonly line: Line; readonly key: string; readonly cover: number } | undefined;
  for (let rise = -maxRise; rise <= maxRise; rise++) {
    for (let place = 0; place < down + 2 * maxRise; place++) {
      const cover = (counts[(rise + maxRise) * (down + 2 * maxRise) + place] as number) / across;
      if (cover < leastCover || cover <= (best?.cover ?? 0)) continue;
      const begin = place - maxRise;
      const isNear = (at: number) => Math.min(at, down - 1 - at) < 0.13 * down;
      const isAtBorder = isNear(begin) && isNear(begin + rise);
      const key = `${rise} ${place}`;
      if (spared.has(key)) continue;
      const line = { begin: (begin + 0.5) * cell, end: (begin + rise + 0.5) * cell, isAtBorder };
      best = { line, key, cover };
    }
  }
  return best;
}

/** Takes away the ink of each column near the line, unless it reaches much farther than most do: there a stroke crosses. */
function erase(values: Float32Array, { width, height }: Plane, low: number, { begin, end }: Line): void {
  const reach = Math.max(1.5, Math.max(width, height) / cells);
  const runs: (readonly [first: number, last: number] | undefined)[] = [];
  for (let x = 0; x < width; x++) {
    const middle = begin + ((end - begin) * (x + 0.5)) / width;
    runs.push(runNear(values, { width, height }, low, { x, middle, reach }));
  }
  const lengths = runs.flatMap((run) => (run ? [run[1] - run[0] + 1] : [])).sort((one, other) => one - other);
  const typical = lengths[lengths.length >> 1] ?? 0;
  for (const [x, run] of runs.entries()) {
    if (!run || run[1] - run[0] + 1 > 1.6 * typical + 1) continue;
    for (let y = Math.max(0, run[0] - 1); y <= Math.min(height - 1, run[1] + 1); y++) values[y * width + x] = 0;
  }
}

/** First and last row of the ink in a column that is nearest to `middle`, where it is nearer than `reach`. */
function runNear(
  values: Float32Array,
  { width, height }: { readonly width: number; readonly height: number },
  low: number,
  { x, middle, reach }: { readonly x: number; readonly middle: number; readonly reach: number },
): readonly [number, number] | undefined {
  const isInk = (y: number) => y >= 0 && y < height && (values[y * width + x] as number) >= low;
  for (let step = 0; step <= Math.ceil(reach); step++) {
    for (const y of [Math.floor(middle) - step, Math.floor(middle) + step]) {
      if (!isInk(y)) continue;
      let [first, last] = [y, y];
      while (isInk(first - 1)) first -= 1;
      while (isInk(last + 1)) last += 1;
      return [first, last];
    }
  }
  return undefined;
}
