import { createRequire } from 'node:module';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Sharp, default as SharpModule } from 'sharp';
import { Problem } from '../../core/problem.ts';
import { asAvif, isAvif, isGrayOfLimitedRange } from './avif.ts';
import { expandRange, type Inset, inkToRgb, paintAround } from './color.ts';
import { firstFrameOf, hasMoreFrames } from './frames.ts';
import { readJpegHeader } from './jpeg.ts';
import { type Axis, type ImageRecipe, planAxes, planFilter, planSpan, resizeRegion } from './resize.ts';
import { reductions, shrinkJpeg } from './shrink.ts';

// As CommonJS: sharp's ES module has import attributes, which Node.js 20.9 does not read.
const sharp: typeof SharpModule = createRequire(import.meta.url)('sharp');

/** RGB, 8 bits a channel, row by row; `data` owns its whole ArrayBuffer, so that it can be transferred. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface Image {
  readonly pixels: Pixels;
  /** Size of the upload, after EXIF orientation. */
  readonly sourceWidth: number;
  readonly sourceHeight: number;
}

/** `reduced` costs about half (a third of a photo of 30 kB) and is for a model that has to be quick: its pixels are 1.4 of 255 off on average. */
export type Precision = 'exact' | 'reduced';

/**
 * Most source pixels that are resized on the main thread, or four times the crop's where that is more: 1,000,000 take about 1.1 ms
 * there, 1.8 with a cubic kernel. A photo of 1280x960 has 712,000 for a crop of 224 of 256, and 935,000 for one of 72 of 72. Of
 * larger images libvips first makes smaller ones, on its own threads.
 */
const mainThreadPixels = 1_000_000;

/** Largest JPEG that is shrunk on the main thread, by the processor time of its codes: 1.2 ms for a photo of 30 kB, 2.8 for one of 100. */
const maxShrunk = { bytes: 262_144, pixels: 2_000_000 };

/**
 * Wall time from when libvips opens the image, after which its thread is freed: whoever waited has been told by then. Alone,
 * 40 megapixels take 0.1 s (JPEG) to 1.3 s (AVIF).
 */
const decodeTimeoutSeconds = 8;

/** Animations have fewer; only the first frame is classified. */
const maxFrames = 1000;

/** Of JPEG, warnings are about what cameras write and every viewer shows; that a file is cut short is an error in all formats. */
const failOn = 'error';

/**
 * The pixels that torchvision's Resize(resize) and CenterCrop(crop) give after EXIF orientation, color profiles ignored
 * and alpha dropped as there: to the bit where the crop needs at most 1,000,000 source pixels, close above. Reduced ones, if asked for,
 * of what can be decoded smaller than it is: baseline JPEG, and whatever is above 1,000,000 pixels.
 * @throws Problem IMAGE_UNSUPPORTED | IMAGE_UNREADABLE | IMAGE_TOO_MANY_PIXELS | DEADLINE_EXCEEDED
 */
export async function decodeImage(
  bytes: Uint8Array,
  recipe: ImageRecipe,
  maxPixels: number,
  precision: Precision = 'exact',
): Promise<Image> {
  restrictLibvips();
  const header = await readHeader(bytes);
  const { width, height } = header;
  if (width * height > maxPixels) {
    const detail = `Expected at most ${maxPixels} pixels for the image but received ${width} x ${height}`;
    throw new Problem('IMAGE_TOO_MANY_PIXELS', detail);
  }

  const shrunk = precision === 'reduced' && header.isPlainJpeg ? await shrink(bytes, header, recipe) : undefined;
  const data = shrunk ?? (await decodeWhole(header, recipe, maxPixels, precision));
  return { pixels: { data, width: recipe.crop, height: recipe.crop }, sourceWidth: width, sourceHeight: height };
}

/** Here and now, from a JPEG decoded at the smallest size that has as many pixels as the crop; undefined for one that cannot be. */
async function shrink(
  bytes: Uint8Array,
  { width, height }: Header,
  recipe: ImageRecipe,
): Promise<Uint8Array | undefined> {
  if (bytes.length > maxShrunk.bytes || width * height > maxShrunk.pixels) return undefined;
  const reduction = reductions.find((candidate) => Math.min(width, height) / candidate >= recipe.resize);
  if (!reduction) return undefined;
  await nextTurn(); // uploads that came together are not decoded in one turn: probes and answers come between
  const [across, down] = planAxes(width, height, recipe).map((axis) => ({
    ...axis,
    source: axis.source / reduction,
  })) as [Axis, Axis];
  const [columns, rows] = [planFilter(across, recipe.kernel), planFilter(down, recipe.kernel)];
  const window = { left: columns.first, top: rows.first, width: columns.length, height: rows.length };
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const region = shrinkJpeg(content, reduction, window);
  return region && resizeRegion(region, columns, rows);
}

