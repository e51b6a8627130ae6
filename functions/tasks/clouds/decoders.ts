import { inflateSync } from 'node:zlib';
import { ZSTDDecoder } from 'zstddec';
import { bytesPerNumber, type Compression, type Layout, rowLength } from './layout.ts';

/** The bytes of a block, at most `limit` of them. @throws whatever the decoder says of a block that is broken or longer */
type Inflate = (bytes: Uint8Array, limit: number) => Uint8Array | Promise<Uint8Array>;

const inflaters: Readonly<Record<Compression, Inflate>> = {
  none: (bytes, limit) => bytes.subarray(0, limit),
  deflate: (bytes, limit) => inflateSync(bytes, { maxOutputLength: limit, chunkSize: Math.max(64, limit) }),
  lzw: unpackLzw,
  packbits: unpackBits,
  zstd: unpackZstd,
};

/**
 * One block of a TIFF as numbers of this machine's byte order, predictor undone. Never takes more memory than a whole block.
 * @returns a buffer of its own; the last strip of an image may be shorter than the others
 * @throws whatever the decoder says of a block that is broken or inflates to more than the header says
 */
export async function decodeBlock(bytes: Uint8Array, layout: Layout): Promise<ArrayBuffer> {
  const limit = rowLength(layout) * layout.blockHeight * bytesPerNumber(layout);
  const inflated = await inflaters[layout.compression](bytes, limit);
  // Whole numbers at the start of a buffer, as typed arrays want them.
  const block = new Uint8Array(inflated.length - (inflated.length % bytesPerNumber(layout)));
  block.set(inflated.subarray(0, block.length));
  if (layout.predictor === 3) {
    joinFloats(block, layout); // the bytes of such floats have no order of their own
  } else {
    if (!layout.isLittleEndian) swap(block, bytesPerNumber(layout));
    if (layout.predictor === 2) addUp(block, layout);
  }
  return block.buffer;
}

function swap(block: Uint8Array, bytes: number): void {
  const buffer = Buffer.from(block.buffer);
  if (bytes === 2) buffer.swap16();
  else buffer.swap32();
}

/** Each number is the difference to the one before it of the same band. */
function addUp(block: Uint8Array, layout: Layout): void {
  const numbers = bytesPerNumber(layout) === 2 ? new Uint16Array(block.buffer) : new Uint32Array(block.buffer);
  const length = rowLength(layout);
  const step = layout.isPlanar ? 1 : layout.bandCount;
  for (let row = 0; row + length <= numbers.length; row += length) {
    for (let i = row + step; i < row + length; i += 1) {
      numbers[i] = (numbers[i] as number) + (numbers[i - step] as number);
    }
  }
}

/** A row holds the highest bytes of all its floats, then the next lower ones, as differences to the byte before of the same band. */
function joinFloats(block: Uint8Array, layout: Layout): void {
  const length = rowLength(layout);
  const step = layout.isPlanar ? 1 : layout.bandCount;
  const row = new Uint8Array(4 * length);
  for (let from = 0; from + row.length <= block.length; from += row.length) {
    row.set(block.subarray(from, from + row.length));
    for (let i = step; i < row.length; i += 1) row[i] = (row[i] as number) + (row[i - step] as number);
    for (let i = 0; i < length; i += 1) {
      for (let byte = 0; byte < 4; byte += 1) block[from + 4 * i + byte] = row[(3 - byte) * length + i] as number;
    }
  }
}

const clear = 256;
const end = 257;

/** LZW as TIFF 6.0 has it: codes of 9 to 12 bits, the highest first, one bit more as soon as the next code but one needs it. */
function unpackLzw(bytes: Uint8Array, limit: number): Uint8Array {
  const out = new Uint8Array(limit);
  const [prefix, lengths] = [new Uint16Array(4096), new Uint16Array(4096)];
  const [suffix, first] = [new Uint8Array(4096), new Uint8Array(4096)];
  for (let code = 0; code < clear; code += 1) {
    suffix[code] = code;
    first[code] = code;
    lengths[code] = 1;
  }
  let [position, next, width, old] = [0, 258, 9, -1];
  let [held, heldBits] = [0, 0];
  for (let at = 0; position < limit; ) {
    while (heldBits < width && at < bytes.length) {
      held = ((held << 8) | (bytes[at] as number)) & 0xfffff; // 11 bits are left at most, and 8 come
      at += 1;
      heldBits += 8;
    }
    if (heldBits < width) break;
    heldBits -= width;
    const code = (held >> heldBits) & ((1 << width) - 1);
    if (code === end) break;
    if (code === clear) {
      [next, width, old] = [258, 9, -1];
      continue;
    }
    const isNew = code === next && old !== -1;
    if (!isNew && (code >= next || (old === -1 && code > clear))) throw new Error('a code before its string');
    if (old !== -1 && next < 4096) {
      prefix[next] = old;
      suffix[next] = first[isNew ? old : code] as number;
      first[next] = first[old] as number;
      lengths[next] = (lengths[old] as number) + 1;
      next += 1;
      if (next === (1 << width) - 1 && width < 12) width += 1;
    }
    const length = lengths[code] as number;
    if (position + length > limit) throw new Error('more than a block');
    for (let to = position + length - 1, from = code; to >= position; to -= 1, from = prefix[from] as number) {
      out[to] = suffix[from] as number;
    }
    position += length;
    old = code;
  }
  return out.subarray(0, position);
}

/** Runs: a count of 0 to 127 before that many bytes and one more, or of -1 to -127 before a byte that is repeated. */
function unpackBits(bytes: Uint8Array, limit: number): Uint8Array {
  const out = new Uint8Array(limit);
  let position = 0;
  for (let at = 0; at < bytes.length && position < limit; ) {
    const count = ((bytes[at] as number) << 24) >> 24;
    at += 1;
    const length = 1 + Math.abs(count);
    if (count === -128) continue;
    if (position + length > limit) throw new Error('more than a block');
    if (at + (count >= 0 ? length : 1) > bytes.length) throw new Error('a run that is cut short');
    if (count >= 0) {
      out.set(bytes.subarray(at, at + length), position);
      at += length;
    } else {
      out.fill(bytes[at] as number, position, position + length);
      at += 1;
    }
    position += length;
  }
  return out.subarray(0, position);
}

let zstd: Promise<ZSTDDecoder> | undefined;

/** Into room for `limit` bytes: more than that, as anything else that is wrong, gives none. */
async function unpackZstd(bytes: Uint8Array, limit: number): Promise<Uint8Array> {
  zstd ??= (async () => {
    const decoder = new ZSTDDecoder();
    await decoder.init();
    return decoder;
  })();
  return (await zstd).decode(bytes, limit);
}
