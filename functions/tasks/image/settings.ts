import type { ReadInteger } from '../../core/task.ts';

/** Media types of an upload that may be a picture; what it is, its bytes say. */
export const imageTypes = ['image/*', 'application/octet-stream'] as const;

/** Bytes of the largest upload. */
export const maxImageBytes = 10_485_760;

export interface ImageSettings {
  /** Largest image, judged before it is decoded. */
  readonly maxPixels: number;
}

export function readImageSettings(read: ReadInteger): ImageSettings {
  return { maxPixels: read('MAX_PIXELS', { fallback: 40_000_000, min: 1, max: 268_402_689 }) };
}
