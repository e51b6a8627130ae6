import sharp, { type Sharp } from 'sharp';
import type { Picture } from '../../functions/tasks/image/whole.ts';

// The service shuts this loader for the whole process, in which a test file before this one may have run it.
sharp.unblock({ operation: ['VipsForeignLoadSvg'] });

/** The ten digits as a pen writes them, in a box of 100x130. */
const strokes = [
  'M50 15 C15 15 15 115 50 115 C85 115 85 15 50 15 Z',
  'M28 42 L58 15 V115',
  'M24 42 C24 8 78 8 76 42 C75 66 42 86 22 114 H80',
  'M24 24 C40 8 78 10 74 38 C72 56 56 60 44 60 C62 60 80 68 78 88 C76 118 38 122 20 104',
  'M60 15 L18 82 H86 M66 50 V118',
  'M76 16 H34 L28 58 C50 48 80 56 78 86 C76 116 40 122 20 106',
  'M70 14 C36 28 22 64 24 86 C26 122 78 122 78 86 C78 60 38 56 26 84',
  'M20 18 H82 L42 116 M34 66 H74',
  'M50 62 C16 52 22 14 50 14 C78 14 84 52 50 62 C10 74 16 118 50 118 C84 118 90 74 50 62 Z',
  'M76 40 C74 8 24 8 24 42 C24 72 70 70 76 38 C78 70 70 104 40 118',
];

export interface Drawing {
  readonly ink?: string;
  readonly paper?: string;
  /** Width of the pen, of 130. */
  readonly pen?: number;
  /** How many digits stand side by side. */
  readonly times?: number;
  /** Further SVG, in a box of 160x190 a digit. */
  readonly below?: string;
}

/** A digit on a sheet of 160x190 pixels for each, to be encoded. */
export function drawDigit(
  digit: number,
  { ink = '#1a237e', paper = '#f4f1e6', pen = 10, times = 1, below = '' }: Drawing = {},
): Sharp {
  const width = 160 * times;
  const written = Array.from(
    { length: times },
    (_, i) =>
      `<path transform="translate(${160 * i + 30} 30)" d="${strokes[digit]}" fill="none" stroke="${ink}" stroke-width="${pen}" stroke-linecap="round" stroke-linejoin="round"/>`,
  );
  return drawSvg(width, 190, `<rect width="${width}" height="190" fill="${paper}"/>${below}${written.join('')}`);
}

export function drawSvg(width: number, height: number, content: string): Sharp {
  return sharp(
    Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${content}</svg>`),
  )
    .flatten()
    .removeAlpha();
}

/** As a task decodes it. */
export async function pictureOf(drawing: Sharp): Promise<Picture> {
  const { data, info } = await drawing.raw().toBuffer({ resolveWithObject: true });
  return { data: new Uint8Array(data), width: info.width, height: info.height };
}
