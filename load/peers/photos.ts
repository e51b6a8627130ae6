import sharp from 'sharp';

/** Widths and heights of the generated photos: what phones, cameras and web pages send, in both orientations. */
export const photoSizes = [
  [500, 375],
  [375, 500],
  [640, 480],
  [333, 500],
  [800, 600],
  [1024, 768],
  [512, 512],
  [1280, 960],
] as const;

/** A JPEG with what photos have: smooth fields of color, edges, shapes and grain; every seed makes another one. */
export function drawPhoto(width: number, height: number, seed: number): Promise<Buffer> {
  const next = random(seed);
  const waves = Array.from({ length: 9 }, () => [next() * 0.05, next() * 0.05, next() * 6.3] as const);
  const discs = Array.from({ length: 6 }, () => ({
    x: next() * width,
    y: next() * height,
    radius: (0.05 + 0.25 * next()) * Math.min(width, height),
    shade: [next(), next(), next()] as const,
  }));
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const disc = discs.find((one) => (x - one.x) ** 2 + (y - one.y) ** 2 < one.radius ** 2);
      for (let channel = 0; channel < 3; channel += 1, at += 1) {
        let value = disc ? 255 * (disc.shade[channel] as number) : 128;
        for (let wave = channel; wave < waves.length; wave += 3) {
          const [across, down, phase] = waves[wave] as readonly [number, number, number];
          value += 30 * Math.sin(across * x + down * y + phase);
        }
        data[at] = Math.max(0, Math.min(255, value + 24 * (next() - 0.5)));
      }
    }
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 88 })
    .toBuffer();
}

/** A PNG of few bytes and many pixels, all black. */
export function drawBomb(side: number): Promise<Buffer> {
  return sharp({ create: { width: side, height: side, channels: 3, background: 'black' }, limitInputPixels: false })
    .toColourspace('b-w')
    .png({ compressionLevel: 9 })
    .toBuffer();
}

/** Numbers from 0 to 1, always the same for a seed. */
function random(seed: number): () => number {
  let state = Math.imul(seed, 2_654_435_761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