/** By libvips. */
async function decodeWhole(
  header: Header,
  recipe: ImageRecipe,
  maxPixels: number,
  precision: Precision,
): Promise<Uint8Array> {
  const { width, height } = header;
  const { kernel } = recipe;
  let [across, down] = planAxes(width, height, recipe);
  let [columns, rows] = [planSpan(across, kernel), planSpan(down, kernel)];
  const reduction = reductionFor(columns.length * rows.length, recipe.crop, precision);
  let pipeline = sharp(header.bytes, { autoOrient: true, ignoreIcc: true, failOn, limitInputPixels: maxPixels });
  const isPainted = reduction > 1 && (header.hasAlpha || header.inset !== undefined);
  if (reduction > 1) {
    // libvips multiplies alpha into colors before it resizes, so that what lies under transparency would be black.
    if (isPainted) {
      const data = await readRegion(pipeline, header);
      if (header.inset) paintAround(data, header.inset, { left: 0, top: 0, width });
      pipeline = sharp(data, { raw: { width, height, channels: 3 } });
    }
    across = { ...across, source: Math.round(width / reduction) };
    down = { ...down, source: Math.round(height / reduction) };
    [columns, rows] = [planSpan(across, kernel), planSpan(down, kernel)];
    // Cubic, because the triangle that follows blurs enough: against Pillow it is half as far off as linear.
    pipeline.resize(across.source, down.source, { fit: 'fill', kernel: 'cubic' });
  }

  const window = { left: columns.first, top: rows.first, width: columns.length, height: rows.length };
  const reading = readRegion(pipeline.extract(window), header);
  const filters = [planFilter(across, kernel), planFilter(down, kernel)] as const; // while libvips decodes
  const region = await reading;
  if (header.inset && !isPainted) paintAround(region, header.inset, window);
  if (header.isOfLimitedRange) expandRange(region);
  return resizeRegion(region, ...filters);
}

let restricted = false;

/** Process-wide: libvips goes by content, so every loader that no accepted format needs is shut. */
function restrictLibvips(): void {
  if (restricted) return;
  restricted = true;
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({
    operation: [
      'VipsForeignLoadJpegBuffer',
      'VipsForeignLoadPngBuffer',
      'VipsForeignLoadWebpBuffer',
      'VipsForeignLoadNsgifBuffer',
      'VipsForeignLoadHeifBuffer',
    ],
  });
  // No upload comes twice, so a cache of operations only holds memory.
  sharp.cache(false);
  // One thread an image: several images at once use the cores better than one image on all of them.
  sharp.concurrency(1);
}

/** The first frame, before any pixel is decoded. */
interface Header {
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

async function readHeader(bytes: Uint8Array): Promise<Header> {
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const format = recognize(content);
  if (format === undefined) throw unsupported();
  if (format === 'png' && !content.includes('IEND')) throw unreadable();
  if (format === 'jpeg') {
    const { isComplete, size } = readJpegHeader(content);
    if (!isComplete) throw unreadable();
    // libvips would say the same 0.7 ms later, for the two threads in between
    if (size) return { bytes, ...size, isInk: false, isPlainJpeg: true };
  }
  if ((format === 'gif' || format === 'webp') && hasMoreFrames(content, format, maxFrames)) {
    throw new Problem('IMAGE_UNREADABLE', `Expected at most ${maxFrames} frames for the image but received more`);
  }
  const fit = format === 'gif' ? fitGif(content) : { bytes: format === 'avif' ? asAvif(content) : bytes };
  const source = sharp(fit.bytes, { autoOrient: true, failOn, limitInputPixels: false });
  const header = await source.metadata().catch(refuse);
  // The same container holds AVIF and HEIC.
  if (header.format === 'heif' && header.compression !== 'av1') throw unsupported();
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

function unsupported(): Problem {
  const detail = 'Expected a JPEG, PNG, WebP, GIF or AVIF image for the upload but received other content';
  return new Problem('IMAGE_UNSUPPORTED', detail);
}

function unreadable(cause?: unknown): Problem {
  const detail = 'Expected a complete and valid image for the upload but received one that cannot be decoded';
  return new Problem('IMAGE_UNREADABLE', detail, { cause });
}

/**
 * Whatever libvips says of an image is the image's fault, with two exceptions: it took too long, for which other images
 * may be the reason, and libvips' own words for a buffer that it could not have. Decoders also say "out of memory", but that
 * is what a forged header makes them ask for.
 */
function refuse(fault: unknown): never {
  const text = String(fault);
  if (text.includes('out of memory -- size ==')) throw fault;
  if (!text.includes('timeout:')) throw unreadable(fault);
  throw new Problem('DEADLINE_EXCEEDED', 'Expected an image that is decoded in time but received no pixels', {
    cause: fault,
  });
}

/**
 * By what both sides are divided so that the region stays within the main thread's share, but not below twice the crop; a region that
 * does not, and of which reduced pixels are enough, becomes twice the crop.
 */
function reductionFor(regionPixels: number, crop: number, precision: Precision): number {
  const least = (2 * crop) ** 2;
  const most = Math.max(mainThreadPixels, least);
  return regionPixels <= most ? 1 : Math.sqrt(regionPixels / (precision === 'reduced' ? least : most));
}

/** The pipeline's pixels as RGB. */
async function readRegion(pipeline: Sharp, { isInk }: Header): Promise<Uint8Array> {
  // Ink is converted here, as Pillow does it: libvips would go through a press profile, which takes longer and shifts colors.
  if (isInk) pipeline.pipelineColourspace('cmyk');
  pipeline.removeAlpha().toColourspace(isInk ? 'cmyk' : 'srgb');
  pipeline.timeout({ seconds: decodeTimeoutSeconds });
  // Not toUint8Array: under Node 20, sharp 0.35.5 never gives its memory back.
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true }).catch(refuse);
  if (info.channels !== (isInk ? 4 : 3)) throw unsupported();
  return isInk ? inkToRgb(data) : data;
}
