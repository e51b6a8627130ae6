import { type Baseline, type Component, type HuffmanTable, readBaseline } from './baseline.ts';
import { scan } from './scan.ts';

/** Which of the shrunk image's pixels are wanted. */
export interface Window {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** By what both sides can be divided. */
export const reductions = [8, 4, 2] as const;

/** `scan.wat`, with a memory of its own. */
interface Decoder {
  readonly memory: WebAssembly.Memory;
  scan(...values: readonly number[]): number;
}

const decoder = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(scan, 'base64')))
  .exports as unknown as Decoder;

const pageBytes = 65_536;
const huffmanBytes = 1024 + 4 * 17 + 4 * 17 + 256;
const componentBytes = 40;
/** 64 numbers, and the same as bytes. */
const blockBytes = 256 + 64;

/** Where coefficient k of a scan lies in its block of 8 x 8: T.81 figure A.6. */
const zigzag = traceZigzag();

function traceZigzag(): readonly number[] {
  const diagonal = (place: number) => (place >> 3) + (place & 7);
  // Every other diagonal is walked upwards.
  const order = (place: number) => diagonal(place) * 8 + (diagonal(place) % 2 ? place >> 3 : place & 7);
  return Array.from({ length: 64 }, (_, place) => place).sort((one, other) => order(one) - order(other));
}

/**
 * RGB pixels of a baseline JPEG in a window of it, a half, a quarter or an eighth as large on either side: each is the mean of those that
 * it stands for. Undefined for what `readBaseline` does not read, and for a scan with faults. The memory for the largest so far is kept.
 */
export function shrinkJpeg(
  content: Buffer,
  reduction: (typeof reductions)[number],
  window: Window,
): Uint8Array | undefined {
  const baseline = readBaseline(content);
  if (!baseline || !holds(baseline, reduction, window)) return undefined;
  const { components, interval, scanAt } = baseline;
  const [across, down] = [widest(components, 'across'), widest(components, 'down')];
  const [mcuWidth, mcuHeight] = [(across * 8) / reduction, (down * 8) / reduction];
  const fromAcross = Math.floor(window.left / mcuWidth);
  const endAcross = Math.ceil((window.left + window.width) / mcuWidth);
  const fromDown = Math.floor(window.top / mcuHeight);
  const endDown = Math.ceil((window.top + window.height) / mcuHeight);
  const stride = (endAcross - fromAcross) * mcuWidth;

  const memory = layOut();
  const block = memory.reserve(blockBytes);
  const placed: Placed[] = [];
  for (const component of components) {
    const cells = [mcuWidth / component.across, mcuHeight / component.down] as const;
    if (!cells.every((count) => count in means)) return undefined;
    placed.push({
      component,
      cells,
      shares: memory.place(sharesFor(cells, component.quantization)),
      dc: memory.place(packed(component.dc)),
      ac: memory.place(packed(component.ac)),
      plane: memory.reserve(stride * (endDown - fromDown) * mcuHeight),
    });
  }
  const componentsAt = memory.place(Int32Array.from(placed.flatMap(describe)));
  // An end marker behind the last byte keeps the decoder from reading on.
  const at = memory.place(Buffer.concat([content.subarray(scanAt), Buffer.of(0xff, 0xd9)]));
  const bytes = memory.write();
  const range = [Math.ceil(baseline.width / (8 * across)), fromAcross, endAcross, fromDown, endDown];
  const componentsEnd = componentsAt + placed.length * componentBytes;
  if (!decoder.scan(at, componentsAt, componentsEnd, ...range, stride, interval, block)) return undefined;
  const first = (window.top - fromDown * mcuHeight) * stride + window.left - fromAcross * mcuWidth;
  const planes = placed.map(({ plane }) => bytes.subarray(plane + first));
  return toRgb(planes as [Uint8Array], stride, window);
}

function holds({ width, height }: Baseline, reduction: number, window: Window): boolean {
  return (
    window.left + window.width <= Math.ceil(width / reduction) &&
    window.top + window.height <= Math.ceil(height / reduction)
  );
}

function widest(components: readonly Component[], side: 'across' | 'down'): number {
  return Math.max(...components.map((component) => component[side]));
}

