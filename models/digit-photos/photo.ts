import type { Picture } from '../../functions/tasks/image/whole.ts';
import { createRandom, type Random } from '../random.ts';
import { drawLine, type Mask } from './pen.ts';

/** What lies on the paper beside the digit. */
export interface Sheet {
  /** Lines at the border, as a table has them. */
  readonly edges: number;
  /** Lines across the whole sheet. */
  readonly ruling: 'none' | 'lines' | 'squares';
  readonly specks: number;
  /** Of light and shadow, as a share of the paper's brightness. */
  readonly shade: number;
  readonly hasShadow: boolean;
  /** Standard deviation of the sensor's noise, in levels of 255. */
  readonly noise: number;
  /** How often the picture is blurred. */
  readonly blur: number;
  readonly isDark: boolean;
}

export function makeSheet(random: Random): Sheet {
  return {
    edges: random.chance(0.4) ? 1 + random.below(3) : 0,
    ruling: random.chance(0.15) ? random.pick(['lines', 'squares']) : 'none',
    specks: random.chance(0.25) ? random.below(8) : 0,
    shade: random.chance(0.7) ? random.between(0, 0.5) : 0,
    hasShadow: random.chance(0.2),
    noise: random.between(0.5, 9),
    blur: random.below(4),
    isDark: random.chance(0.15),
  };
}

/** Numbers of a bell curve of deviation 1, to be read from any place on: to draw each anew took a third of a photo's time. */
const bell = (() => {
  const random = createRandom(7, 0);
  return Float32Array.from({ length: 65_536 }, () => random.stray(1));
})();

type Color = readonly [red: number, green: number, blue: number];

/** Blue, black and red pens, pencils, green and violet ones; then chalk. */
const inks: readonly Color[] = [
  [30, 45, 130],
  [50, 60, 170],
  [25, 25, 30],
  [15, 15, 15],
  [175, 30, 40],
  [90, 90, 95],
  [20, 100, 50],
  [90, 40, 130],
];
const chalks: readonly Color[] = [
  [235, 235, 230],
  [240, 220, 120],
  [200, 225, 240],
];

function pickColors({ isDark }: Sheet, random: Random): { readonly paper: Color; readonly ink: Color } {
  const light = random.between(150, 250);
  const tint = (level: number, deviation: number): Color =>
    [0, 1, 2].map(() => level + random.stray(deviation)) as unknown as Color;
  const around = (color: Color): Color => color.map((level) => level + random.stray(12)) as unknown as Color;
  if (isDark) return { paper: tint(random.between(20, 80), 12), ink: around(random.pick(chalks)) };
  // Exposure darkens ink and paper alike.
  const dim = (color: Color): Color => color.map((level) => (level * light) / 230) as unknown as Color;
  return { paper: tint(light, 10), ink: dim(around(random.pick(inks))) };
}

