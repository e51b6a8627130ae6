/** One color of a JPEG, and what its blocks are decoded with. */
export interface Component {
  /** Blocks of 8 x 8 pixels in an MCU. */
  readonly across: number;
  readonly down: number;
  /** The step of each coefficient, in the scan's order. */
  readonly quantization: Uint16Array;
  readonly dc: HuffmanTable;
  readonly ac: HuffmanTable;
}

/** A baseline JPEG up to its scan. */
export interface Baseline {
  readonly width: number;
  readonly height: number;
  readonly components: readonly Component[];
  /** MCUs from one restart marker to the next, 0 without. */
  readonly interval: number;
  /** Where the scan's bits begin. */
  readonly scanAt: number;
}

export interface HuffmanTable {
  /** By the next nine bits: length << 8 | symbol, -1 for a longer code. */
  readonly fast: Int16Array;
  /** By length: the first code that is too large, and the distance from a code to the place of its symbol. */
  readonly bounds: Int32Array;
  readonly deltas: Int32Array;
  readonly symbols: Uint8Array;
}

/** The tables read so far, by the number that components call them by. */
interface Tables {
  readonly quantizations: Uint16Array[];
  readonly dc: HuffmanTable[];
  readonly ac: HuffmanTable[];
}

const marker = {
  fill: 0xff,
  frame: [0xc0, 0xc1],
  huffman: 0xc4,
  scan: 0xda,
  quantization: 0xdb,
  interval: 0xdd,
  adobe: 0xee,
};
/** Start and end markers, and frames that are coded otherwise: T.81 table B.1. */
const isForeign = (code: number) =>
  (code >= 0xc2 && code <= 0xcf && code !== marker.huffman) || (code >= 0xd0 && code <= 0xd9);

/** Photos that one program wrote have the same tables: these were read before, by their bytes. */
function remember<Table>(read: (bytes: Buffer) => Table): (bytes: Buffer) => Table {
  const known = new Map<string, Table>();
  return (bytes) => {
    const key = bytes.toString('latin1');
    const before = known.get(key);
    if (before) return before;
    const table = read(bytes);
    if (known.size >= mostKnown) known.clear();
    known.set(key, table);
    return table;
  };
}

/** A few programs' tables at 2 kB each, with what is made of them. */
const mostKnown = 32;

/** Undefined for a JPEG with more than one scan, of other than one or three components of 8 bits, in RGB, or whose tables make no sense. */
export function readBaseline(content: Buffer): Baseline | undefined {
  const tables: Tables = { quantizations: [], dc: [], ac: [] };
  let frame: Buffer | undefined;
  let interval = 0;
  for (let at = 2; content[at] === 0xff && at + 4 <= content.length; ) {
    const code = content[at + 1] as number;
    if (isForeign(code)) return undefined;
    const end = at + 2 + content.readUInt16BE(at + 2);
    const segment = content.subarray(at + 4, end);
    if (code === marker.scan) return frame && toBaseline(frame, segment, tables, interval, end);
    if (code === marker.huffman && !readHuffmanTables(segment, tables)) return undefined;
    if (code === marker.quantization) readQuantizations(segment, tables);
    if (code === marker.interval) interval = segment.length === 2 ? segment.readUInt16BE(0) : 0;
    if (code === marker.adobe && isRgb(segment)) return undefined;
    if (marker.frame.includes(code)) {
      if (frame) return undefined;
      frame = segment;
    }
    at = code === marker.fill ? at + 1 : end;
  }
  return undefined;
}

/** Adobe's marker says how colors were transformed: 1 is YCbCr. */
function isRgb(adobe: Buffer): boolean {
  return adobe.toString('latin1', 0, 5) === 'Adobe' && adobe[11] !== 1;
}

function readQuantizations(segment: Buffer, { quantizations }: Tables): void {
  for (let at = 0; at < segment.length; ) {
    const first = segment[at] as number;
    const step = first >> 4 ? 2 : 1;
    const values = segment.subarray(at + 1, at + 1 + 64 * step);
    if (values.length < 64 * step) return;
    quantizations[first & 15] = toSteps(values);
    at += 1 + values.length;
  }
}

/** 64 numbers of one byte or two. */
const toSteps = remember((values) => {
  const bytes = values.length / 64;
  return Uint16Array.from({ length: 64 }, (_, k) => values.readUIntBE(k * bytes, bytes));
});

/** Whether the tables make sense. */
function readHuffmanTables(segment: Buffer, { dc, ac }: Tables): boolean {
  for (let at = 0; at < segment.length; ) {
    const first = segment[at] as number;
    const counts = segment.subarray(at + 1, at + 17);
    const length = counts.reduce((sum, count) => sum + count, 0);
    const coded = segment.subarray(at + 1, at + 17 + length);
    const table = coded.length === 16 + length ? toHuffmanTable(coded) : undefined;
    if (!table) return false;
    (first >> 4 ? ac : dc)[first & 15] = table;
    at += 17 + length;
  }
  return true;
}

/** T.81 C.2: codes of one length follow one another, and the first of the next length is twice the one that would follow them. */
const toHuffmanTable = remember((coded): HuffmanTable | undefined => {
  const [counts, symbols] = [coded.subarray(0, 16), Uint8Array.from(coded.subarray(16))];
  const fast = new Int16Array(512).fill(-1);
  const bounds = new Int32Array(17);
  const deltas = new Int32Array(17);
  let code = 0;
  let place = 0;
  for (const [index, count] of counts.entries()) {
    const length = index + 1;
    if (code + count > 2 ** length || place + count > 256) return undefined;
    deltas[length] = place - code;
    for (const end = code + count; code < end; code++, place++) {
      const width = 9 - length;
      if (width >= 0) fast.fill((length << 8) | (symbols[place] as number), code << width, (code + 1) << width);
    }
    bounds[length] = code;
    code *= 2;
  }
  return { fast, bounds, deltas, symbols };
});

/** Frame and scan headers, T.81 B.2.2 and B.2.3. */
function toBaseline(
  frame: Buffer,
  scan: Buffer,
  tables: Tables,
  interval: number,
  scanAt: number,
): Baseline | undefined {
  const count = frame[5] ?? 0;
  const isWhole = frame.length >= 6 + 3 * count && scan.length >= 1 + 2 * count && scan[0] === count;
  if (!isWhole || frame[0] !== 8 || (count !== 1 && count !== 3)) return undefined;
  const names: number[] = [];
  const components: Component[] = [];
  for (let index = 0; index < count; index++) {
    const [name, sampling, quantizationName] = [...frame.subarray(6 + 3 * index)] as [number, number, number];
    const [nameInScan, huffmanNames] = [...scan.subarray(1 + 2 * index)] as [number, number];
    const quantization = tables.quantizations[quantizationName];
    const [dc, ac] = [tables.dc[huffmanNames >> 4], tables.ac[huffmanNames & 15]];
    if (name !== nameInScan || !quantization || !dc || !ac) return undefined;
    // A component that is alone in its scan has blocks for MCUs, T.81 A.2.2.
    const [across, down] = count === 1 ? [1, 1] : [sampling >> 4, sampling & 15];
    if (across < 1 || across > 4 || down < 1 || down > 4) return undefined;
    names.push(name);
    components.push({ across, down, quantization, dc, ac });
  }
  // Decoders take these for what they are called.
  if (String.fromCharCode(...names) === 'RGB') return undefined;
  const [height, width] = [frame.readUInt16BE(1), frame.readUInt16BE(3)];
  return width > 0 && height > 0 ? { width, height, components, interval, scanAt } : undefined;
}
