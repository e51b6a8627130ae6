import { readFileSync } from 'node:fs';
import type { Random } from '../../models/random.ts';
import { type Drawing, drawGeoTiff } from './geotiff.ts';
import { mutateBytes } from './mutate.ts';

/** Sound files of every layout, 64x64 to 80x72, so that thousands of them are read in a minute. */
export function makeSourceFiles(): readonly Buffer[] {
  const drawings: Drawing[] = [
    {},
    { compression: 'none', rowsPerStrip: 8 },
    { compression: 'lzw', predictor: 2, tile: [32, 32] },
    { compression: 'packbits', isPlanar: true, rowsPerStrip: 16 },
    { compression: 'adobe', type: 'float32', predictor: 3, value: (band, pixel) => band / 10 + pixel / 50_000 },
    { compression: 'deflate', isBigEndian: true, isBigTiff: true, bands: ['B02', 'B03', 'B04', 'B08', 'B11', 'B12'] },
    { compression: 'lzw', type: 'int16', noData: '-9999', isBigEndian: true, isPlanar: true, tile: [16, 64] },
  ];
  const fixtures = ['zstd', 'zstd-tiled', 'cloud-optimized'].map((name) => {
    return readFileSync(`tests/tasks/clouds/${name}.tif`);
  });
  return [...drawings.map(drawGeoTiff), ...fixtures];
}

const queries = [
  '',
  '',
  '',
  '?format=rle',
  '?dilate=32',
  '?level=L2A',
  '?level=L1C',
  '?bands=B02,B03,B04,B08',
  '?offset=1000',
];
const accepts = ['*/*', 'application/json', 'image/png', 'image/tiff', 'image/*;q=0', '\u00ff'];

export interface MutatedPatch {
  readonly query: string;
  readonly accept: string;
  readonly body: Buffer;
  /** What was done, in order, for the message of a failure. */
  readonly steps: readonly string[];
}

/** One upload of the endless list that a seed stands for. */
export function mutatePatch(files: readonly Buffer[], random: Random): MutatedPatch {
  const steps: string[] = [];
  let body: Buffer = Buffer.from(random.pick(files));
  if (random.chance(0.7)) for (let left = 1 + random.below(4); left > 0; left -= 1) changeEntry(body, random, steps);
  if (random.chance(0.4)) body = mutateBytes(body, files, random, steps);
  return { query: random.pick(queries), accept: random.pick(accepts), body, steps };
}

/** Numbers that mean something to a reader: limits, signs, sizes, types. */
const telling = [
  0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 32, 63, 64, 255, 256, 1024, 1025, 32_773, 50_000, 65_535, 65_536, 0x7fff_ffff,
  0x8000_0000, 0xffff_ffff,
];

/** Changes tag, type, count or value of one entry of the first directory, or how many there are. */
function changeEntry(file: Buffer, random: Random, steps: string[]): void {
  const isLittle = file[0] === 0x49;
  const isBig = file[isLittle ? 2 : 3] === 43;
  const read = (at: number, bytes: number) => {
    if (at < 0 || at + bytes > file.length) return 0;
    return isLittle ? file.readUIntLE(at, bytes) : file.readUIntBE(at, bytes);
  };
  const offset = isBig ? (isLittle ? read(8, 6) : read(10, 6)) : read(4, 4);
  const entries = isBig ? (isLittle ? read(offset, 6) : read(offset + 2, 6)) : read(offset, 2);
  const [head, size] = isBig ? [8, 20] : [2, 12];
  const entry = offset + head + size * random.below(Math.max(1, Math.min(entries, 64)));
  const [what, at, bytes] = random.pick([
    ['tag', entry, 2],
    ['type', entry + 2, 2],
    ['count', entry + 4, isBig ? 6 : 4],
    ['value', entry + (isBig ? 12 : 8), random.pick([2, 4])],
    ['value', entry + (isBig ? 12 : 8), random.pick([2, 4])],
    ['entries', offset, 2],
  ] as const);
  const former = read(at, bytes);
  const value = random.chance(0.6) ? random.pick(telling) : Math.max(0, former + random.below(9) - 4);
  const fit = value % 2 ** (8 * bytes);
  steps.push(`${what} of tag ${read(entry, 2)} at ${at} from ${former} to ${fit}`);
  if (at < 0 || at + bytes > file.length) return;
  if (isLittle) file.writeUIntLE(fit, at, bytes);
  else file.writeUIntBE(fit, at, bytes);
}
