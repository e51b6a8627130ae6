import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { parseAsk } from '../functions/tasks/clouds/ask.ts';
import { clouds } from '../functions/tasks/clouds/task.ts';
import { DataError } from './labeled.ts';

/** A patch of which it is known where clouds are. */
export interface LabeledPatch {
  /** Folder and file, without the ending. */
  readonly name: string;
  readonly path: string;
  /** The query by which a client would send it. */
  readonly query: string;
  /** File of bytes: 0 clear, 1 cloud, 2 shadow, 255 unknown; undefined for a patch that shows no clouds at all. */
  readonly label: string | undefined;
}

const sentinelBands = 'B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B10,B11,B12';

/** What the files of a data set do not say of themselves. */
const queries: Readonly<Record<string, string>> = {
  on_cloud_n: 'level=L2A&offset=0',
  sen12mscr: `level=L1C&offset=0&bands=${sentinelBands}`,
};

/**
 * The GeoTIFFs of each sub-folder that are labeled: `X.tif` beside `X_label.tif`, or `X_clear.tif`. What the folder's name does not tell of
 * bands and level, the file must.
 * @throws DataError
 */
export function listPatches(data: string): readonly LabeledPatch[] {
  if (!statSync(data, { throwIfNoEntry: false })?.isDirectory()) {
    throw new DataError(`Expected a folder for --data but received "${data}"`);
  }
  const folders = readdirSync(data).filter((name) => statSync(join(data, name)).isDirectory());
  const found = folders.sort().flatMap((folder) => {
    const files = readdirSync(join(data, folder)).filter((file) => /\.tiff?$/.test(file));
    return files.sort().flatMap((file): LabeledPatch[] => {
      const stem = file.replace(/\.tiff?$/, '');
      const label = join(data, folder, `${stem}_label.tif`);
      const isLabeled = existsSync(label);
      if (!isLabeled && !stem.endsWith('_clear')) return [];
      const path = join(data, folder, file);
      return [{ name: `${folder}/${stem}`, path, query: queries[folder] ?? '', label: isLabeled ? label : undefined }];
    });
  });
  if (found.length > 0) return found;
  throw new DataError(`Expected folders with X.tif and X_label.tif, or X_clear.tif, for --data but received "${data}"`);
}

/** The patch as the service decodes it, to be answered by runs of equal values. @throws Problem */
export async function readInput({ path, query }: LabeledPatch, dilate: string) {
  const ask = { ...parseAsk(new URLSearchParams(`${query}&dilate=${dilate}`), {}), form: 'rle' as const };
  const { input } = await clouds.decode(readFileSync(path), {
    ask,
    details: undefined as never, // the patch is the same for every model
    settings: {},
    precision: 'exact',
  });
  return input;
}

/** The reference of each pixel; all clear for a patch without a file. @throws DataError for another size */
export async function readReference(
  { label }: LabeledPatch,
  { width, height }: { readonly width: number; readonly height: number },
): Promise<Uint8Array> {
  if (label === undefined) return new Uint8Array(width * height);
  const { data, info } = await sharp(label).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
  if (info.width === width && info.height === height) return data;
  throw new DataError(
    `Expected bytes of ${width}x${height} pixels for ${label} but received ${info.width}x${info.height}`,
  );
}
