import { imageProblem } from '../image/problems.ts';
import { maxBands } from './ask.ts';
import { unreadable, unsupported } from './refusal.ts';

/** How a TIFF stores its first image. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly bandCount: number;
  /** Of the numbers of all bands. */
  readonly elementType: 'uint16' | 'int16' | 'float32';
  readonly compression: Compression;
  /** 1 none, 2 differences along a row, 3 the same of bytes of floats. */
  readonly predictor: number;
  /** Whether each band has blocks of its own. */
  readonly isPlanar: boolean;
  readonly isLittleEndian: boolean;
  /** A strip or tile; the last strip may be shorter. */
  readonly blockWidth: number;
  readonly blockHeight: number;
  readonly isTiled: boolean;
}

export type Compression = 'none' | 'lzw' | 'deflate' | 'packbits' | 'zstd';

/** The tags as the file has them; absent where it has none. */
export interface Tags {
  number(tag: string): number | undefined;
  numbers(tag: string): readonly number[] | undefined;
}

const compressions: Readonly<Record<number, Compression>> = {
  1: 'none',
  5: 'lzw',
  8: 'deflate',
  32946: 'deflate',
  32773: 'packbits',
  50000: 'zstd',
};

const refused: Readonly<Record<number, string>> = {
  2: 'CCITT',
  3: 'CCITT',
  4: 'CCITT',
  6: 'JPEG',
  7: 'JPEG',
  33003: 'JPEG 2000',
  33005: 'JPEG 2000',
  34712: 'JPEG 2000',
  34887: 'LERC',
  34925: 'LZMA',
  50001: 'WebP',
  50002: 'JPEG XL',
};

/** Sentinel-2 comes as uint16, MAJA's reflectance as int16, Sentinel Hub's as float32: SampleFormat and bits of each. */
const elementTypes = { uint16: [1, 16], int16: [2, 16], float32: [3, 32] } as const;

const formats = ['other', 'uint', 'int', 'float', 'other', 'complex int', 'complex float'];

/** Pixels of a side. */
const sides = { min: 64, max: 1024 };

/** The largest image of the most bands that Sentinel-2 fills, all of them uint16 ... */
const maxDecodedBytes = sides.max * sides.max * maxBands * 2;

/** ... and the most that is decoded at once: 13 bands of that size in one strip are 27 MiB. */
const maxBlockBytes = 33_554_432;

/**
 * Reads and checks how the image is stored, before any pixel is read.
 * @param fileBytes of the whole file, in which all blocks must lie
 * @throws Problem IMAGE_UNSUPPORTED | IMAGE_UNREADABLE | IMAGE_TOO_MANY_PIXELS
 */
export function readLayout(tags: Tags, isLittleEndian: boolean, fileBytes: number): Layout {
  const [width, height] = readSize(tags);
  const bandCount = tags.number('SamplesPerPixel') ?? 1;
  if (!(Number.isInteger(bandCount) && bandCount >= 1 && bandCount <= maxBands)) {
    throw unsupported(`an image of 1 to ${maxBands} bands`, `one of ${bandCount}`);
  }
  const elementType = readElementType(tags, bandCount);
  const compression = readCompression(tags);
  const predictor = tags.number('Predictor') ?? 1;
  const isFloat = elementType === 'float32';
  if (![1, 2].includes(predictor) && !(predictor === 3 && isFloat)) throw unsupported('predictor 1, 2 or 3', 'another');
  if ((tags.number('FillOrder') ?? 1) !== 1) throw unsupported('the usual order of bits', 'another');
  const planar = tags.number('PlanarConfiguration') ?? 1;
  if (planar !== 1 && planar !== 2) throw unreadable();
  const layout: Layout = {
    width,
    height,
    bandCount,
    elementType,
    compression,
    predictor: compression === 'none' || compression === 'packbits' ? 1 : predictor,
    isPlanar: planar === 2,
    isLittleEndian,
    ...readBlockSize(tags, width, height),
  };
  checkBlocks(layout, tags, fileBytes);
  return layout;
}

export function bytesPerNumber({ elementType }: Pick<Layout, 'elementType'>): number {
  return elementType === 'float32' ? 4 : 2;
}

/** Numbers of one row of a block. */
export function rowLength({ blockWidth, bandCount, isPlanar }: Layout): number {
  return blockWidth * (isPlanar ? 1 : bandCount);
}

/** Blocks of one plane, in each direction. */
export function blocksOf({ width, height, blockWidth, blockHeight }: Layout): readonly [across: number, down: number] {
  return [Math.ceil(width / blockWidth), Math.ceil(height / blockHeight)];
}

