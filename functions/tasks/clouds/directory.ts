import { unreadable, unsupported } from './refusal.ts';

/** More than any program writes, and few enough to be looked at in a millisecond. */
const maxEntries = 512;

/**
 * Of all tags of an image: what GDAL writes for Sentinel-2 takes some kilobytes, the places of 32,768 strips take 512 KiB. Each byte
 * costs the library 50 ns.
 */
const maxTagBytes = 1_048_576;

/** Bytes of one value of each type, by its number. */
const typeBytes = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8];

/**
 * Checks the directory of a TIFF's first image before a library makes arrays of it: that it lies inside the file, and all values of its
 * tags with it.
 * @throws Problem IMAGE_UNSUPPORTED for what is no TIFF | IMAGE_UNREADABLE
 */
export function checkDirectory(file: ArrayBuffer): { readonly isLittleEndian: boolean } {
  const view = new DataView(file);
  if (file.byteLength < 8) throw unsupported('a GeoTIFF', 'other content');
  const order = view.getUint16(0);
  const isLittleEndian = order === 0x4949;
  const version = view.getUint16(2, isLittleEndian);
  if ((!isLittleEndian && order !== 0x4d4d) || (version !== 42 && version !== 43)) {
    throw unsupported('a GeoTIFF', 'other content');
  }
  const isBig = version === 43;
  const word = (at: number) => view.getUint32(at, isLittleEndian);
  const long = (at: number) => Number(view.getBigUint64(at, isLittleEndian));
  const size = isBig ? { first: 8, count: 8, entry: 20, inline: 8 } : { first: 4, count: 2, entry: 12, inline: 4 };
  const readOffset = isBig ? long : word;
  const expectInside = (from: number, bytes: number) => {
    if (from + bytes > file.byteLength) throw unreadable('tags that lie outside of it');
  };

  expectInside(size.first, size.inline);
  const directory = readOffset(size.first);
  expectInside(directory, size.count);
  const entries = isBig ? long(directory) : view.getUint16(directory, isLittleEndian);
  if (entries > maxEntries) throw unreadable();
  // The last field is the place of the next image.
  expectInside(directory, size.count + entries * size.entry + size.inline);
  let tagBytes = 0;
  for (let index = 0; index < entries; index += 1) {
    const at = directory + size.count + index * size.entry;
    const bytes = (typeBytes[view.getUint16(at + 2, isLittleEndian)] ?? 0) * readOffset(at + 4);
    // The library skips an unknown type only where it has no values.
    if (bytes === 0) throw unreadable();
    tagBytes += bytes;
    if (bytes > size.inline) expectInside(readOffset(at + size.entry - size.inline), bytes);
  }
  if (tagBytes > maxTagBytes) throw unreadable(`tags of more than ${maxTagBytes} bytes`);
  return { isLittleEndian };
}
