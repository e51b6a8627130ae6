/**
 * Whether a GIF or WebP file holds more than `limit` frames, told from its blocks without decoding any. libvips reads them
 * all for the size of the first: 20,000 in 1 MB take it 2 s.
 */
export function hasMoreFrames(content: Buffer, format: 'gif' | 'webp', limit: number): boolean {
  let frames = 0;
  for (const isFrame of format === 'gif' ? gifFrames(content) : webpChunks(content)) {
    if (isFrame) frames += 1;
    if (frames > limit) return true;
  }
  return false;
}

function* gifFrames(content: Buffer): Generator<boolean> {
  for (const at of gifPlaces(content)) yield content[at] === 0x2c;
}

/** RIFF: four characters, length, content padded to an even length; a frame is an ANMF chunk. */
function* webpChunks(content: Buffer): Generator<boolean> {
  for (let at = 12; at + 8 <= content.length; ) {
    yield content.toString('latin1', at, at + 4) === 'ANMF';
    const length = content.readUInt32LE(at + 4);
    at += 8 + length + (length % 2);
  }
}

/** Where blocks of a GIF89a begin: extensions (0x21) and images (0x2c), each followed by sub-blocks that a length of 0 ends. */
function* gifPlaces(content: Buffer): Generator<number> {
  const colorTable = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let at = 13 + colorTable(content[10] ?? 0);
  while (at < content.length) {
    const isImage = content[at] === 0x2c;
    if (!isImage && content[at] !== 0x21) return;
    yield at;
    at += isImage ? 11 + colorTable(content[at + 9] ?? 0) : 2;
    while (content[at]) at += 1 + (content[at] as number);
    at += 1;
  }
}

/** The first picture of a GIF. */
export interface GifFrame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Where it is said that one of the colors is transparent, if so. */
  readonly transparencyAt?: number;
  /** Red, green and blue of what lies around it: the color that is transparent, or the first one. */
  readonly ground: readonly [number, number, number];
}

export function firstFrameOf(gif: Buffer): GifFrame | undefined {
  let transparencyAt: number | undefined;
  for (const at of gifPlaces(gif)) {
    if (gif[at] === 0x21) {
      // A graphic control extension: flags, of which the first bit is meant, a time of 16 bits, the transparent color.
      if (gif[at + 1] === 0xf9 && gif[at + 2] === 4) transparencyAt = (gif[at + 3] as number) & 1 ? at + 3 : undefined;
      continue;
    }
    if (at + 10 > gif.length) return undefined;
    const [left, top, width, height] = [1, 3, 5, 7].map((offset) => gif.readUInt16LE(at + offset)) as [
      number,
      number,
      number,
      number,
    ];
    const colorsAt = (gif[at + 9] as number) & 0x80 ? at + 10 : 13;
    const index = transparencyAt === undefined ? 0 : (gif[transparencyAt + 3] as number);
    const [red = 0, green = 0, blue = 0] = gif.subarray(colorsAt + 3 * index);
    const frame = { left, top, width, height, ground: [red, green, blue] as const };
    return transparencyAt === undefined ? frame : { ...frame, transparencyAt };
  }
  return undefined;
}
