import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

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

/** The bytes of a file that a person named. @throws DataError */
export function readNamedFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new DataError(`Expected a file that can be read for ${path} but received ${code}`, { cause });
  }
}

const imageFile = /\.(jpe?g|png|webp|gif|avif)$/i;
const leadingClass = /^n\d{8}(?=[_.-]|$)/;

/**
 * The images of a Parquet file (columns `image`: encoded bytes, alone or in Hugging Face's struct, and `wnid` or `label`: text or
 * ClassLabel) or of a folder in a fixed order. A folder names
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
  const expected =
    'a Parquet file with the columns image (bytes) and wnid (text) or label (ClassLabel of WordNet ids) for --data';
  const refuse = (received: string, cause?: unknown): never => {
    throw new DataError(`Expected ${expected} but received "${path}"${received}`, { cause });
  };
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
    const labels = ['wnid', 'label'].find((name) => columns.includes(name));
    if (labels === undefined || !columns.includes('image')) refuse(` with ${columns.join(', ')}`);
    const classes = classNames(metadata, String(labels));
    // utf8: bytes would become text otherwise.
    const read = { file, metadata, columns: ['image', String(labels)], utf8: false, compressors };
    return (await parquetReadObjects(read)).map(({ image, [String(labels)]: label }, row) => {
      const bytes = image instanceof Uint8Array ? image : image?.bytes; // Hugging Face: { bytes, path }
      const name = typeof label === 'string' ? label : classes[Number(label)];
      if (!(bytes instanceof Uint8Array)) return refuse(` with no bytes for image in row ${row}`);
      if (name === undefined) return refuse(` with ${label} for ${labels} in row ${row}`);
      return { name: String(row), class: name, read: async () => bytes };
    });
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    return refuse(`: ${(cause as Error).message}`, cause); // such as a compression that is not known
  }
}

/** What the numbers of a column of classes stand for, which Hugging Face writes beside the schema. */
function classNames(metadata: FileMetaData, column: string): readonly string[] {
  const text = metadata.key_value_metadata?.find(({ key }) => key === 'huggingface')?.value;
  return JSON.parse(text ?? '{}').info?.features?.[column]?.names ?? [];
}

function listFolder(path: string): readonly LabeledImage[] {
  for (const folder of [path, join(path, 'val')]) {
    const annotations = join(folder, 'val_annotations.txt');
    if (existsSync(annotations)) return listAnnotated(folder, readFileSync(annotations, 'utf8'));
  }
  const isFile = (file: string) => !lstatSync(join(path, file)).isDirectory();
  const files = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter(
    (file) => imageFile.test(file) && isFile(file),
  );
  return files.sort().flatMap((file) => {
    const parts = file.split(/[\\/]/).reverse();
    const wnid = parts.map((part) => leadingClass.exec(part)?.[0]).find((found) => found !== undefined);
    return wnid === undefined ? [] : [{ name: file, class: wnid, read: () => readFile(join(path, file)) }];
  });
}

/** Each line reads: file name, WordNet id, box, separated by tabs. */
function listAnnotated(folder: string, annotations: string): readonly LabeledImage[] {
  return annotations
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .flatMap((line) => {
      const [name, wnid] = line.split('\t');
      if (name === undefined || wnid === undefined) return [];
      return [{ name, class: wnid, read: () => readFile(join(folder, 'images', name)) }];
    });
}
