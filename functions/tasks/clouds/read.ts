import type { CloudsAsk } from './ask.ts';
import { findTwice, placesOf } from './bands.ts';
import { type GeoTiff, openGeoTiff } from './geotiff.ts';
import { blocksOf, bytesPerNumber, type Layout, rowLength } from './layout.ts';
import { type Metadata, readMetadata } from './metadata.ts';
import { createPlanes, type FilePatch, type Level, requiredBands, usedBands } from './patch.ts';
import { fillPlanes, type Numbers } from './reflectance.ts';
import { unknown, unreadable } from './refusal.ts';

/** Since this processing baseline of January 2022, products carry an offset of 1000. */
const offsetBaseline = 4;

/**
 * The patch that a GeoTIFF holds.
 * @throws Problem PARAMETER_INVALID for what neither file nor client tells | IMAGE_UNSUPPORTED | IMAGE_UNREADABLE | IMAGE_TOO_MANY_PIXELS
 */
export async function readPatch(file: ArrayBuffer, ask: CloudsAsk): Promise<FilePatch> {
  const tiff = await openGeoTiff(file);
  const { layout, noData, georeference } = tiff;
  const { width, height, bandCount } = layout;
  const metadata = readMetadata(tiff.metadata, bandCount);
  const places = findBands(metadata, ask, bandCount);
  const level = findLevel(metadata, ask);
  const offset = findOffset(metadata, ask, layout);
  const bands = usedBands.filter((band) => places.has(band));
  const numbers = await readNumbers(
    tiff,
    bands.map((band) => places.get(band) as number),
  );
  const data = createPlanes(width, height, bands.length);
  fillPlanes({ data, width, height, bands }, numbers, { noData, offset });
  return { data, width, height, bands, level, georeference };
}

/** The place of each band, of which client and file may tell a part each. */
function findBands({ bands, descriptions }: Metadata, ask: CloudsAsk, count: number): ReadonlyMap<string, number> {
  const found = descriptions.map(
    (text, index) => bands[index] ?? (text.slice(0, 40).replace(/[^ -~]/g, '?') || 'none'),
  );
  const told = `${count} bands described as ${found.join(', ')}`;
  if (ask.bands && ask.bands.length !== count) {
    throw unknown('bands', `${count} names`, `${ask.bands.length}: the file has ${told}`);
  }
  const isSame = (band: string | undefined, index: number) => [undefined, band].includes(ask.bands?.[index] ?? band);
  if (ask.bands && !bands.every((band, index) => band === undefined || isSame(band, index))) {
    throw unknown('bands', "the order of the file's descriptions", `another: the file has ${told}`);
  }
  const expected = `${requiredBands.join(', ')} by the file's band descriptions or ?bands=`;
  const names = ask.bands ?? bands;
  if (findTwice(names) !== undefined) throw unknown('bands', `${expected}, each once`, told);
  const places = placesOf(names);
  if (requiredBands.every((band) => places.has(band))) return places;
  throw unknown('bands', expected, told);
}

function findLevel({ level }: Metadata, ask: CloudsAsk): Level {
  const found = ask.level ?? level;
  if (!found) throw unknown('level', "L1C or L2A by ?level= or the file's metadata", 'neither');
  if (!level || level === found) return found;
  throw unknown('level', `${level} as the file's metadata say`, found);
}

function findOffset({ baseline }: Metadata, ask: CloudsAsk, { elementType }: Layout): number {
  if (elementType !== 'float32') return ask.offset ?? (baseline >= offsetBaseline ? 1000 : 0);
  if (!ask.offset) return 0;
  throw unknown('offset', '0 with bands of float32, which are reflectance,', String(ask.offset));
}

/** The numbers of the bands at these places, as the file has them. */
async function readNumbers(tiff: GeoTiff, places: readonly number[]): Promise<readonly Numbers[]> {
  const { layout } = tiff;
  const { width, height, isPlanar } = layout;
  const planes = places.map(() => createNumbers(layout, new ArrayBuffer(width * height * bytesPerNumber(layout))));
  const [across, down] = blocksOf(layout);
  for (let y = 0; y < down; y += 1) {
    for (let x = 0; x < across; x += 1) {
      const shared = isPlanar ? undefined : createNumbers(layout, await tiff.readBlock(x, y, 0));
      for (const [index, place] of places.entries()) {
        const block = shared ?? createNumbers(layout, await tiff.readBlock(x, y, place));
        copyBlock(block, planes[index] as Numbers, layout, { x, y, place: isPlanar ? 0 : place });
      }
    }
  }
  return planes;
}

function createNumbers({ elementType }: Layout, buffer: ArrayBuffer): Numbers {
  if (elementType === 'float32') return new Float32Array(buffer);
  return elementType === 'int16' ? new Int16Array(buffer) : new Uint16Array(buffer);
}

interface BlockPlace {
  readonly x: number;
  readonly y: number;
  /** Of the band within a pixel of the block. */
  readonly place: number;
}

/** One band of a block into its plane. @throws Problem IMAGE_UNREADABLE for a block that is too short */
function copyBlock(block: Numbers, plane: Numbers, layout: Layout, { x, y, place }: BlockPlace): void {
  const { width, height, blockWidth, blockHeight, isPlanar, bandCount } = layout;
  const [left, top] = [x * blockWidth, y * blockHeight];
  const columns = Math.min(blockWidth, width - left);
  const rows = Math.min(blockHeight, height - top);
  const length = rowLength(layout);
  const step = isPlanar ? 1 : bandCount;
  if (block.length < rows * length) throw unreadable();
  for (let row = 0; row < rows; row += 1) {
    let to = (top + row) * width + left;
    for (let from = row * length + place, last = to + columns; to < last; to += 1, from += step) {
      plane[to] = block[from] as number;
    }
  }
}
