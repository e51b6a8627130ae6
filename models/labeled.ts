import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';

/** An encoded image and the class it shows. */
export interface LabeledImage {
  /** File name or row number. */
  readonly name: string;
  /** WordNet id, such as n02099601. */
  readonly class: string;
  read(): Promise<Uint8Array>;
}

/** Data that cannot be evaluated on; the message is for the person at the terminal. */
export class DataError extends Error {
  override readonly name = 'DataError';
}

const imageFile = /\.(jpe?g|png|webp|gif|avif)$/i;
const leadingClass = /^n\d{8}(?=[_.-]|$)/;

/**
 * The images of a Parquet file (columns `image`: encoded bytes, `wnid`: text) or of a folder in a fixed order. A folder names
 * the class by a sub-folder, by the beginning of each file's name, or as Tiny ImageNet's own `val` does by `val_annotations.txt`.
 * @throws DataError
 */
export async function listLabeledImages(path: string): Promise<readonly LabeledImage[]> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new DataError(`Expected a Parquet file or a folder for --data but received "${path}"`);
  const images = stats.isDirectory() ? listFolder(path) : await listParquet(path);
  if (images.length === 0) {
    throw new DataError(`Expected images with their WordNet ids for --data but received "${path}", which holds none`);
  }
  return images;
}

async function listParquet(path: string): Promise<readonly LabeledImage[]> {
  const expected = 'a Parquet file with the columns image (bytes) and wnid (text)';
  try {
    const rows = await parquetReadObjects({
      file: await asyncBufferFromFile(path),
      columns: ['image', 'wnid'],
      utf8: false, // or bytes would become text
    });
    return rows.map(({ image, wnid }, row) => {
      if (!(image instanceof Uint8Array) || typeof wnid !== 'string') {
        throw new DataError(`Expected ${expected} for --data but received "${path}" with other types in row ${row}`);
      }
      return { name: String(row), class: wnid, read: async () => image };
    });
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`Expected ${expected} for --data but received "${path}"`, { cause });
  }
}

function listFolder(path: string): readonly LabeledImage[] {
  for (const folder of [path, join(path, 'val')]) {
    const annotations = join(folder, 'val_annotations.txt');
    if (existsSync(annotations)) return listAnnotated(folder, readFileSync(annotations, 'utf8'));
  }
  const files = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((file) => imageFile.test(file));
  return files.sort().flatMap((file) => {
    const parts = file.split(/[\\/]/).reverse();
    const wnid = parts.map((part) => leadingClass.exec(part)?.[0]).find((found) => found !== undefined);
    return wnid === undefined ? [] : [{ name: file, class: wnid, read: () => readFile(join(path, file)) }];
  });
}

/** Each line reads: file name, WordNet id, box, separated by tabs. */
function listAnnotated(folder: string, annotations: string): readonly LabeledImage[] {
  return annotations.split('\n').flatMap((line) => {
    const [name, wnid] = line.split('\t');
    if (name === undefined || wnid === undefined) return [];
    return [{ name, class: wnid, read: () => readFile(join(folder, 'images', name)) }];
  });
}
