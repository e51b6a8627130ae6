import type { Precision } from '../../core/task.ts';
import { expandRange, inkToRgb, paintAround } from './color.ts';
import { type Header, readHeader } from './header.ts';
import { decodeTimeoutSeconds, failOn, openSharp, refuse, type Sharp, unsupported } from './libvips.ts';
import { isReducible, type PlainJpeg } from './reduce.ts';
import { type ImageRecipe, planAxes, planFilter, planSpan, resizeRegion } from './resize.ts';

/** RGB, 8 bits a channel, row by row; `data` owns its whole ArrayBuffer, so that it can be transferred. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface Image<Picture = Pixels> {
  readonly pixels: Picture;
  /** Size of the upload, after EXIF orientation. */
  readonly sourceWidth: number;
  readonly sourceHeight: number;
}

/**
 * Most source pixels that are resized on the main thread, or four times the crop's where that is more: 1,000,000 take about 1.1 ms
 * there, 1.8 with a cubic kernel. A photo of 1280x960 has 712,000 for a crop of 224 of 256, and 935,000 for one of 72 of 72. Of
 * larger images libvips first makes smaller ones, on its own threads.
 */
const mainThreadPixels = 1_000_000;

/**
 * The pixels that torchvision's Resize(resize) and CenterCrop(crop) give after EXIF orientation, color profiles ignored
 * and alpha dropped as there: to the bit where the crop needs at most 1,000,000 source pixels, close above.
 * @throws Problem IMAGE_UNSUPPORTED | IMAGE_UNREADABLE | IMAGE_TOO_MANY_PIXELS | DEADLINE_EXCEEDED
 */
export async function decodeImage(bytes: Uint8Array, recipe: ImageRecipe, maxPixels: number): Promise<Image> {
  const header = await readHeader(bytes, maxPixels);
  return imageOf(header, await decodeWhole(header, recipe, maxPixels, 'exact'));
}

/**
 * The same at about half the cost (a third of a photo of 30 kB), for a model that has to be quick: its pixels are 1.4 of 255 off on
 * average where the image can be decoded smaller than it is, baseline JPEG or above 1,000,000 pixels. Such a JPEG is left as it is, for
 * the thread that runs the model: see `reduceJpeg`.
 * @throws Problem as `decodeImage`
 */
export async function reduceImage(
  bytes: Uint8Array,
  recipe: ImageRecipe,
  maxPixels: number,
): Promise<Image<Pixels | PlainJpeg>> {
  const header = await readHeader(bytes, maxPixels);
  const { bytes: data, width, height } = header;
  if (isReducible(header, recipe)) return imageOf(header, { data, isEncoded: true, width, height });
  return imageOf(header, await decodeWhole(header, recipe, maxPixels, 'reduced'));
}

function imageOf<Picture>({ width, height }: Header, pixels: Picture): Image<Picture> {
  return { pixels, sourceWidth: width, sourceHeight: height };
}

/** By libvips. */
async function decodeWhole(
  header: Header,
  recipe: ImageRecipe,
  maxPixels: number,
  precision: Precision,
): Promise<Pixels> {
  const { width, height } = header;
  const { kernel } = recipe;
  let [across, down] = planAxes(width, height, recipe);
  let [columns, rows] = [planSpan(across, kernel), planSpan(down, kernel)];
  const reduction = reductionFor(columns.length * rows.length, recipe.crop, precision);
  const sharp = openSharp();
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
  return { data: resizeRegion(region, ...filters), width: recipe.crop, height: recipe.crop };
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
export async function readRegion(pipeline: Sharp, { isInk }: Header): Promise<Uint8Array> {
  // Ink is converted here, as Pillow does it: libvips would go through a press profile, which takes longer and shifts colors.
  if (isInk) pipeline.pipelineColourspace('cmyk');
  pipeline.removeAlpha().toColourspace(isInk ? 'cmyk' : 'srgb');
  pipeline.timeout({ seconds: decodeTimeoutSeconds });
  // Not toUint8Array: under Node 20, sharp 0.35.5 never gives its memory back.
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true }).catch(refuse);
  if (info.channels !== (isInk ? 4 : 3)) throw unsupported();
  return isInk ? inkToRgb(data) : data;
}
