import sharp, { type Sharp } from 'sharp';

const grass = { r: 60, g: 140, b: 50 };

/** A picture of one color, the smallest thing that is an image. */
function plain(width: number, height: number): Sharp {
  return sharp({ create: { width, height, channels: 3, background: grass } });
}

/** A picture with enough detail that its compressed bytes can be cut or changed somewhere in the middle. */
function busy(width: number, height: number): Sharp {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37 + (i >> 4) * 101) % 256);
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/** A red frame before a blue one. */
function animation(): Sharp {
  const [width, height] = [12, 10];
  const data = Uint8Array.from({ length: width * height * 2 * 3 }, (_, i) => {
    const isSecond = i >= width * height * 3;
    return i % 3 === (isSecond ? 2 : 0) ? 255 : 0;
  });
  return sharp(data, { raw: { width, height: height * 2, channels: 3, pageHeight: height } });
}

/** Red over blue as they are stored, 24 x 16, with the orientation that a viewer has to apply. */
function oriented(orientation: number): Promise<Buffer> {
  const [width, height] = [24, 16];
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const isLower = i >= (width * height * 3) / 2;
    return i % 3 === (isLower ? 2 : 0) ? 255 : 0;
  });
  return sharp(data, { raw: { width, height, channels: 3 } })
    .withMetadata({ orientation })
    .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
    .toBuffer();
}

async function changed(source: Promise<Buffer>, change: (bytes: Buffer) => Buffer): Promise<Buffer> {
  return change(Buffer.from(await source));
}

const jpeg = () => busy(96, 80).jpeg().toBuffer();
const png = () => busy(40, 30).png().toBuffer();
const gif = () => busy(40, 30).gif().toBuffer();
const avif = () => busy(32, 24).avif({ effort: 0 }).toBuffer();

const makers = {
  jpeg,
  png,
  avif,
  webp: () => busy(40, 30).webp().toBuffer(),
  gif,
  progressiveJpeg: () => busy(96, 80).jpeg({ progressive: true }).toBuffer(),
  grayJpeg: () => busy(40, 30).grayscale().jpeg().toBuffer(),
  cmykJpeg: () => busy(40, 30).toColourspace('cmyk').jpeg().toBuffer(),
  alphaPng: () => busy(40, 30).ensureAlpha(0.5).png().toBuffer(),
  deepPng: () => busy(40, 30).toColourspace('rgb16').png().toBuffer(),
  deepGrayPng: () => busy(40, 30).toColourspace('grey16').png().toBuffer(),
  palettePng: () => busy(40, 30).png({ palette: true }).toBuffer(),
  animatedGif: () => animation().gif().toBuffer(),
  animatedWebp: () => animation().webp({ lossless: true }).toBuffer(),
  /** Something else behind the picture, as phones append a film. */
  jpegWithTail: () =>
    changed(jpeg(), (bytes) => Buffer.concat([bytes, Buffer.from([0xff, 0xda, 0, 0]), Buffer.alloc(500, 0xab)])),
  onePixel: () => plain(1, 1).png().toBuffer(),
  column: () => plain(1, 5000).png().toBuffer(),
  row: () => plain(5000, 1).png().toBuffer(),
  /** 8,000 x 5,001 pixels, 16 over 40 million, in a few thousand bytes. */
  bomb: () =>
    sharp(new Uint8Array(8000 * 5001), { raw: { width: 8000, height: 5001, channels: 1 } })
      .png()
      .toBuffer(),

  truncatedJpeg: () => changed(jpeg(), (bytes) => bytes.subarray(0, bytes.length >> 1)),
  truncatedPng: () => changed(png(), (bytes) => bytes.subarray(0, bytes.length >> 1)),
  truncatedAvif: () => changed(avif(), (bytes) => bytes.subarray(0, bytes.length - 100)),
  /** An upright picture whose last rows are missing: the crop in its middle does not need them. */
  jpegWithoutItsEnd: () => changed(busy(60, 300).jpeg().toBuffer(), (bytes) => bytes.subarray(0, bytes.length - 200)),
  pngWithoutItsEnd: () => changed(busy(60, 300).png().toBuffer(), (bytes) => bytes.subarray(0, bytes.length - 200)),
  webpWithoutItsEnd: () => changed(busy(60, 300).webp().toBuffer(), (bytes) => bytes.subarray(0, bytes.length - 200)),
  gifWithoutItsEnd: () => changed(busy(60, 300).gif().toBuffer(), (bytes) => bytes.subarray(0, bytes.length - 200)),
  jpegOfThreeBytes: () => changed(jpeg(), (bytes) => bytes.subarray(0, 3)),
  pngSignature: () => changed(png(), (bytes) => bytes.subarray(0, 8)),
  /** Bytes of the compressed data overwritten, so that its checksum is wrong. */
  corruptPng: () => changed(png(), (bytes) => bytes.fill(0x55, bytes.length >> 1, (bytes.length >> 1) + 8)),
  /** A frame of 65,535 x 65,535 pixels, that far outside of a picture of 40 x 30. */
  gifOfForgedFrame: () =>
    changed(gif(), (bytes) => {
      // The image descriptor: a comma, then two bytes each of left, top, width and height.
      const descriptor = bytes.indexOf(Buffer.from([0x2c, 0, 0, 0, 0, 40, 0, 30, 0]));
      return bytes.fill(0xff, descriptor + 1, descriptor + 9);
    }),
  /** The AVIF container around a codec that is not AV1. */
  avifOfAnotherCodec: () =>
    changed(avif(), (bytes) => Buffer.from(bytes.toString('latin1').replace('av01', 'hvc1'), 'latin1')),

  zeroBytes: async () => Buffer.alloc(0),
  oneByte: async () => Buffer.from([0xff]),
  text: async () => Buffer.from('This page was saved under the name of a photo.\n'.repeat(20)),
  svg: async () =>
    Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64"/></svg>'),
  pdf: async () => Buffer.from('%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n'),
  tiff: () => plain(16, 16).tiff().toBuffer(),
  /** The file type box that an HEIC photo begins with. */
  heic: async () => Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat', 'latin1'),
} satisfies Record<string, () => Promise<Buffer>>;

export type FixtureName = keyof typeof makers;

const made = new Map<string, Promise<Buffer>>();

function once(key: string, make: () => Promise<Buffer>): Promise<Buffer> {
  const bytes = made.get(key) ?? make();
  made.set(key, bytes);
  return bytes;
}

/** The bytes of a fixture, made on first use; callers must not write into them. */
export function fixture(name: FixtureName): Promise<Buffer> {
  return once(name, makers[name]);
}

/** A JPEG stored 24 x 16 with red over blue and an EXIF orientation of 1 to 8; callers must not write into it. */
export function orientedJpeg(orientation: number): Promise<Buffer> {
  return once(`orientation ${orientation}`, () => oriented(orientation));
}
