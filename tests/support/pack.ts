export type ElementType = 'uint8' | 'uint16' | 'int16' | 'uint32' | 'float32' | 'float64' | 'complex64';

/** [SampleFormat, bytes] */
export const elements = {
  uint8: [1, 1],
  uint16: [1, 2],
  int16: [2, 2],
  uint32: [1, 4],
  float32: [3, 4],
  float64: [3, 8],
  complex64: [6, 8],
} as const;

interface RowCode {
  readonly type: ElementType;
  readonly predictor: number;
  readonly step: number;
  readonly isBigEndian: boolean;
}

/** A row of a block before it is compressed. */
export function encodeRow(numbers: readonly number[], { type, predictor, step, isBigEndian }: RowCode): Buffer {
  const [, bytes] = elements[type];
  if (predictor === 3) return differ(splitFloats(numbers), step);
  const row = Buffer.alloc(numbers.length * bytes);
  for (const [index, number] of numbers.entries()) {
    const before = predictor === 2 && index >= step ? (numbers[index - step] as number) : 0;
    const at = index * bytes;
    if (type === 'float64') row.writeDoubleBE(number, at);
    else if (type === 'float32' || type === 'complex64') row.writeFloatBE(number, at);
    else row.writeUIntBE((number - before) & (2 ** (8 * bytes) - 1), at, bytes);
  }
  if (isBigEndian) return row;
  return bytes === 2 ? row.swap16() : bytes === 4 ? row.swap32() : bytes === 8 ? row.swap64() : row;
}

/** The highest bytes of all floats, then the next lower ones. */
function splitFloats(numbers: readonly number[]): Buffer {
  const whole = Buffer.alloc(4 * numbers.length);
  for (const [index, number] of numbers.entries()) whole.writeFloatBE(number, 4 * index);
  const split = Buffer.alloc(whole.length);
  for (let i = 0; i < whole.length; i += 1) split[(i % 4) * numbers.length + (i >> 2)] = whole[i] as number;
  return split;
}

function differ(row: Buffer, step: number): Buffer {
  return Buffer.from(row.map((byte, index) => byte - (index >= step ? (row[index - step] as number) : 0)));
}

/** PackBits: runs of three equal bytes and more by a count below 0, all else as it is. */
export function packBits(bytes: Uint8Array): Uint8Array {
  const packed: number[] = [];
  const runAt = (at: number) => {
    let to = at + 1;
    while (to < bytes.length && to - at < 128 && bytes[to] === bytes[at]) to += 1;
    return to - at;
  };
  for (let at = 0; at < bytes.length; ) {
    const run = runAt(at);
    if (run >= 3) {
      packed.push(257 - run, bytes[at] as number);
      at += run;
      continue;
    }
    const from = at;
    while (at < bytes.length && at - from < 128 && runAt(at) < 3) at += 1;
    packed.push(at - from - 1, ...bytes.subarray(from, at));
  }
  return Uint8Array.from(packed);
}

/** LZW as TIFF 6.0 describes it: highest bit first, a code's width grows one code early, a clear code before the table is full. */
export function packLzw(bytes: Uint8Array): Uint8Array {
  const packed: number[] = [];
  let [held, bits, width] = [0, 0, 9];
  let table = new Map<number, number>(); // of a code and the byte after it
  const write = (code: number) => {
    held = (held << width) | code;
    bits += width;
    for (; bits >= 8; bits -= 8) packed.push((held >> (bits - 8)) & 255);
    held &= (1 << bits) - 1;
  };
  /** A new entry; the reader makes it one code later. */
  const add = (key: number) => {
    table.set(key, 258 + table.size);
    const next = 258 + table.size;
    if (next === 1 << width && width < 12) width += 1;
    if (next < 4095) return;
    write(256);
    table = new Map();
    width = 9;
  };
  write(256);
  let code = -1;
  for (const byte of bytes) {
    const longer = code === -1 ? byte : table.get(code * 256 + byte);
    if (longer === undefined) {
      write(code);
      add(code * 256 + byte);
    }
    code = longer ?? byte;
  }
  if (code !== -1) {
    write(code);
    add(-1);
  }
  write(257);
  if (bits > 0) packed.push((held << (8 - bits)) & 255);
  return Uint8Array.from(packed);
}

/** A Zstandard frame of `length` equal bytes (RFC 8878): a block of four bytes for each 128 KiB of them. */
export function packZstd(byte: number, length: number): Uint8Array {
  const packed = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]; // no size is told; a window of 128 KiB
  for (let left = length; left > 0; left -= 131_072) {
    const header = (Math.min(left, 131_072) << 3) | (1 << 1) | (left <= 131_072 ? 1 : 0);
    packed.push(header & 255, (header >> 8) & 255, header >> 16, byte);
  }
  return Uint8Array.from(packed);
}
