import { createRequire } from 'node:module';
import type { default as SharpModule } from 'sharp';
import { Problem } from '../../core/problem.ts';
import { imageProblem } from './problems.ts';

// As CommonJS: sharp's ES module has import attributes, which Node.js 20.9 does not read.
const sharp: typeof SharpModule = createRequire(import.meta.url)('sharp');

export type { Sharp } from 'sharp';

let isRestricted = false;

/**
 * Wall time from when libvips opens the image, after which it frees its thread; the client has its 504 by then. On an idle machine
 * 40 megapixels take 0.1 s (JPEG) to 1.3 s (AVIF).
 */
export const decodeTimeoutSeconds = 8;

/** Of JPEG, warnings are about what cameras write and every viewer shows; that a file is cut short is an error in all formats. */
export const failOn = 'error';

/** sharp, which goes by content: every loader that no accepted format needs is shut, for the whole process. */
export function openSharp(): typeof SharpModule {
  if (isRestricted) return sharp;
  isRestricted = true;
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
  return sharp;
}

/** @param received what it is, and what to do instead */
export function unsupported(received = 'other content'): Problem {
  const detail = `Expected a JPEG, PNG, WebP, GIF or AVIF image for the upload but received ${received}`;
  return imageProblem('IMAGE_UNSUPPORTED', detail);
}

export function unreadable(cause?: unknown): Problem {
  const detail = 'Expected a complete and valid image for the upload but received one that cannot be decoded';
  return imageProblem('IMAGE_UNREADABLE', detail, { cause });
}

/**
 * Whatever libvips says of an image is the image's fault, with two exceptions: it took too long, for which other images
 * may be the reason, and libvips' own words for a buffer that it could not have. Decoders also say "out of memory", but that
 * is what a forged header makes them ask for.
 */
export function refuse(fault: unknown): never {
  const text = String(fault);
  if (text.includes('out of memory -- size ==')) throw fault;
  if (!text.includes('timeout:')) throw unreadable(fault);
  throw new Problem('DEADLINE_EXCEEDED', 'Expected an image that is decoded in time but received no pixels', {
    cause: fault,
  });
}
