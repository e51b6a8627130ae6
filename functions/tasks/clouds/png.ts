import { deflateSync } from 'node:zlib';
import { palette } from './palette.ts';
import type { Patch } from './patch.ts';

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** A mask as a PNG whose pixels are the mask's own values, with a palette (PNG 3rd edition, color type 3). */
export function toPng(mask: Uint8Array, { width, height }: Pick<Patch, 'width' | 'height'>): Uint8Array {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits
  header.setUint8(9, 3); // by a palette
  const rows = new Uint8Array((width + 1) * height); // each after a byte that says: no filter
  for (let y = 0; y < height; y += 1) rows.set(mask.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const colors = Uint8Array.from(palette.flatMap((color) => color.slice(0, 3)));
  const opacities = Uint8Array.from(palette, ([, , , opacity]) => opacity);
  const parts = [
    signature,
    chunk('IHDR', new Uint8Array(header.buffer)),
    chunk('PLTE', colors),
    chunk('tRNS', opacities),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', new Uint8Array(0)),
  ];
  return new Uint8Array(Buffer.concat(parts));
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(data.length + 12);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), data.length + 8);
  return bytes;
}

const crcs = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

/** The checksum of PNG's annex D; Node.js has one from 20.15 on. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crcs[(crc ^ byte) & 255] as number) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
