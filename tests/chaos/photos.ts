import { createRequire } from 'node:module';
import type SharpModule from 'sharp';

// As CommonJS, like the functions do: sharp's ES module has import attributes, which Node.js 20.9 does not read.
const sharp: typeof SharpModule = createRequire(import.meta.url)('sharp');

/** A photo of the driver; the same name has the same bytes in every run. */
export interface Photo {
  readonly name: string;
  readonly bytes: Buffer;
  /** Value of X-Deadline-Ms. */
  readonly deadlineMs?: number;
}

/**
 * The photos that the driver sends. `calm` and `large` suit every model. The test model of tests/models raises at `raising`,
 * takes seconds for `lingering` and ten times a Wide ResNet's run for `slow`.
 */
export interface Photos {
  readonly calm: readonly Photo[];
  /** Above the 1 MB of nginx' usual buffers. */
  readonly large: Photo;
  readonly raising: Photo;
  readonly lingering: Photo;
  readonly slow: Photo;
}

/** Cheap to decode, so that two cores suffice; a multiple of JPEG's blocks of 8. */
const side = 96;

/** Distinct pictures reveal an answer for another client. */
const calmCount = 8;

/** Green of the test model's first pixel: above 0.7 of 255 the run is slow, 50 to 100 ms at this value. */
const slowGreen = 182;

type Color = readonly [red: number, green: number, blue: number];

const black: Color = [0, 0, 0];

/**
 * A seeded pattern with one color in its upper left quarter: the test model reads the first of 4 x 4 pixels, and JPEG
 * preserves a block of one color.
 */
async function draw(name: string, seed: number, corner: Color): Promise<Photo> {
  const data = Uint8Array.from({ length: side * side * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % side, Math.floor(i / 3 / side)];
    if (x < side / 2 && y < side / 2) return corner[i % 3] as number;
    return (x * (seed + 3) + y * (2 * seed + 1) + (i % 3) * 40 * seed) % 256;
  });
  const picture = sharp(data, { raw: { width: side, height: side, channels: 3 } });
  return { name, bytes: await picture.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer() };
}

/** Draws the photos. */
export async function drawPhotos(): Promise<Photos> {
  const [first, ...others] = await Promise.all(
    Array.from({ length: calmCount }, (_, i) => draw(`calm ${i}`, i + 1, black)),
  );
  const calm = [first as Photo, ...others];
  // Bytes after the picture, as phones append a video: large to send, cheap to decode.
  const large = { name: 'large', bytes: Buffer.concat([calm[0]?.bytes as Buffer, Buffer.alloc(1_500_000, 0xab)]) };
  const [raising, lingering, slow] = await Promise.all([
    draw('raising', 1, [255, 0, 0]),
    draw('lingering', 1, [0, 255, 0]),
    draw('slow', 1, [0, slowGreen, 0]),
  ]);
  return { calm, large, raising, lingering, slow };
}