function readSize(tags: Tags): readonly [width: number, height: number] {
  const [width = 0, height = 0] = [tags.number('ImageWidth'), tags.number('ImageLength')];
  const received = `${width} x ${height}`;
  const expected = `${sides.min} to ${sides.max} pixels a side`;
  if (!(width >= sides.min && height >= sides.min)) throw unsupported(`an image of ${expected}`, received);
  if (width <= sides.max && height <= sides.max) return [width, height];
  throw imageProblem('IMAGE_TOO_MANY_PIXELS', `Expected ${expected} for the upload but received ${received}`);
}

function readElementType(tags: Tags, bandCount: number): Layout['elementType'] {
  const bits = tags.numbers('BitsPerSample') ?? [1];
  const format = tags.numbers('SampleFormat') ?? [1];
  // Some programs write one number for all bands.
  const types = Array.from({ length: bandCount }, (_, band) => {
    return [format[band] ?? format[0] ?? 1, bits[band] ?? bits[0] ?? 1] as const;
  });
  const [first = [1, 1] as const] = types;
  const found = Object.entries(elementTypes).find(([, [format, bits]]) => first[0] === format && first[1] === bits);
  const isUniform = types.every(([format, bits]) => format === first[0] && bits === first[1]);
  if (found && isUniform) return found[0] as Layout['elementType'];
  const received = isUniform ? `${formats[first[0]] ?? 'other'} of ${first[1]} bits` : 'several types';
  throw unsupported('bands of uint16, int16 or float32', received);
}

function readCompression(tags: Tags): Compression {
  const number = tags.number('Compression') ?? 1;
  const compression = compressions[number];
  if (compression) return compression;
  const received = refused[number] ?? `number ${number}`;
  throw unsupported('no compression, deflate, LZW, PackBits or zstd', received);
}

function readBlockSize(tags: Tags, width: number, height: number) {
  const isTiled = tags.numbers('StripOffsets') === undefined;
  const blockWidth = isTiled ? (tags.number('TileWidth') ?? 0) : width;
  const rows = isTiled ? tags.number('TileLength') : Math.min(tags.number('RowsPerStrip') || height, height);
  const blockHeight = rows ?? 0;
  // TIFF 6.0 wants it of tiles; smaller ones would be a quarter of a million.
  const isSize = (value: number) => Number.isInteger(value) && value >= 1 && (!isTiled || value % 16 === 0);
  if (!isSize(blockWidth) || !isSize(blockHeight)) throw unreadable('tiles whose sides are no multiples of 16');
  return { isTiled, blockWidth, blockHeight };
}

/** That what they hold is bounded, before and after it is decompressed, and that all of them lie in the file. */
function checkBlocks(layout: Layout, tags: Tags, fileBytes: number): void {
  const { isTiled, isPlanar, bandCount, blockHeight, compression } = layout;
  const [across, down] = blocksOf(layout);
  const count = across * down * (isPlanar ? bandCount : 1);
  const blockBytes = rowLength(layout) * blockHeight * bytesPerNumber(layout);
  if (blockBytes > maxBlockBytes) {
    throw unsupported(`at most ${maxBlockBytes} bytes in a strip or tile`, `${blockBytes}`);
  }
  if (count * blockBytes > maxDecodedBytes) {
    const detail = `Expected at most ${maxDecodedBytes} bytes of pixels for the upload but received ${count * blockBytes}`;
    throw imageProblem('IMAGE_TOO_MANY_PIXELS', detail);
  }
  const offsets = tags.numbers(isTiled ? 'TileOffsets' : 'StripOffsets') ?? [];
  const counts = tags.numbers(isTiled ? 'TileByteCounts' : 'StripByteCounts') ?? [];
  if (offsets.length < count || counts.length < count) throw unreadable('one without all strips or tiles');
  let sum = 0;
  for (let index = 0; index < count; index += 1) {
    const [offset = 0, bytes = 0] = [Number(offsets[index]), Number(counts[index])];
    sum += bytes;
    // Blocks that share bytes would be decoded again and again.
    if (!(bytes >= 0 && offset >= 0 && offset + bytes <= fileBytes && sum <= fileBytes)) {
      throw unreadable('strips or tiles that lie outside of it');
    }
    const isShort = !isTiled && index % down === down - 1;
    if (compression === 'none' && bytes > 0 && bytes < blockBytes && !isShort) throw unreadable();
  }
}
