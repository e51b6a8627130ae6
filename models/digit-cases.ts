import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { blankKinds, photographBlank } from './digit-photos/scene.ts';
import { readMnist } from './idx.ts';
import { DataError } from './labeled.ts';
import { createRandom } from './random.ts';

/** A picture as it is uploaded, and the digit it shows; undefined for none. */
export interface Case {
  readonly name: string;
  readonly group: string;
  readonly digit: number | undefined;
  read(): Promise<Uint8Array>;
}

export function listMnist(folder: string | undefined): Case[] {
  if (folder === undefined) return [];
  const { images, labels } = readMnist(folder, 't10k');
  const raw = { width: 28, height: 28, channels: 1 } as const;
  return images.map((image, i) => ({
    name: String(i),
    group: 'MNIST, test images',
    digit: labels[i] as number,
    read: () => sharp(image, { raw }).png().toBuffer(),
  }));
}

/** @throws DataError */
export function listCells(folder: string | undefined): Case[] {
  if (folder === undefined) return [];
  const [header, ...rows] = readFileSync(join(folder, 'labels.csv'), 'utf8').trim().split(/\r?\n/);
  const columns = header?.split(',') ?? [];
  const [file, label, kind] = ['file', 'label', 'kind'].map((name) => columns.indexOf(name)) as [
    number,
    number,
    number,
  ];
  if (file < 0 || label < 0) {
    throw new DataError(`Expected the columns file, label and kind for labels.csv but received "${header}"`);
  }
  const cases = rows.map((row): Case => {
    const cells = row.split(',');
    const name = cells[file] as string;
    const group = `photos, ${cells[kind] ?? 'digits'}`;
    return { name, group, digit: Number(cells[label]), read: async () => readFileSync(join(folder, name)) };
  });
  return cases.sort((one, other) => one.group.localeCompare(other.group));
}

export function listBlank(count: number): Case[] {
  return blankKinds.flatMap((kind, which) =>
    Array.from({ length: count }, (_, i) => ({
      name: `${kind} ${i}`,
      group: `blank sheets, ${kind}`,
      digit: undefined,
      read: () => {
        const { data, width, height } = photographBlank(createRandom(2 + which, i), kind);
        return sharp(data, { raw: { width, height, channels: 3 } })
          .jpeg({ quality: 88 })
          .toBuffer();
      },
    })),
  );
}
