import type { Picture } from '../../functions/tasks/image/whole.ts';
import type { Random } from '../random.ts';
import { forms } from './forms.ts';
import { growDigit, trim } from './grow.ts';
import { type Mask, makeHand, stroke, writeDigit } from './pen.ts';
import { makeSheet, takePhoto } from './photo.ts';

/** Pixels of a photo's shorter side: small ones are prepared quickly, and larger ones are reduced before that. */
const sides = [48, 96] as const;

/** A photo of one of MNIST's digits. */
export function photographGrown(pixels: Uint8Array, label: number, random: Random): Picture {
  return photograph((height) => growDigit(pixels, label, height, random), random);
}

/** A photo of a digit that a generator writes, by hand or in print. */
export function photographWritten(label: number, random: Random): Picture {
  const strokes = forms[label] ?? [];
  const isPrinted = random.chance(0.3);
  const form = (isPrinted ? strokes[0] : random.pick(strokes)) ?? [];
  return photograph((height) => trim(writeDigit(form, height, makeHand(random, isPrinted), random)), random);
}

export const blankKinds = ['plain', 'shaded', 'noisy', 'ruled'] as const;

/** A photo of a sheet without a digit, of one kind or of any. */
export function photographBlank(random: Random, kind?: (typeof blankKinds)[number]): Picture {
  const plain = {
    edges: 0,
    ruling: 'none',
    specks: 0,
    shade: 0,
    hasShadow: false,
    noise: random.between(0, 4),
  } as const;
  const sheets = {
    plain: {},
    shaded: { shade: random.between(0.1, 0.7), hasShadow: random.chance(0.5) },
    noisy: { noise: random.between(8, 25), specks: random.below(8) },
    ruled: { ruling: random.pick(['lines', 'squares'] as const), edges: random.below(4) },
  };
  const sheet = makeSheet(random);
  return takePhoto(kind === undefined ? sheet : { ...sheet, ...plain, ...sheets[kind] }, pickSize(random), random);
}

/** A photo of what is no single digit: a blank sheet, a scribble, crosses and lattices, two digits that touch. */
export function photographOther(random: Random): Picture {
  if (random.chance(0.4)) return photographBlank(random);
  const hand = makeHand(random, false);
  const draw = random.pick([drawScribble, drawLattice, drawPair]);
  return photograph((height) => trim(draw(height, hand.pen * height, random)), random, 0);
}

function drawScribble(height: number, pen: number, random: Random): Mask {
  const points = Array.from(
    { length: 8 + random.below(12) },
    () => [random.between(0, 1), random.between(0, 1)] as const,
  );
  return stroke([points.map(([x, y]) => [x * height, y * height])], Math.max(1.2, pen));
}

/** Lines across and down, 1 to 4 of each but not one alone, turned. */
function drawLattice(height: number, pen: number, random: Random): Mask {
  const [across, down] = [1 + random.below(4), 1 + random.below(4)];
  const turn = random.chance(0.5) ? random.stray(0.1) : random.between(-0.8, 0.8);
  const rotate = (x: number, y: number) =>
    [(x * Math.cos(turn) - y * Math.sin(turn)) * height, (x * Math.sin(turn) + y * Math.cos(turn)) * height] as const;
  const place = (i: number, count: number) => (i + 1) / (count + 1) - 0.5 + random.stray(0.02);
  const lines = Array.from({ length: across }, (_, i) => [
    rotate(-0.5, place(i, across)),
    rotate(0.5, place(i, across)),
  ]);
  for (let i = 0; i < down; i++) lines.push([rotate(place(i, down), -0.5), rotate(place(i, down), 0.5)]);
  return stroke(lines, Math.max(1.2, 0.6 * pen));
}

/** Two digits beside each other, so near that they touch. */
function drawPair(height: number, _pen: number, random: Random): Mask {
  const [left, right] = [0, 1].map(() => {
    const strokes = random.pick(random.pick(forms.filter((_, digit) => digit !== 1)));
    return trim(writeDigit(strokes, 0.7 * height, makeHand(random, false), random));
  }) as [Mask, Mask];
  const overlap = Math.round(random.between(0.08, 0.2) * height);
  const width = left.width + right.width - overlap;
  const size = { width, height: Math.max(left.height, right.height) };
  const values = new Float32Array(size.width * size.height);
  for (const [mask, from] of [
    [left, 0],
    [right, left.width - overlap],
  ] as const) {
    for (let at = 0; at < mask.values.length; at++) {
      const to = Math.floor(at / mask.width) * size.width + from + (at % mask.width);
      values[to] = Math.max(values[to] as number, mask.values[at] as number);
    }
  }
  return { values, ...size };
}

function pickSize(random: Random) {
  const side = Math.round(random.between(...sides));
  const longer = Math.round(side * random.between(1, 1.35));
  return random.chance(0.5) ? { width: side, height: longer } : { width: longer, height: side };
}

/** `cut` is the share of the photos in which the border cuts off a little. */
function photograph(draw: (height: number) => Mask, random: Random, cut = 0.1): Picture {
  const size = pickSize(random);
  const mask = draw(Math.min(size.width, size.height) * random.between(0.35, 0.88));
  const within = (length: number, own: number) => {
    const free = length - own;
    const over = random.chance(cut) ? 0.06 * own : 0;
    return Math.round(random.between(Math.min(0, free) - over, Math.max(0, free) + over));
  };
  const place = { mask, left: within(size.width, mask.width), top: within(size.height, mask.height) };
  return takePhoto(makeSheet(random), size, random, place);
}
