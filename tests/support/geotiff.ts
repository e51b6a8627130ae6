import { deflateSync } from 'node:zlib';
import { type ElementType, elements, encodeRow, packBits, packLzw } from './pack.ts';

/** An entry of a directory. */
export interface Tag {
  readonly type: 'byte' | 'ascii' | 'short' | 'long' | 'double' | 'long8';
  readonly values: string | readonly number[];
  /** What the entry says in place of the true number. */
  readonly count?: number;
  /** Where the entry says that the values lie, which are not written then. */
  readonly at?: number;
}

export interface Drawing {
  readonly width?: number;
  readonly height?: number;
  /** What each band is called by GDAL's metadata; null for one without a description. */
  readonly bands?: readonly (string | null)[];
  /** The number at a place, by index of the pixel. */
  readonly value?: (band: number, pixel: number) => number;
  readonly type?: ElementType;
  readonly compression?: 'none' | 'deflate' | 'adobe' | 'lzw' | 'packbits';
  readonly predictor?: 1 | 2 | 3;
  /** Strips where absent. */
  readonly tile?: readonly [width: number, height: number];
  readonly rowsPerStrip?: number;
  readonly isPlanar?: boolean;
  readonly isBigEndian?: boolean;
  readonly isBigTiff?: boolean;
  /** Items of GDAL's metadata. */
  readonly items?: Readonly<Record<string, string>>;
  readonly noData?: string;
  readonly hasGeoreference?: boolean;
  /** Entries beside the others, or in place of them; null leaves one out. */
  readonly tags?: Readonly<Record<number, Tag | null>>;
  /** Changes the bytes of a block before they are written. */
  readonly pack?: (block: Buffer, index: number) => Uint8Array;
}

const typeNumbers = {
  byte: [1, 1],
  ascii: [2, 1],
  short: [3, 2],
  long: [4, 4],
  double: [12, 8],
  long8: [16, 8],
} as const;
const compressions = { none: 1, lzw: 5, adobe: 8, packbits: 32773, deflate: 32946 } as const;

/** 10 m a pixel in UTM zone 33N. */
export const georeference = {
  33550: { type: 'double', values: [10, 10, 0] },
  33922: { type: 'double', values: [0, 0, 0, 500_000, 5_200_000, 0] },
  34735: {
    type: 'short',
    values: [1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, 34737, 22, 0, 3072, 0, 1, 32633],
  },
  34737: { type: 'ascii', values: 'WGS 84 / UTM zone 33N|' },
} as const satisfies Record<number, Tag>;

/** The bytes of a GeoTIFF; by default 64x64, four bands of uint16 with descriptions, L2A, deflate in one strip. */
export function drawGeoTiff(drawing: Drawing = {}): Buffer {
  const { width = 64, height = 64, bands = ['B02', 'B03', 'B04', 'B08'], type = 'uint16' } = drawing;
  const { compression = 'deflate', predictor = 1, tile, rowsPerStrip = height, isPlanar = false } = drawing;
  const { isBigEndian = false, items = { PROCESSING_LEVEL: 'Level-2A' }, noData, hasGeoreference = true } = drawing;
  const blocks = drawBlocks(drawing).map(drawing.pack ?? ((block) => packBlock(block, compression)));
  const shorts = (value: number) => ({ type: 'short', values: bands.map(() => value) }) as const;
  const [format, bytes] = elements[type];
  const lengths = blocks.map((block) => block.length);
  const tags: Record<number, Tag | null> = {
    256: { type: 'long', values: [width] },
    257: { type: 'long', values: [height] },
    258: shorts(8 * bytes),
    259: { type: 'short', values: [compressions[compression]] },
    262: { type: 'short', values: [1] },
    277: { type: 'short', values: [bands.length] },
    284: { type: 'short', values: [isPlanar ? 2 : 1] },
    317: predictor === 1 ? null : { type: 'short', values: [predictor] },
    338: bands.length === 1 ? null : { type: 'short', values: bands.slice(1).map(() => 0) },
    339: shorts(format),
    42112: { type: 'ascii', values: metadata(bands, items) },
    42113: noData === undefined ? null : { type: 'ascii', values: noData },
    ...(tile
      ? { 322: { type: 'short', values: [tile[0]] }, 323: { type: 'short', values: [tile[1]] } }
      : { 278: { type: 'long', values: [rowsPerStrip] } }),
    [tile ? 325 : 279]: { type: 'long', values: lengths },
    ...(hasGeoreference && georeference),
  };
  let next = drawing.isBigTiff ? 16 : 8;
  const offsets = blocks.map((block) => {
    const at = next;
    next += block.length;
    return at;
  });
  tags[tile ? 324 : 273] = { type: 'long', values: offsets };
  return assemble(blocks, { ...tags, ...drawing.tags }, { isBigEndian, isBigTiff: drawing.isBigTiff ?? false });
}

