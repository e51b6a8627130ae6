import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { drawGeoTiff, type Tag } from './geotiff.ts';
import { packZstd } from './pack.ts';

const long = (...values: number[]): Tag => ({ type: 'long', values });
const short = (...values: number[]): Tag => ({ type: 'short', values });
const zeros = (count: number) => Array<number>(count).fill(0);
const none = (count: number) => Array<null>(count).fill(null);
const gibibyte = 2 ** 30;

/** PackBits of as many bytes: 2 for each 128. */
function packRuns(length: number): Uint8Array {
  return new Uint8Array((2 * length) / 128).map((_, index) => (index % 2 === 0 ? 129 : 0));
}

/** LZW codes of 9 bits, each the one that is about to be made: strings that grow by a byte, and begin anew at 511. */
function packGrowing(bytes: number): Uint8Array {
  const codes = [256, 0, ...Array.from({ length: 252 }, (_, index) => 258 + index)];
  let [held, bits] = [0, 0];
  const packed: number[] = [];
  for (let i = 0; packed.length < bytes; i += 1) {
    held = ((held << 9) | (codes[i % codes.length] as number)) & 0xffff;
    bits += 9;
    for (; bits >= 8; bits -= 8) packed.push((held >> (bits - 8)) & 255);
  }
  return Uint8Array.from(packed);
}

/** A directory whose next one is itself; the first image is sound. */
function loopOfDirectories(): Buffer {
  const file = drawGeoTiff();
  const directory = file.readUInt32LE(4);
  file.writeUInt32LE(directory, directory + 2 + 12 * file.readUInt16LE(directory));
  return file;
}

function entriesChanged(count: number): Buffer {
  const file = drawGeoTiff();
  file.writeUInt16LE(count, file.readUInt32LE(4));
  return file;
}

const at512 = { width: 512, height: 512, value: () => 0 };

