import { describe, expect, it } from '@jest/globals';
import type { Sharp } from 'sharp';
import { digitOf } from '../../functions/tasks/digits/digit.ts';
import { goldenPicture } from '../../functions/tasks/digits/golden.ts';
import type { Picture } from '../../functions/tasks/image/whole.ts';
import { drawDigit, pictureOf } from '../support/drawn.ts';

const side = 28;

async function frameOf(drawing: Sharp): Promise<Uint8Array> {
  return digitOf(await pictureOf(drawing));
}

/** Column and row of the center of mass. */
function centerOf(frame: Uint8Array): [number, number] {
  let [mass, x, y] = [0, 0, 0];
  for (const [at, value] of frame.entries()) {
    mass += value;
    x += value * (at % side);
    y += value * Math.floor(at / side);
  }
  return [x / mass, y / mass];
}

/** Width and height of what is not black. */
function sizeOf(frame: Uint8Array): [number, number] {
  const columns = new Set<number>();
  const rows = new Set<number>();
  for (const [at, value] of frame.entries()) {
    if (value < 40) continue;
    columns.add(at % side);
    rows.add(Math.floor(at / side));
  }
  const span = (places: Set<number>) => Math.max(...places) - Math.min(...places) + 1;
  return [span(columns), span(rows)];
}

/** Mean difference of the levels, 0 to 255, where one is moved by up to a pixel: a digit's place is rounded to one. */
function distance(one: Uint8Array, other: Uint8Array): number {
  const moves = [-1, 0, 1].flatMap((down) => [-1, 0, 1].map((across) => down * side + across));
  const sums = moves.map((move) => one.reduce((sum, value, at) => sum + Math.abs(value - (other[at + move] ?? 0)), 0));
  return Math.min(...sums) / one.length;
}

/** The drawn digits are 20 to 50 levels away from each other. */
const alike = 7;

describe('the form of a digit', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])(
    'is 20 pixels long, centered by mass and white on black (%d)',
    async (digit) => {
      const frame = await frameOf(drawDigit(digit));

      expect(frame).toHaveLength(side * side);
      const [x, y] = centerOf(frame);
      expect(x).toBeCloseTo(14, 0);
      expect(y).toBeCloseTo(14, 0);
      const size = Math.max(...sizeOf(frame));
      expect(size).toBeGreaterThanOrEqual(18);
      expect(size).toBeLessThanOrEqual(20);
      expect(Math.max(...frame)).toBe(255);
      expect(frame[0]).toBe(0);
    },
  );

  it.each([
    ['red ink', { ink: '#c62828' }],
    ['a pencil', { ink: '#8a8a8a' }],
    ['green ink on paper of the same brightness', { ink: '#3f9142', paper: '#d05c5c' }],
    ['chalk on a blackboard', { ink: '#f5f5f0', paper: '#23312a' }],
    ['white on black', { ink: '#fff', paper: '#000' }],
  ])('is the same for %s', async (_what, drawing) => {
    expect(distance(await frameOf(drawDigit(5, drawing)), await frameOf(drawDigit(5)))).toBeLessThan(alike);
  });

  it.each([
    [
      'light that fades',
      '<linearGradient id="g"><stop stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-opacity=".6"/></linearGradient><rect width="160" height="190" fill="url(#g)"/>',
    ],
    ['the edge of a shadow', '<path d="M0 70 L160 120 V190 H0 Z" opacity=".35"/>'],
    ['ruling', '<path d="M0 40 H160 M0 100 H160 M0 160 H160" stroke="#8aa0c8" stroke-width="1.5"/>'],
    [
      'squares',
      '<path d="M0 40 H160 M0 100 H160 M0 160 H160 M20 0 V190 M80 0 V190 M140 0 V190" stroke="#a8b8d8" stroke-width="1.5"/>',
    ],
    ['the edges of a cell', '<path d="M6 0 L2 190 M0 183 L160 187" stroke="#111" stroke-width="7"/>'],
    ['specks', '<circle cx="20" cy="150" r="2"/><circle cx="140" cy="30" r="2.5"/>'],
    [
      'a neighbor that is cut off',
      '<path d="M160 60 C140 60 140 120 160 120" fill="none" stroke="#1a237e" stroke-width="9"/>',
    ],
  ])('leaves out %s', async (_what, below) => {
    const paper = { paper: '#e8e4d8' };

    expect(distance(await frameOf(drawDigit(3, { ...paper, below })), await frameOf(drawDigit(3, paper)))).toBeLessThan(
      alike,
    );
  });

  it('has strokes that a fine pen would not leave', async () => {
    const fine = await frameOf(drawDigit(8, { pen: 2 }));
    const bold = await frameOf(drawDigit(8, { pen: 10 }));

    const mass = (frame: Uint8Array) => frame.reduce((sum, value) => sum + value, 0);
    expect(mass(fine)).toBeGreaterThan(0.6 * mass(bold));
  });

  it('is found where the canvas around it is transparent', async () => {
    for (const ink of ['#000', '#fff']) {
      const canvas = drawDigit(6, { ink, paper: 'none' }).ensureAlpha();
      const { data, info } = await canvas.raw().toBuffer({ resolveWithObject: true });
      const alpha = (await drawDigit(6, { ink: '#fff', paper: '#000' }).raw().toBuffer()).filter((_, i) => i % 3 === 0);
      for (const [at, value] of alpha.entries())
        data.set(value > 0 ? [...(ink === '#000' ? [0, 0, 0] : [255, 255, 255]), value] : [0, 0, 0, 0], 4 * at);

      expect(
        distance(digitOf({ data, width: info.width, height: info.height }), await frameOf(drawDigit(6))),
      ).toBeLessThan(alike);
    }
  });

  it('is the card’s golden picture, found', () => {
    expect(Math.max(...sizeOf(digitOf(goldenPicture())))).toBeGreaterThanOrEqual(18);
  });
});

describe('a picture of MNIST’s form', () => {
  /** The frame as a picture, changed by `change`. */
  const asPicture = (frame: Uint8Array, change = (value: number) => value): Picture => ({
    data: Uint8Array.from({ length: 3 * frame.length }, (_, i) => change(frame[Math.floor(i / 3)] as number)),
    width: side,
    height: side,
  });

  it.each([0, 1, 7, 8])('passes through unchanged (%d)', async (digit) => {
    const frame = await frameOf(drawDigit(digit));

    expect(digitOf(asPicture(frame))).toEqual(frame);
  });

  it('is found anew where it is dark on light or off its center', async () => {
    const frame = await frameOf(drawDigit(2));
    const moved = Uint8Array.from({ length: frame.length }, (_, at) => frame[at + 2 * side] ?? 0);

    // Where strokes are 2 pixels wide, half a pixel more or less is seen.
    expect(distance(digitOf(asPicture(frame, (value) => 255 - value)), frame)).toBeLessThan(2 * alike);
    expect(distance(digitOf(asPicture(moved)), frame)).toBeLessThan(2 * alike);
  });
});
