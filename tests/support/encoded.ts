import sharp, { type Sharp } from 'sharp';

/** Small valid images of every accepted format, 32x32 to 400x300, so that thousands of them are decoded in a minute. */
export async function makeSourceImages(): Promise<readonly Buffer[]> {
  const sizes = [
    [32, 32],
    [90, 60],
    [400, 300],
  ] as const;
  const images = sizes.map(([width, height]) => {
    const pixels = Buffer.alloc(width * height * 3);
    for (let i = 0; i < pixels.length; i += 1) pixels[i] = (i % (width * 3)) ^ Math.floor(i / width);
    return sharp(pixels, { raw: { width, height, channels: 3 } });
  });
  return encodeAll(images);
}

/** Each picture in every accepted format. */
export async function encodeAll(images: readonly Sharp[]): Promise<readonly Buffer[]> {
  const encoded = images.flatMap((image) => [
    image.clone().jpeg({ quality: 80 }).toBuffer(),
    image.clone().jpeg({ progressive: true }).withMetadata({ orientation: 6 }).toBuffer(),
    image.clone().png().toBuffer(),
    image.clone().png({ palette: true }).toBuffer(),
    image.clone().webp({ quality: 80 }).toBuffer(),
    image.clone().gif().toBuffer(),
    image.clone().avif({ quality: 40, effort: 0 }).toBuffer(),
  ]);
  return Promise.all(encoded);
}
