import { paintAround } from './color.ts';
import { type Header, readHeader } from './header.ts';
import { readRegion } from './image.ts';
import { decodeTimeoutSeconds, failOn, openSharp, refuse, type Sharp } from './libvips.ts';

/** A whole picture, 8 bits a channel, row by row: RGB, or RGBA where it has an alpha channel. */
export interface Picture {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface Whole {
  readonly picture: Picture;
  /** Size of the upload, after EXIF orientation. */
  readonly sourceWidth: number;
  readonly sourceHeight: number;
}

/**
 * The whole picture after EXIF orientation, reduced so that no side is longer than `maxSide` pixels.
 * @throws Problem IMAGE_UNSUPPORTED | IMAGE_UNREADABLE | IMAGE_TOO_MANY_PIXELS | DEADLINE_EXCEEDED
 */
export async function decodeWhole(bytes: Uint8Array, maxSide: number, maxPixels: number): Promise<Whole> {
  const header = await readHeader(bytes, maxPixels);
  const scale = Math.min(1, maxSide / Math.max(header.width, header.height));
  const [width, height] = [header.width, header.height].map((side) => Math.max(1, Math.round(side * scale))) as [
    number,
    number,
  ];
  const pipeline = await open(header, maxPixels);
  // Linear: sharper kernels leave light rims around dark strokes.
  if (scale < 1) pipeline.resize(width, height, { fit: 'fill', kernel: 'linear' });
  const data = header.hasAlpha && !header.isInk ? await readWithAlpha(pipeline) : await readRegion(pipeline, header);
  return { picture: { data, width, height }, sourceWidth: header.width, sourceHeight: header.height };
}

async function open(header: Header, maxPixels: number): Promise<Sharp> {
  const sharp = openSharp();
  const whole = sharp(header.bytes, { autoOrient: true, ignoreIcc: true, failOn, limitInputPixels: maxPixels });
  const { inset, width, height } = header;
  if (!inset) return whole;
  const data = await readRegion(whole, header);
  paintAround(data, inset, { left: 0, top: 0, width });
  return sharp(data, { raw: { width, height, channels: 3 } });
}

async function readWithAlpha(pipeline: Sharp): Promise<Uint8Array> {
  pipeline.toColourspace('srgb').ensureAlpha().timeout({ seconds: decodeTimeoutSeconds });
  return pipeline.raw().toBuffer().catch(refuse);
}
