import { asAvif, isAvif, isGrayOfLimitedRange } from './avif.ts';
import type { Inset } from './color.ts';
import { describeForeign } from './foreign.ts';
import { firstFrameOf, hasMoreFrames } from './frames.ts';
import { readJpegHeader } from './jpeg.ts';
import { failOn, openSharp, refuse, unreadable, unsupported } from './libvips.ts';
import { imageProblem } from './problems.ts';

/** Animations have fewer; only the first frame is classified. */
const maxFrames = 1000;

/** The first frame, before any pixel is decoded. */
export interface Header {
  /** The upload as libvips gives the right pixels of it. */
  readonly bytes: Uint8Array;
  /** Pixels, after EXIF orientation. */
  readonly width: number;
  readonly height: number;
  /** Whether its channels are cyan, magenta, yellow and black. */
  readonly isInk: boolean;
  /** Whether it is a JPEG of one or three colors that is upright as it is stored. */
  readonly isPlainJpeg: boolean;
  readonly hasAlpha?: boolean;
  /** Where a GIF's first picture is smaller than the GIF. */
  readonly inset?: Inset | undefined;
  /** Whether black is 16 and white 235. */
  readonly isOfLimitedRange?: boolean;
}

/** Reads what a file says of itself. @throws Problem IMAGE_UNSUPPORTED | IMAGE_UNREADABLE | IMAGE_TOO_MANY_PIXELS */
export async function readHeader(bytes: Uint8Array, maxPixels: number): Promise<Header> {
  const header = await readAnyHeader(bytes);
  const { width, height } = header;
  if (width * height > maxPixels) {
    const detail = `Expected at most ${maxPixels} pixels for the image but received ${width} x ${height}`;
    throw imageProblem('IMAGE_TOO_MANY_PIXELS', detail);
  }
  return header;
}

async function readAnyHeader(bytes: Uint8Array): Promise<Header> {
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const format = recognize(content);
  if (format === undefined) throw unsupported(describeForeign(content));
  if (format === 'png' && !content.includes('IEND')) throw unreadable();
  if (format === 'jpeg') {
    const { isComplete, size } = readJpegHeader(content);
    if (!isComplete) throw unreadable();
    // libvips would say the same 0.7 ms later, for the two threads in between
    if (size) return { bytes, ...size, isInk: false, isPlainJpeg: true };
  }
  if ((format === 'gif' || format === 'webp') && hasMoreFrames(content, format, maxFrames)) {
    throw imageProblem('IMAGE_UNREADABLE', `Expected at most ${maxFrames} frames for the image but received more`);
  }
  const fit = format === 'gif' ? fitGif(content) : { bytes: format === 'avif' ? asAvif(content) : bytes };
  const source = openSharp()(fit.bytes, { autoOrient: true, failOn, limitInputPixels: false });
  const header = await source.metadata().catch(refuse);
  // The same container holds AVIF and HEIC.
  if (header.format === 'heif' && header.compression !== 'av1')
    throw unsupported('a container of AVIF with another codec; save it as JPEG');
  const isInk = header.space === 'cmyk';
  return {
    ...fit,
    ...header.autoOrient,
    isInk,
    isPlainJpeg: format === 'jpeg' && !isInk && (header.orientation ?? 1) === 1,
    hasAlpha: header.hasAlpha,
    isOfLimitedRange: format === 'avif' && isGrayOfLimitedRange(content),
  };
}

/** Without transparency in its first picture: libvips shows it black, where the palette has a color for it. */
function fitGif(content: Buffer): { readonly bytes: Buffer; readonly inset?: Inset | undefined } {
  const frame = firstFrameOf(content);
  if (!frame) return { bytes: content };
  const covers =
    frame.left === 0 &&
    frame.top === 0 &&
    frame.width >= content.readUInt16LE(6) &&
    frame.height >= content.readUInt16LE(8);
  const inset = covers ? undefined : frame;
  if (frame.transparencyAt === undefined) return { bytes: content, inset };
  const bytes = Buffer.from(content);
  bytes[frame.transparencyAt] = (bytes[frame.transparencyAt] as number) & 0xfe;
  return { bytes, inset };
}

/** The accepted format that the bytes begin as; nothing else ever reaches a decoder. */
function recognize(content: Buffer): 'jpeg' | 'png' | 'webp' | 'gif' | 'avif' | undefined {
  const start = content.toString('latin1', 0, 12);
  if (start.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (start.startsWith('RIFF') && start.startsWith('WEBP', 8)) return 'webp';
  if (start.startsWith('GIF87a') || start.startsWith('GIF89a')) return 'gif';
  return isAvif(content) ? 'avif' : undefined;
}
