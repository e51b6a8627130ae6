import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** Bytes in MNIST's format: sizes of each dimension, the first being the number of items, and the values. */
export interface Idx {
  readonly dims: readonly number[];
  readonly values: Uint8Array;
}

/** Reads a file, compressed or not. @throws Error for a file that is no IDX of bytes, or of another length than it says */
export function readIdx(path: string): Idx {
  const raw = readFileSync(path);
  const bytes = raw[0] === 0x1f && raw[1] === 0x8b ? gunzipSync(raw) : raw;
  const rank = bytes.readUInt32BE(0) - 0x800; // two zeros, the type of a byte, the number of dimensions
  if (!(rank >= 1 && rank <= 4)) throw new Error(`Expected an IDX file of bytes for ${path} but received another`);
  const dims = Array.from({ length: rank }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  const values = bytes.subarray(4 + 4 * rank);
  const length = dims.reduce((product, dim) => product * dim, 1);
  if (values.length !== length) {
    throw new Error(`Expected ${length} values for ${path} but received ${values.length}`);
  }
  return { dims, values };
}

export function writeIdx(path: string, { dims, values }: Idx): void {
  const header = Buffer.alloc(4 + 4 * dims.length);
  header.writeUInt32BE(0x800 + dims.length);
  for (const [i, dim] of dims.entries()) header.writeUInt32BE(dim, 4 + 4 * i);
  writeFileSync(path, Buffer.concat([header, values]));
}

export interface Digits {
  /** 28x28 bytes each, light on black. */
  readonly images: readonly Uint8Array[];
  /** 0 to 9. */
  readonly labels: Uint8Array;
}

/** A part of MNIST, by the names that its files have everywhere, compressed or not. @throws Error for files that are missing or others */
export function readMnist(folder: string, part: 'train' | 't10k'): Digits {
  const read = (name: string) => {
    const paths = [`${name}-ubyte.gz`, `${name}-ubyte`, name.replace(/-(idx\d)$/, '.$1-ubyte')].map((file) =>
      join(folder, file),
    );
    const found = paths.find((path) => existsSync(path));
    if (found === undefined) throw new Error(`Expected MNIST's file ${paths[0]} but received none`);
    return readIdx(found);
  };
  const { dims, values } = read(`${part}-images-idx3`);
  const labels = read(`${part}-labels-idx1`).values;
  const [count = 0, height = 0, width = 0] = dims;
  if (height !== 28 || width !== 28 || count !== labels.length) {
    throw new Error(
      `Expected ${labels.length} images of 28x28 in ${folder} but received ${count} of ${width}x${height}`,
    );
  }
  return { images: Array.from({ length: count }, (_, i) => values.subarray(784 * i, 784 * (i + 1))), labels };
}
