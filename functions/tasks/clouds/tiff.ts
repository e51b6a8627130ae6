import { deflateSync } from 'node:zlib';
import { palette } from './palette.ts';
import type { Georeference, Patch } from './patch.ts';

interface Entry {
  readonly tag: number;
  readonly type: 'ascii' | 'short' | 'long' | 'double';
  readonly values: string | readonly number[];
}

/** Number of each type in a file, and bytes of one value. */
const types = { ascii: [2, 1], short: [3, 2], long: [4, 4], double: [12, 8] } as const;

const [shortGeoTag, textGeoTag] = [34735, 34737];

/** A mask as a GeoTIFF that lies where `georeference` says: bytes with a palette, deflate, 255 as "no data". */
export function toTiff(
  mask: Uint8Array,
  { width, height }: Pick<Patch, 'width' | 'height'>,
  georeference: Georeference,
): Uint8Array {
  const strip = deflateSync(mask);
  const colors = [0, 1, 2].flatMap((channel) => palette.map((color) => (color[channel] as number) * 257));
  const image: Entry[] = [
    { tag: 256, type: 'long', values: [width] },
    { tag: 257, type: 'long', values: [height] },
    { tag: 258, type: 'short', values: [8] }, // bits
    { tag: 259, type: 'short', values: [8] }, // deflate
    { tag: 262, type: 'short', values: [3] }, // by a palette
    { tag: 273, type: 'long', values: [8] }, // the strip's place, after the header
    { tag: 277, type: 'short', values: [1] }, // bands
    { tag: 278, type: 'long', values: [height] }, // rows of the strip
    { tag: 279, type: 'long', values: [strip.length] },
    { tag: 320, type: 'short', values: colors },
    { tag: 42113, type: 'ascii', values: '255' }, // GDAL's "no data"
  ];
  const place = georeference.map(({ tag, values }): Entry => {
    return { tag, values, type: tag === textGeoTag ? 'ascii' : tag === shortGeoTag ? 'short' : 'double' };
  });
  return assemble(strip, [...image, ...place]);
}

/** Header, strip, directory, and what does not fit into the directory's entries. Little-endian. */
function assemble(strip: Uint8Array, entries: readonly Entry[]): Uint8Array {
  const sorted = entries.toSorted((one, other) => one.tag - other.tag);
  const directory = 8 + strip.length + (strip.length % 2);
  const header = Buffer.alloc(directory);
  header.write('II*\0', 'latin1');
  header.writeUInt32LE(directory, 4);
  header.set(strip, 8);
  const fields = Buffer.alloc(2 + 12 * sorted.length + 4);
  fields.writeUInt16LE(sorted.length, 0);
  const long: Buffer[] = [];
  let next = directory + fields.length;
  for (const [index, { tag, type, values }] of sorted.entries()) {
    const bytes = toBytes(type, values);
    const at = 2 + 12 * index;
    fields.writeUInt16LE(tag, at);
    fields.writeUInt16LE(types[type][0], at + 2);
    fields.writeUInt32LE(bytes.length / types[type][1], at + 4);
    if (bytes.length <= 4) {
      fields.set(bytes, at + 8);
      continue;
    }
    fields.writeUInt32LE(next, at + 8);
    const padded = Buffer.concat([bytes, Buffer.alloc(bytes.length % 2)]);
    long.push(padded);
    next += padded.length;
  }
  return new Uint8Array(Buffer.concat([header, fields, ...long]));
}

function toBytes(type: Entry['type'], values: Entry['values']): Buffer {
  if (typeof values === 'string') return Buffer.from(`${values}\0`);
  const bytes = Buffer.alloc(values.length * types[type][1]);
  for (const [index, value] of values.entries()) {
    if (type === 'double') bytes.writeDoubleLE(value, 8 * index);
    else if (type === 'long') bytes.writeUInt32LE(value, 4 * index);
    else bytes.writeUInt16LE(value, 2 * index);
  }
  return bytes;
}