function metadata(bands: readonly (string | null)[], items: Readonly<Record<string, string>>): string {
  const descriptions = bands.map((band, index) =>
    band === null ? '' : `<Item name="DESCRIPTION" sample="${index}" role="description">${band}</Item>\n`,
  );
  const others = Object.entries(items).map(([name, value]) => `<Item name="${name}">${value}</Item>\n`);
  return `<GDALMetadata>\n${[...others, ...descriptions].join('')}</GDALMetadata>\n`;
}

/** The blocks before they are compressed. */
function drawBlocks(drawing: Drawing): Buffer[] {
  const { width = 64, height = 64, bands = [0, 0, 0, 0], tile, rowsPerStrip = height, isPlanar = false } = drawing;
  const [blockWidth, blockHeight] = tile ?? [width, rowsPerStrip];
  const blocks: Buffer[] = [];
  for (let plane = 0; plane < (isPlanar ? bands.length : 1); plane += 1) {
    for (let top = 0; top < height; top += blockHeight) {
      for (let left = 0; left < width; left += blockWidth) {
        const rows = tile ? blockHeight : Math.min(blockHeight, height - top);
        blocks.push(drawBlock(drawing, { left, top, columns: blockWidth, rows, plane }));
      }
    }
  }
  return blocks;
}

interface Place {
  readonly left: number;
  readonly top: number;
  readonly columns: number;
  readonly rows: number;
  readonly plane: number;
}

function drawBlock(drawing: Drawing, { left, top, columns, rows, plane }: Place): Buffer {
  const {
    width = 64,
    height = 64,
    bands = [0, 0, 0, 0],
    type = 'uint16',
    predictor = 1,
    isPlanar,
    isBigEndian,
  } = drawing;
  const { value = (band, pixel) => 1000 + 100 * band + (pixel % 64) } = drawing;
  const [, bytes] = elements[type];
  const samples = isPlanar ? [plane] : bands.map((_, band) => band);
  const block = Buffer.alloc(columns * rows * samples.length * bytes);
  for (let row = 0, at = 0; row < rows; row += 1) {
    const numbers: number[] = [];
    for (let column = 0; column < columns; column += 1) {
      const isInside = left + column < width && top + row < height;
      for (const band of samples) numbers.push(isInside ? value(band, (top + row) * width + left + column) : 0);
    }
    const line = encodeRow(numbers, { type, predictor, step: samples.length, isBigEndian: isBigEndian ?? false });
    line.copy(block, at);
    at += line.length;
  }
  return block;
}

function packBlock(block: Buffer, compression: keyof typeof compressions): Uint8Array {
  if (compression === 'lzw') return packLzw(block);
  if (compression === 'packbits') return packBits(block);
  return compression === 'none' ? block : deflateSync(block);
}

/** Header, blocks, directory, then the values that do not fit into it. */
function assemble(
  blocks: readonly Uint8Array[],
  tags: Readonly<Record<number, Tag | null>>,
  { isBigEndian, isBigTiff }: { readonly isBigEndian: boolean; readonly isBigTiff: boolean },
): Buffer {
  const put = (bytes: number, value: number) => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeUIntBE(value, Math.max(0, bytes - 6), Math.min(6, bytes));
    return isBigEndian ? buffer : buffer.reverse();
  };
  const word = isBigTiff ? 8 : 4;
  const entries = Object.entries(tags).filter((entry): entry is [string, Tag] => entry[1] !== null);
  const body = Buffer.concat(blocks);
  const start = (isBigTiff ? 16 : 8) + body.length;
  const head = [Buffer.from(isBigEndian ? 'MM' : 'II'), put(2, isBigTiff ? 43 : 42)];
  const fields = [put(isBigTiff ? 8 : 2, entries.length)];
  let next = start + (isBigTiff ? 8 : 2) + entries.length * (isBigTiff ? 20 : 12) + word;
  const tail: Buffer[] = [];
  for (const [tag, { type, values, count, at }] of entries) {
    const [number, bytes] = typeNumbers[type];
    const list = typeof values === 'string' ? [...Buffer.from(`${values}\0`)] : values;
    const one = (value: number) => (type === 'double' ? putDouble(value, isBigEndian) : put(bytes, value));
    const long = bytes === 1 ? Buffer.from(list) : Buffer.concat(list.map(one));
    fields.push(put(2, Number(tag)), put(2, number), put(word, count ?? list.length));
    if (at !== undefined) fields.push(put(word, at));
    else if (long.length <= word) fields.push(Buffer.concat([long, Buffer.alloc(word - long.length)]));
    else {
      fields.push(put(word, next));
      tail.push(long);
      next += long.length;
    }
  }
  if (isBigTiff) head.push(put(2, 8), put(2, 0));
  return Buffer.concat([...head, put(word, start), body, ...fields, put(word, 0), ...tail]);
}

function putDouble(value: number, isBigEndian: boolean): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeDoubleBE(value);
  return isBigEndian ? buffer : buffer.reverse();
}
