/** A box of ISO 14496-12: four characters say what it is. */
interface Box {
  readonly type: string;
  readonly body: Buffer;
}

/** More brands and boxes than any picture has. */
const maxBrands = 64;
const maxBoxes = 1000;

/** Whether the file type box names AVIF, as its major brand or among the compatible ones: a sequence is `avis`, others say `mif1` first. */
export function isAvif(content: Buffer): boolean {
  if (content.toString('latin1', 4, 8) !== 'ftyp') return false;
  const brands = [8, ...compatibleBrands(content)].map((at) => content.toString('latin1', at, at + 4));
  return brands.includes('avif') || brands.includes('avis');
}

/** As a still picture: libvips goes by the major brand alone, and libheif looks for a film's tracks where all that it knows is `avis`. */
export function asAvif(content: Buffer): Buffer {
  if (content.toString('latin1', 8, 12) === 'avif') return content;
  const renamed = Buffer.from(content);
  renamed.write('avif', 8, 'latin1');
  for (const at of compatibleBrands(content)) {
    if (content.toString('latin1', at, at + 4) === 'avis') renamed.write('mif1', at, 'latin1');
  }
  return renamed;
}

/** Where the compatible brands of a file type box lie. */
function compatibleBrands(content: Buffer): readonly number[] {
  const end = Math.min(content.readUInt32BE(0), content.length, 16 + 4 * maxBrands);
  return Array.from({ length: Math.max(0, (end - 16) >> 2) }, (_, i) => 16 + 4 * i);
}

/** Whether the picture is gray and black is 16, white 235: libheif expands such levels of colors, but not of gray. */
export function isGrayOfLimitedRange(content: Buffer): boolean {
  const meta = find(boxesOf(content), 'meta')?.subarray(4);
  const primary = meta && find(boxesOf(meta), 'pitm');
  const properties = meta && find(boxesOf(meta), 'iprp');
  const associations = properties && find(boxesOf(properties), 'ipma');
  const all = properties && find(boxesOf(properties), 'ipco');
  if (!primary || !associations || !all || primary.length < (primary[0] ? 8 : 6)) return false;
  const id = primary[0] ? primary.readUInt32BE(4) : primary.readUInt16BE(4);
  const boxes = boxesOf(all);
  const own = propertiesOf(id, associations).map((index) => boxes[index - 1]);
  // AV1 codec configuration: the third byte's fourth bit is `monochrome`.
  const isGray = own.some((box) => box?.type === 'av1C' && (box.body[2] ?? 0) & 0x10);
  // Colors as numbers: type, three of 16 bits, and a bit for the full range.
  const isLimited = own.some(
    (box) => box?.type === 'colr' && box.body.toString('latin1', 0, 4) === 'nclx' && !((box.body[10] ?? 0x80) & 0x80),
  );
  return isGray && isLimited;
}

function find(boxes: readonly Box[], type: string): Buffer | undefined {
  return boxes.find((box) => box.type === type)?.body;
}

function boxesOf(content: Buffer): readonly Box[] {
  const boxes: Box[] = [];
  for (let at = 0; at + 8 <= content.length && boxes.length < maxBoxes; ) {
    const size = content.readUInt32BE(at);
    if (size < 8) break; // up to the end, or of 64 bits: media data, which is the last thing or none of ours
    boxes.push({ type: content.toString('latin1', at + 4, at + 8), body: content.subarray(at + 8, at + size) });
    at += size;
  }
  return boxes;
}

/** Item property association, ISO 23008-12: for each item, numbers of properties, in 7 bits or in 15. */
function propertiesOf(id: number, ipma: Buffer): readonly number[] {
  const [version, isWide] = [ipma[0] ?? 0, ((ipma[3] ?? 0) & 1) === 1];
  const idBytes = version < 1 ? 2 : 4;
  for (let at = 8; at + idBytes < ipma.length; ) {
    const item = ipma.readUIntBE(at, idBytes);
    const count = ipma[at + idBytes] as number;
    const indexes = ipma.subarray(at + idBytes + 1, at + idBytes + 1 + count * (isWide ? 2 : 1));
    if (item === id) {
      return isWide
        ? Array.from({ length: indexes.length >> 1 }, (_, i) => indexes.readUInt16BE(2 * i) & 0x7fff)
        : [...indexes].map((index) => index & 0x7f);
    }
    at += idBytes + 1 + indexes.length;
  }
  return [];
}
