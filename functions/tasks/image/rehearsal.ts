import { openSharp } from './libvips.ts';

/** A JPEG of colored clouds, 480 x 360 pixels and some 30 kB, as photos are on web pages. */
export function drawPhoto(): Promise<Buffer> {
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const create = { width: 60, height: 45, channels: 3, background: 'gray', noise } as const;
  return openSharp()({ create }).resize(480, 360).jpeg().toBuffer();
}