/** Arrays side by side in the decoder's memory, which is written when all are known. */
function layOut() {
  const arrays: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  let end = 0;
  const reserve = (length: number) => {
    const at = end;
    end += Math.ceil(length / 16) * 16;
    return at;
  };
  const place = ({ buffer, byteOffset, byteLength }: Uint8Array | Int32Array | Float32Array) => {
    const at = reserve(byteLength);
    arrays.push({ at, bytes: new Uint8Array(buffer, byteOffset, byteLength) });
    return at;
  };
  const write = () => {
    const missingBytes = end - decoder.memory.buffer.byteLength;
    if (missingBytes > 0) decoder.memory.grow(Math.ceil(missingBytes / pageBytes));
    const memory = new Uint8Array(decoder.memory.buffer);
    for (const { at, bytes } of arrays) memory.set(bytes, at);
    return memory;
  };
  return { reserve, place, write };
}

/** A component, and where things of it lie. */
interface Placed {
  readonly component: Component;
  /** Across and down. */
  readonly cells: readonly [number, number];
  readonly shares: number;
  readonly dc: number;
  readonly ac: number;
  readonly plane: number;
}

/** A component as `scan.wat` has it. */
function describe({ component, cells, shares, dc, ac, plane }: Placed): readonly number[] {
  const vectors = Math.ceil((cells[0] * cells[1]) / 4);
  return [dc, ac, shares, vectors, 0, component.across, component.down, ...cells, plane];
}

const packedTables = new WeakMap<HuffmanTable, Uint8Array>();

/** A Huffman table as `scan.wat` has it. */
function packed(table: HuffmanTable): Uint8Array {
  const known = packedTables.get(table);
  if (known) return known;
  const bytes = new Uint8Array(huffmanBytes);
  let at = 0;
  for (const part of [table.fast, table.bounds, table.deltas, table.symbols]) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  packedTables.set(table, bytes);
  return bytes;
}

/** For 1, 2, 4 and 8 cells in a row of eight pixels: each cell's mean of each of the eight cosines, T.81 A.3.3. */
const means: Readonly<Record<number, readonly (readonly number[])[]>> = Object.fromEntries(
  [1, 2, 4, 8].map((cells) => [cells, Array.from({ length: cells }, (_, cell) => meansOf(cell, 8 / cells))]),
);

function meansOf(cell: number, pixels: number): readonly number[] {
  return Array.from({ length: 8 }, (_, u) => {
    let sum = 0;
    for (let x = cell * pixels; x < (cell + 1) * pixels; x++) sum += Math.cos(((2 * x + 1) * u * Math.PI) / 16);
    return ((u === 0 ? Math.SQRT1_2 : 1) * sum) / pixels / 2;
  });
}

const knownShares = new WeakMap<Uint16Array, Map<string, Float32Array>>();

/** `sharesOf`, once for each table and size. */
function sharesFor(cells: readonly [number, number], quantization: Uint16Array): Float32Array {
  const bySize = knownShares.get(quantization) ?? new Map<string, Float32Array>();
  const size = cells.join();
  const known = bySize.get(size);
  if (known) return known;
  const shares = sharesOf(cells, quantization);
  knownShares.set(quantization, bySize.set(size, shares));
  return shares;
}

/** What one step of each coefficient adds to each cell of a block, in whole vectors. */
function sharesOf([across, down]: readonly [number, number], quantization: Uint16Array): Float32Array {
  const size = Math.ceil((across * down) / 4) * 4;
  const shares = new Float32Array(64 * size);
  const rows = means[down] as readonly (readonly number[])[];
  const columns = means[across] as readonly (readonly number[])[];
  for (const [k, place] of zigzag.entries()) {
    const step = quantization[k] as number;
    for (const [y, row] of rows.entries()) {
      const share = step * (row[place >> 3] as number);
      for (const [x, column] of columns.entries()) {
        shares[k * size + y * across + x] = share * (column[place & 7] as number);
      }
    }
  }
  return shares;
}

/** From luma alone, or with both chromas: JFIF's equations. */
function toRgb(
  [luma, blues, reds]: readonly [Uint8Array, ...Uint8Array[]],
  stride: number,
  window: Window,
): Uint8Array {
  const { width, height } = window;
  const bytes = new Uint8Array(width * height * 3);
  const rgb = new Uint8ClampedArray(bytes.buffer); // rounds, too
  for (let y = 0, to = 0; y < height; y++) {
    for (let from = y * stride, end = from + width; from < end; from++, to += 3) {
      const light = luma[from] as number;
      const blue = blues ? (blues[from] as number) - 128 : 0;
      const red = reds ? (reds[from] as number) - 128 : 0;
      rgb[to] = light + 1.402 * red;
      rgb[to + 1] = light - 0.344136 * blue - 0.714136 * red;
      rgb[to + 2] = light + 1.772 * blue;
    }
  }
  return bytes; // made before the loop: V8 compiles that while it runs, and throws it away at a line that never ran
}
