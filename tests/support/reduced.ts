import { decodeImage, type Image, reduceImage } from '../../functions/tasks/image/image.ts';
import { reduceJpeg } from '../../functions/tasks/image/reduce.ts';
import type { ImageRecipe } from '../../functions/tasks/image/resize.ts';

/** What a standby model gets: its worker makes pixels of a JPEG, and of one with faults libvips does. */
export async function decodeReduced(bytes: Uint8Array, recipe: ImageRecipe, maxPixels: number): Promise<Image> {
  const { pixels, ...size } = await reduceImage(bytes, recipe, maxPixels);
  if (!('isEncoded' in pixels)) return { pixels, ...size };
  const reduced = reduceJpeg(pixels, recipe);
  return reduced ? { pixels: reduced, ...size } : decodeImage(bytes, recipe, maxPixels);
}
