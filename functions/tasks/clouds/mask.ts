import type { Patch } from './patch.ts';
import { validityOf } from './patch.ts';

/** What a pixel of a mask is. */
export const classes = { clear: 0, cloud: 1, shadow: 2, none: 255 } as const;

/** Shares of the pixels that have data; 0 where none has. */
export interface Fractions {
  readonly cloudFraction: number;
  readonly shadowFraction: number;
  /** Share of all pixels. */
  readonly validFraction: number;
}

/**
 * The class of each pixel: that of its highest logit, of equal ones the first; 255 where there is no data.
 * @param logits [3, height, width] in the order clear, cloud, shadow
 */
export function classify(logits: Float32Array, patch: Patch): Uint8Array {
  const validity = validityOf(patch);
  const pixels = validity.length;
  const mask = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i += 1) {
    const [clear, cloud, shadow] = [
      logits[i] as number,
      logits[pixels + i] as number,
      logits[2 * pixels + i] as number,
    ];
    const best = cloud > clear ? (shadow > cloud ? 2 : 1) : shadow > clear ? 2 : 0;
    mask[i] = validity[i] === 0 ? classes.none : best;
  }
  return mask;
}

/**
 * Grows the clouds by a disk: a pixel with data becomes cloud when a cloud lies within `radius` of it, center to center. What lies outside
 * of the patch adds nothing.
 */
export function dilate(
  mask: Uint8Array,
  { width, height }: Pick<Patch, 'width' | 'height'>,
  radius: number,
): Uint8Array {
  if (radius === 0) return mask;
  const far = radius + 1;
  const distances = distancesInRow(mask, width, far);
  const grown = mask.slice();
  // For each row as far away: how far the disk reaches along it.
  const reaches = Array.from({ length: radius + 1 }, (_, dy) => Math.floor(Math.sqrt(radius * radius - dy * dy)));
  for (let y = 0; y < height; y += 1) {
    for (let dy = -Math.min(radius, y); dy <= Math.min(radius, height - 1 - y); dy += 1) {
      const reach = reaches[Math.abs(dy)] as number;
      const [to, from] = [y * width, (y + dy) * width];
      for (let x = 0; x < width; x += 1) {
        if ((distances[from + x] as number) <= reach && grown[to + x] !== classes.none) grown[to + x] = classes.cloud;
      }
    }
  }
  return grown;
}

/** Pixels to the nearest cloud of the same row, at most `far`. */
function distancesInRow(mask: Uint8Array, width: number, far: number): Uint8Array {
  const distances = new Uint8Array(mask.length);
  for (let row = 0; row < mask.length; row += width) {
    let distance = far;
    for (let i = row; i < row + width; i += 1) {
      distance = mask[i] === classes.cloud ? 0 : Math.min(far, distance + 1);
      distances[i] = distance;
    }
    distance = far;
    for (let i = row + width - 1; i >= row; i -= 1) {
      distance = Math.min(distances[i] as number, distance + 1);
      distances[i] = distance;
    }
  }
  return distances;
}

export function measure(mask: Uint8Array): Fractions {
  const counts = new Float64Array(256);
  for (const value of mask) counts[value] = (counts[value] as number) + 1;
  const valid = mask.length - (counts[classes.none] as number);
  const share = (value: number) => (valid === 0 ? 0 : (counts[value] as number) / valid);
  return {
    cloudFraction: share(classes.cloud),
    shadowFraction: share(classes.shadow),
    validFraction: valid / mask.length,
  };
}
