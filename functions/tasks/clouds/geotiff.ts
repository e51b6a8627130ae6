import { fromArrayBuffer, type GeoTIFFImage } from 'geotiff';
import { Problem } from '../../core/problem.ts';
import { decodeBlock } from './decoders.ts';
import { checkDirectory } from './directory.ts';
import { type Layout, readLayout, type Tags } from './layout.ts';
import type { Georeference } from './patch.ts';
import { unreadable, unsupported } from './refusal.ts';

/** A GeoTIFF whose header has been read and checked, its pixels not yet. */
export interface GeoTiff {
  readonly layout: Layout;
  /** GDAL's metadata, XML; '' where there is none. */
  readonly metadata: string;
  /** The number that stands for no data, NaN where none is named. */
  readonly noData: number;
  readonly georeference: Georeference;
  /**
   * A strip or tile as numbers of this machine's byte order, all of them 0 or "no data" where the file leaves it out.
   * @throws Problem IMAGE_UNREADABLE
   */
  readBlock(x: number, y: number, band: number): Promise<ArrayBuffer>;
}

type FileTags = Tags & { text(tag: string): string | undefined };

/** Tags that say where pixels lie: scale, tie points, matrix, and GeoTIFF's own three. */
const geoTags = {
  ModelPixelScale: 33550,
  ModelTiepoint: 33922,
  ModelTransformation: 34264,
  GeoKeyDirectory: 34735,
  GeoDoubleParams: 34736,
  GeoAsciiParams: 34737,
} as const;

/**
 * Opens the first image of a GeoTIFF; later ones are never looked for.
 * @throws Problem IMAGE_UNSUPPORTED | IMAGE_UNREADABLE | IMAGE_TOO_MANY_PIXELS
 */
export async function openGeoTiff(file: ArrayBuffer): Promise<GeoTiff> {
  const { isLittleEndian } = checkDirectory(file);
  const image = await orUnreadable(openImage(file));
  const tags = tagsOf(image);
  const layout = readLayout(tags, isLittleEndian, file.byteLength);
  const decoder = {
    decode: (bytes: ArrayBuffer) => decodeBlock(new Uint8Array(bytes), layout),
  };
  return {
    layout,
    metadata: tags.text('GDAL_METADATA') ?? '',
    noData: Number.parseFloat(tags.text('GDAL_NODATA') ?? ''),
    georeference: readGeoreference(tags),
    async readBlock(x, y, band) {
      const { data } = await orUnreadable(image.getTileOrStrip(x, y, band, decoder as never));
      return data as ArrayBuffer;
    },
  };
}

/** More than 600 ground control points have; they travel from thread to thread. */
const maxGeoValues = 4096;

/** @throws Problem IMAGE_UNSUPPORTED | IMAGE_UNREADABLE for numbers that a GeoTIFF cannot have there */
function readGeoreference(tags: FileTags): Georeference {
  const found = Object.entries(geoTags).flatMap(([name, tag]) => {
    const values = name === 'GeoAsciiParams' ? tags.text(name) : tags.numbers(name);
    return values === undefined ? [] : [{ tag, values }];
  });
  const count = found.reduce((sum, { values }) => sum + values.length, 0);
  if (count > maxGeoValues) throw unsupported(`at most ${maxGeoValues} numbers of coordinates`, String(count));
  const keys = tags.numbers('GeoKeyDirectory') ?? [];
  const isShort = (value: number) => Number.isInteger(value) && value >= 0 && value <= 65_535;
  if (!keys.every(isShort)) throw unreadable('keys of coordinates that are no shorts');
  return found;
}

async function openImage(file: ArrayBuffer): Promise<GeoTIFFImage> {
  const tiff = await fromArrayBuffer(file);
  // All tags at once, whose size is known to be bounded: geotiff 3.0.5 reads long lists that come later as little-endian in any file.
  tiff.parser.eager = true;
  return tiff.getImage(0);
}

function tagsOf({ fileDirectory }: GeoTIFFImage): FileTags {
  const read = (tag: string): unknown => fileDirectory.getValue(tag as never);
  return {
    number(tag) {
      const value = read(tag);
      return typeof value === 'number' ? value : undefined;
    },
    numbers(tag) {
      const value = read(tag);
      return typeof value === 'object' && value !== null ? Array.from(value as ArrayLike<number>) : undefined;
    },
    text(tag) {
      const value = read(tag);
      return typeof value === 'string' ? value.replace(/\0+$/, '') : undefined;
    },
  };
}

/** Whatever the library says of a file is the file's fault; some of it are texts and no errors. */
async function orUnreadable<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (fault) {
    throw fault instanceof Problem ? fault : unreadable(undefined, fault);
  }
}