/** Files that no one should send: what they are, their bytes, and the code that they are answered with. */
export const badFiles: readonly [what: string, make: () => Uint8Array, code: string][] = [
  [
    '53 kB that declare 20000x20000x10',
    () => {
      const sparse = { 256: long(20_000), 257: long(20_000), 324: long(...zeros(6241)), 325: long(...zeros(6241)) };
      return drawGeoTiff({ bands: none(10), tile: [256, 256], tags: sparse });
    },
    'IMAGE_TOO_MANY_PIXELS',
  ],
  ['4 billion pixels a side', () => drawGeoTiff({ tags: { 256: long(0xfffffff0) } }), 'IMAGE_TOO_MANY_PIXELS'],
  ['60,000 bands', () => drawGeoTiff({ tags: { 277: short(60_000) } }), 'IMAGE_UNSUPPORTED'],
  [
    'a strip by deflate that inflates to 1 GiB',
    () => drawGeoTiff({ ...at512, pack: () => deflateSync(Buffer.alloc(gibibyte), { level: 1 }) }),
    'IMAGE_UNREADABLE',
  ],
  [
    'a strip by zstd that inflates to 1 GiB',
    () => drawGeoTiff({ ...at512, pack: () => packZstd(0, gibibyte), tags: { 259: short(50_000) } }),
    'IMAGE_UNREADABLE',
  ],
  ['a strip by zstd that is something else', () => drawGeoTiff({ tags: { 259: short(50_000) } }), 'IMAGE_UNREADABLE'],
  [
    'a strip by LZW of 64 times its size',
    () => drawGeoTiff({ ...at512, compression: 'lzw', pack: () => packGrowing(1_000_000) }),
    'IMAGE_UNREADABLE',
  ],
  [
    'a strip by PackBits that is too short',
    () => drawGeoTiff({ ...at512, compression: 'packbits', pack: () => packRuns(1_048_576) }),
    'IMAGE_UNREADABLE',
  ],
  ['a file of its first 8 bytes', () => drawGeoTiff().subarray(0, 8), 'IMAGE_UNREADABLE'],
  ['a file of its first half', () => drawGeoTiff().subarray(0, 600), 'IMAGE_UNREADABLE'],
  ['a file without its last byte', () => drawGeoTiff().subarray(0, -1), 'IMAGE_UNREADABLE'],
  ['a directory beyond the end', () => Buffer.from('49492a00ffffff7f', 'hex'), 'IMAGE_UNREADABLE'],
  ['a BigTIFF of its first 12 bytes', () => drawGeoTiff({ isBigTiff: true }).subarray(0, 12), 'IMAGE_UNREADABLE'],
  ['more entries than it has', () => entriesChanged(500), 'IMAGE_UNREADABLE'],
  ['65,535 entries', () => entriesChanged(65_535), 'IMAGE_UNREADABLE'],
  ['no entry', () => entriesChanged(0), 'IMAGE_UNSUPPORTED'],
  ['a type that nobody knows', () => drawGeoTiff({ tags: { 60000: { ...long(1), count: 0 } } }), 'IMAGE_UNREADABLE'],
  ['a strip that lies outside', () => drawGeoTiff({ tags: { 273: long(999_999) } }), 'IMAGE_UNREADABLE'],
  ['a strip longer than the file', () => drawGeoTiff({ tags: { 279: long(0xffffffff) } }), 'IMAGE_UNREADABLE'],
  ['4 billion strips', () => drawGeoTiff({ tags: { 273: { ...long(8), count: 0xffffffff } } }), 'IMAGE_UNREADABLE'],
  [
    'tiles that share their bytes',
    () =>
      drawGeoTiff({
        tile: [16, 16],
        tags: { 324: long(...Array<number>(16).fill(8)) },
        pack: () => Buffer.alloc(2048),
      }),
    'IMAGE_UNREADABLE',
  ],
  ['tiles of 2 pixels', () => drawGeoTiff({ tile: [2, 2] }), 'IMAGE_UNREADABLE'],
  ['tiles of 40 pixels', () => drawGeoTiff({ tile: [48, 40] }), 'IMAGE_UNREADABLE'],
  ['tiles without a size', () => drawGeoTiff({ tile: [16, 16], tags: { 322: null } }), 'IMAGE_UNREADABLE'],
  ['tiles of 65,520 pixels', () => drawGeoTiff({ tile: [64, 80], tags: { 322: short(65_520) } }), 'IMAGE_UNSUPPORTED'],
  ['strips that are fewer than the rows need', () => drawGeoTiff({ tags: { 278: long(31) } }), 'IMAGE_UNREADABLE'],
  [
    'tags of 2 MB that lie upon each other',
    () => {
      const upon = { ...long(1), count: 10_000, at: 8 };
      const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [60_000 + index, upon]));
      return drawGeoTiff({ ...at512, compression: 'none', tags: many });
    },
    'IMAGE_UNREADABLE',
  ],
  ['bands of uint8', () => drawGeoTiff({ type: 'uint8', value: () => 7 }), 'IMAGE_UNSUPPORTED'],
  ['bands of uint32', () => drawGeoTiff({ type: 'uint32' }), 'IMAGE_UNSUPPORTED'],
  ['bands of float64', () => drawGeoTiff({ type: 'float64' }), 'IMAGE_UNSUPPORTED'],
  ['complex numbers', () => drawGeoTiff({ type: 'complex64' }), 'IMAGE_UNSUPPORTED'],
  ['bands of two types', () => drawGeoTiff({ tags: { 339: short(1, 1, 2, 1) } }), 'IMAGE_UNSUPPORTED'],
  ['predictor 3 of uint16', () => drawGeoTiff({ tags: { 317: short(3) } }), 'IMAGE_UNSUPPORTED'],
  ['planes in a third way', () => drawGeoTiff({ tags: { 284: short(3) } }), 'IMAGE_UNREADABLE'],
  ['keys of coordinates below 0', () => drawGeoTiff({ tags: { 34735: long(1, 1, 0, 2 ** 31) } }), 'IMAGE_UNREADABLE'],
  ['another image', () => readFileSync('tests/images/test_image_1.jpg'), 'IMAGE_UNSUPPORTED'],
  ['a text', () => Buffer.from('B02,B03,B04,B08\n'.repeat(40)), 'IMAGE_UNSUPPORTED'],
  ['ten bands that nobody names', () => drawGeoTiff({ bands: none(10) }), 'PARAMETER_INVALID'],
  ['no level', () => drawGeoTiff({ items: {} }), 'PARAMETER_INVALID'],
];

/** Numbers of compressions that are refused by name. */
export const refusedCompressions = [
  [34887, 'LERC'],
  [34712, 'JPEG 2000'],
  [7, 'JPEG'],
  [34925, 'LZMA'],
  [50001, 'WebP'],
  [12345, 'number 12345'],
] as const;

/** Strange, but sound. */
export const oddFiles: readonly [what: string, make: () => Uint8Array][] = [
  ['a directory that leads back to itself', loopOfDirectories],
  ['bytes behind its end', () => Buffer.concat([drawGeoTiff(), Buffer.alloc(1000, 7)])],
  ['rows of 4 billion in a strip', () => drawGeoTiff({ tags: { 278: long(0xffffffff) } })],
  ['no rows in a strip, which means all', () => drawGeoTiff({ tags: { 278: null } })],
  ['no coordinates', () => drawGeoTiff({ hasGeoreference: false })],
  ['negative numbers', () => drawGeoTiff({ type: 'int16', value: () => -5 })],
  ['no number at all', () => drawGeoTiff({ type: 'float32', value: () => Number.NaN })],
  [
    '30,000 items of metadata',
    () => {
      const items = Array.from({ length: 30_000 }, (_, index) => [`ITEM_${index}`, 'x']);
      return drawGeoTiff({ items: { LEVEL: 'L2A', ...Object.fromEntries(items) } });
    },
  ],
  [
    'metadata of brackets',
    () => {
      const xml = `<Item name="LEVEL">L2A</Item>${['B2', 'B3', 'B4', 'B8'].map((band, index) => `<Item name="DESCRIPTION" sample="${index}">${band}</Item>`).join('')}`;
      return drawGeoTiff({ tags: { 42112: { type: 'ascii', values: `${xml}${'<Item <'.repeat(100_000)}` } } });
    },
  ],
];
