import type { Random } from '../random.ts';
import type { Point, Stroke } from './forms.ts';

/** How much of each pixel ink covers, 0 to 1. */
export interface Mask {
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** How a digit is written; lengths are shares of its height. */
export interface Hand {
  readonly pen: number;
  readonly aspect: number;
  /** How far the top leans to the right. */
  readonly slant: number;
  /** Radians. */
  readonly turn: number;
  /** How far points stray. */
  readonly unrest: number;
}

export function makeHand(random: Random, isPrinted: boolean): Hand {
  if (isPrinted) {
    return {
      pen: random.between(0.07, 0.18),
      aspect: random.between(0.48, 0.7),
      slant: random.stray(0.04),
      turn: random.stray(0.03),
      unrest: 0.006,
    };
  }
  return {
    pen: random.between(0.035, 0.17),
    aspect: random.between(0.4, 0.9),
    slant: random.between(-0.12, 0.42),
    turn: random.stray(0.08),
    unrest: random.between(0.01, 0.05),
  };
}

/** A digit's strokes, `height` pixels high. */
export function writeDigit(strokes: readonly Stroke[], height: number, hand: Hand, random: Random): Mask {
  const { pen, aspect, slant, turn, unrest } = hand;
  const lines = strokes.map(({ points, edged }) => {
    const strayed = points.map(([x, y]): Point => {
      const [u, v] = [(x - 0.5 + random.stray(unrest)) * aspect + slant * (0.5 - y), y - 0.5 + random.stray(unrest)];
      return [(u * Math.cos(turn) - v * Math.sin(turn)) * height, (u * Math.sin(turn) + v * Math.cos(turn)) * height];
    });
    return edged ? strayed : bend(strayed);
  });
  return stroke(lines, Math.max(1.2, pen * height));
}

/** A curve through the points (E. Catmull and R. Rom, 1974), as short lines. */
function bend(points: readonly Point[]): readonly Point[] {
  const steps = 8;
  const bent: Point[] = [];
  for (let i = 0; i + 1 < points.length; i++) {
    const [p1, p2] = [points[i] as Point, points[i + 1] as Point];
    const [p0, p3] = [points[i - 1] ?? p1, points[i + 2] ?? p2];
    for (let step = 0; step < steps; step++) {
      const t = step / steps;
      const along = (axis: 0 | 1) =>
        0.5 *
        (2 * p1[axis] +
          (p2[axis] - p0[axis]) * t +
          (2 * p0[axis] - 5 * p1[axis] + 4 * p2[axis] - p3[axis]) * t * t +
          (3 * p1[axis] - p0[axis] - 3 * p2[axis] + p3[axis]) * t ** 3);
      bent.push([along(0), along(1)]);
    }
  }
  return [...bent, points.at(-1) as Point];
}

/** Lines of a round pen, in the smallest mask that holds them. */
export function stroke(lines: readonly (readonly Point[])[], pen: number): Mask {
  const all = lines.flat();
  const pad = pen / 2 + 1;
  const [x0, y0] = [0, 1].map((axis) => Math.min(...all.map((point) => point[axis] as number)) - pad) as [
    number,
    number,
  ];
  const [x1, y1] = [0, 1].map((axis) => Math.max(...all.map((point) => point[axis] as number)) + pad) as [
    number,
    number,
  ];
  const [width, height] = [Math.ceil(x1 - x0), Math.ceil(y1 - y0)];
  const mask = { values: new Float32Array(width * height), width, height };
  for (const line of lines) {
    for (let i = 0; i + 1 < line.length; i++) {
      const [[ax, ay], [bx, by]] = [line[i] as Point, line[i + 1] as Point];
      drawLine(mask, [ax - x0, ay - y0], [bx - x0, by - y0], pen);
    }
  }
  return mask;
}

/** Adds a straight line with round ends. */
export function drawLine({ values, width, height }: Mask, [ax, ay]: Point, [bx, by]: Point, pen: number): void {
  const reach = pen / 2 + 1;
  const [dx, dy] = [bx - ax, by - ay];
  const squared = dx * dx + dy * dy || 1;
  for (
    let y = Math.max(0, Math.floor(Math.min(ay, by) - reach));
    y <= Math.min(height - 1, Math.max(ay, by) + reach);
    y++
  ) {
    for (
      let x = Math.max(0, Math.floor(Math.min(ax, bx) - reach));
      x <= Math.min(width - 1, Math.max(ax, bx) + reach);
      x++
    ) {
      const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / squared));
      const distance = Math.hypot(x - ax - t * dx, y - ay - t * dy);
      const cover = Math.min(1, Math.max(0, pen / 2 + 0.5 - distance));
      const at = y * width + x;
      values[at] = Math.max(values[at] as number, cover);
    }
  }
}
