import type { Random } from '../random.ts';
import { drawLine, type Mask } from './pen.ts';

/** Sides of MNIST's pictures, and of the same with room for strokes that are added. */
const side = 28;
const pad = 4;
const room = side + 2 * pad;

/** One of MNIST's digits about `height` pixels high, turned and slanted a little, with strokes of another width; some 1s get hooks, some 7s bars. */
export function growDigit(pixels: Uint8Array, label: number, height: number, random: Random): Mask {
  const mask: Mask = { values: new Float32Array(room * room), width: room, height: room };
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) mask.values[(y + pad) * room + x + pad] = (pixels[y * side + x] as number) / 255;
  }
  if (label === 1 && random.chance(0.55)) addHook(mask, random);
  if (label === 7 && random.chance(0.5)) addBar(mask, random);
  return enlarge(mask, height / 20, random);
}

/** First row with ink from row `from` on, and the columns of its first and last pixel. */
function rowOfInk(
  { values }: Mask,
  from: number,
  step: 1 | -1,
): readonly [row: number, first: number, last: number] | undefined {
  for (let row = from; row >= 0 && row < room; row += step) {
    const line = values.subarray(row * room, (row + 1) * room);
    const first = line.findIndex((value) => value > 0.5);
    if (first !== -1) return [row, first, line.findLastIndex((value) => value > 0.5)];
  }
  return undefined;
}

/** A stroke from the top of a 1 down to the left, and sometimes a foot. */
function addHook(mask: Mask, random: Random): void {
  const top = rowOfInk(mask, 0, 1);
  const bottom = rowOfInk(mask, room - 1, -1);
  if (!top || !bottom) return;
  const pen = Math.max(1.5, 0.8 * (top[2] - top[1] + 1));
  const x = (top[1] + top[2]) / 2;
  const length = random.between(4, 10);
  const angle = random.between(0.35, 0.95); // from upright; flatter ones are 7s
  drawLine(
    mask,
    [x, top[0] + pen / 2],
    [x - length * Math.sin(angle), top[0] + pen / 2 + length * Math.cos(angle)],
    pen,
  );
  if (!random.chance(0.2)) return;
  const foot = (bottom[1] + bottom[2]) / 2;
  drawLine(
    mask,
    [foot - random.between(2, 6), bottom[0]],
    [foot + random.between(2, 6), bottom[0] - random.between(-0.5, 1)],
    pen,
  );
}

/** A bar through the stem of a 7. */
function addBar(mask: Mask, random: Random): void {
  const row = rowOfInk(mask, Math.round(room * random.between(0.47, 0.58)), 1);
  if (!row) return;
  const x = (row[1] + row[2]) / 2;
  const pen = Math.min(3.5, Math.max(1.5, 0.8 * (row[2] - row[1] + 1)));
  const rise = random.between(-1, 1.5);
  drawLine(mask, [x - random.between(3, 7), row[0] + rise], [x + random.between(3, 7), row[0] - rise], pen);
}

function enlarge(mask: Mask, scale: number, random: Random): Mask {
  const size = Math.ceil(room * scale);
  const values = new Float32Array(size * size);
  const [turn, slant] = [random.stray(0.1), random.stray(0.12)];
  const [wide, tall] = [random.between(0.85, 1.15) / scale, 1 / scale];
  // The grey rims of MNIST's strokes are slopes: where they are cut decides how wide a stroke becomes.
  const cut = random.between(0.3, 0.62);
  const steep = Math.max(0.7 * scale, 0.5 / cut, 0.5 / (1 - cut)); // 0 stays 0 and 1 stays 1
  const [sin, cos] = [Math.sin(turn), Math.cos(turn)];
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [u, v] = [x - size / 2, y - size / 2];
      const down = (u * sin + v * cos) * tall;
      const across = (u * cos - v * sin) * wide + slant * down;
      const value = sample(mask, across + room / 2 - 0.5, down + room / 2 - 0.5);
      values[y * size + x] = Math.min(1, Math.max(0, (value - cut) * steep + 0.5));
    }
  }
  return trim({ values, width: size, height: size });
}

/** Between the pixels. */
function sample({ values, width, height }: Mask, x: number, y: number): number {
  const [x0, y0] = [Math.floor(x), Math.floor(y)];
  if (x0 < 0 || y0 < 0 || x0 >= width - 1 || y0 >= height - 1) return 0;
  const [fx, fy] = [x - x0, y - y0];
  const at = y0 * width + x0;
  const upper = (values[at] as number) * (1 - fx) + (values[at + 1] as number) * fx;
  const lower = (values[at + width] as number) * (1 - fx) + (values[at + width + 1] as number) * fx;
  return upper * (1 - fy) + lower * fy;
}

/** Without the empty rows and columns around it. */
export function trim({ values, width, height }: Mask): Mask {
  let [left, right, top, bottom] = [width - 1, 0, height - 1, 0];
  for (let at = 0; at < values.length; at++) {
    if ((values[at] as number) < 0.05) continue;
    const [x, y] = [at % width, Math.floor(at / width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  const [across, down] = [Math.max(1, right - left + 1), Math.max(1, bottom - top + 1)];
  const trimmed = new Float32Array(across * down);
  for (let y = 0; y < down; y++)
    trimmed.set(values.subarray((top + y) * width + left, (top + y) * width + left + across), y * across);
  return { values: trimmed, width: across, height: down };
}