/** A photo of `width` x `height` pixels, of a sheet that shows the mask in ink with its upper left corner at `left`, `top`; without one, of an empty sheet. */
export function takePhoto(
  sheet: Sheet,
  size: { readonly width: number; readonly height: number },
  random: Random,
  digit?: { readonly mask: Mask; readonly left: number; readonly top: number },
): Picture {
  const { width, height } = size;
  const { paper, ink } = pickColors(sheet, random);
  const light = shade(sheet, size, random);
  const drawn = digit ? place(digit, size) : new Float32Array(width * height);
  const faint = drawRuling(sheet, size, random);
  const dark = drawEdges(sheet, size, random);
  const pressure = wave(size, random);
  const [ruled, edge] = [random.between(0.15, 0.5), random.between(0.6, 1)];
  const line: Color = sheet.isDark
    ? [200, 200, 200]
    : random.pick<Color>([
        [20, 20, 20],
        [70, 70, 75],
        [60, 90, 160],
        [190, 80, 80],
      ]);
  const planes = [0, 1, 2].map((channel) => {
    const plane = new Float32Array(width * height);
    for (let at = 0; at < plane.length; at++) {
      let level = paper[channel] as number;
      level += ((line[channel] as number) - level) * ruled * (faint[at] as number);
      level += ((line[channel] as number) * 0.5 - level) * edge * (dark[at] as number);
      level += ((ink[channel] as number) - level) * (drawn[at] as number) * (pressure[at] as number);
      plane[at] = level * (light[at] as number);
    }
    return plane;
  });
  const data = new Uint8Array(width * height * 3);
  for (const [channel, sharp] of planes.entries()) {
    let plane: Float32Array = sharp;
    for (let i = 0; i < sheet.blur; i++) plane = blur(plane, width);
    const from = random.below(bell.length);
    for (let at = 0; at < plane.length; at++) {
      const stray = sheet.noise * (bell[(from + at) % bell.length] as number);
      data[3 * at + channel] = Math.min(255, Math.max(0, Math.round((plane[at] as number) + stray)));
    }
  }
  return { data, width, height };
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** How bright each pixel is, 1 in full light: it falls off to one side, and a shadow may lie over a part. */
function shade({ shade, hasShadow }: Sheet, { width, height }: Size, random: Random): Float32Array {
  const direction = random.between(0, 2 * Math.PI);
  const [dx, dy] = [(shade * Math.cos(direction)) / width, (shade * Math.sin(direction)) / height];
  const angle = random.between(0, 2 * Math.PI);
  const [nx, ny] = [Math.cos(angle), Math.sin(angle)];
  const [offset, soft, depth] = [
    random.between(-0.3, 0.3) * width,
    random.between(0.04, 0.4) * width,
    hasShadow ? random.between(0.2, 0.6) : 0,
  ];
  const light = new Float32Array(width * height);
  for (let at = 0; at < light.length; at++) {
    const [x, y] = [(at % width) - width / 2, Math.floor(at / width) - height / 2];
    const inShadow = Math.min(1, Math.max(0, (x * nx + y * ny - offset) / soft + 0.5));
    light[at] = (1 - shade / 2 + dx * x + dy * y) * (1 - depth * inShadow);
  }
  return light;
}

/** A stroke's strength, which changes along the way. */
function wave({ width, height }: Size, random: Random): Float32Array {
  const [depth, across, down, phase] = [
    random.between(0, 0.4),
    random.stray(0.12),
    random.stray(0.12),
    random.between(0, 6.28),
  ];
  return Float32Array.from(
    { length: width * height },
    (_, at) => 1 - depth * (0.5 + 0.5 * Math.sin(across * (at % width) + down * Math.floor(at / width) + phase)),
  );
}

function place(
  { mask, left, top }: { readonly mask: Mask; readonly left: number; readonly top: number },
  { width, height }: Size,
): Float32Array {
  const placed = new Float32Array(width * height);
  for (let y = Math.max(0, -top); y < Math.min(mask.height, height - top); y++) {
    for (let x = Math.max(0, -left); x < Math.min(mask.width, width - left); x++)
      placed[(y + top) * width + x + left] = mask.values[y * mask.width + x] as number;
  }
  return placed;
}

function drawRuling({ ruling, specks }: Sheet, { width, height }: Size, random: Random): Float32Array {
  const mask = { values: new Float32Array(width * height), width, height };
  const gap = random.between(0.16, 0.5) * height;
  const tilt = random.stray(0.03) * width;
  const pen = random.between(0.8, 2);
  const first = random.between(0, gap);
  if (ruling !== 'none')
    for (let y = first; y < height; y += gap) drawLine(mask, [-1, y - tilt], [width, y + tilt], pen);
  if (ruling === 'squares')
    for (let x = first; x < width; x += gap) drawLine(mask, [x + tilt, -1], [x - tilt, height], pen);
  for (let i = 0; i < specks; i++) {
    const [x, y] = [random.between(0, width), random.between(0, height)];
    drawLine(mask, [x, y], [x + random.stray(1.5), y + random.stray(1.5)], random.between(0.8, 2.5));
  }
  return mask.values;
}

/** Lines near the border, as the edges of a cell of a table, bent or slanted a little, and parts of its neighbors. */
function drawEdges({ edges }: Sheet, { width, height }: Size, random: Random): Float32Array {
  const mask = { values: new Float32Array(width * height), width, height };
  for (let i = 0; i < edges; i++) {
    const pen = random.between(1, 0.07 * width);
    const [one, other] = [0, 1].map(() => random.between(-0.04, 0.07)) as [number, number];
    const [isAcross, isFar] = [random.chance(0.5), random.chance(0.5)];
    const at = (share: number, length: number) => (isFar ? length * (1 - share) : length * share);
    if (isAcross) drawLine(mask, [-pen, at(one, height)], [width + pen, at(other, height)], pen);
    else drawLine(mask, [at(one, width), -pen], [at(other, width), height + pen], pen);
  }
  return mask.values;
}

/** Each pixel with its neighbors, 1 2 1 in both directions. */
function blur(values: Float32Array, width: number): Float32Array {
  const rows = values.map((value, at) => {
    const x = at % width;
    return (
      ((x > 0 ? (values[at - 1] as number) : value) +
        2 * value +
        (x < width - 1 ? (values[at + 1] as number) : value)) /
      4
    );
  });
  return rows.map((value, at) => ((rows[at - width] ?? value) + 2 * value + (rows[at + width] ?? value)) / 4);
}
