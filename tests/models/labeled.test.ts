import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { listLabeledImages } from '../../models/labeled.ts';

const root = mkdtempSync(join(tmpdir(), 'understudy-labeled-'));
afterAll(() => rmSync(root, { recursive: true }));
// Two PNG of 2x2 pixels in each, written by pyarrow.
const parquets = fileURLToPath(new URL('../../../tests/models/labeled/', import.meta.url));
let folders = 0;

/** A folder of text files, by path and content. */
function folderWith(files: Readonly<Record<string, string>>): string {
  folders += 1;
  const folder = join(root, String(folders));
  for (const [path, content] of Object.entries({ 'README.txt': '', ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

async function list(path: string) {
  const images = await listLabeledImages(path);
  return Promise.all(
    images.map(async (image) => [image.name, image.class, Buffer.from(await image.read()).toString('latin1')]),
  );
}

describe('listLabeledImages', () => {
  it('takes the class from a sub-folder, whatever lies between', async () => {
    const folder = folderWith({ 'n02/n02099601/images/b.JPEG': 'B', 'n01443537/a.png': 'A', 'n01443537/a.txt': '' });

    expect(await list(folder)).toEqual([
      [join('n01443537', 'a.png'), 'n01443537', 'A'],
      [join('n02', 'n02099601', 'images', 'b.JPEG'), 'n02099601', 'B'],
    ]);
  });

  it("takes the class from the beginning of a file's name before its folder's", async () => {
    const folder = folderWith({
      'n01443537_7_goldfish.jpg': 'A',
      'n01443537/n02099601-x.webp': 'B',
      'n0144353.jpg': '',
    });

    expect(await list(folder)).toEqual([
      [join('n01443537', 'n02099601-x.webp'), 'n02099601', 'B'],
      ['n01443537_7_goldfish.jpg', 'n01443537', 'A'],
    ]);
  });

  it.each(['', 'val'])('takes the classes from val_annotations.txt in the folder "%s"', async (below) => {
    const folder = folderWith({
      'train/n02099601/images/c.JPEG': 'C',
      [join(below, 'images/val_1.JPEG')]: 'B',
      [join(below, 'images/val_0.JPEG')]: 'A',
      [join(below, 'val_annotations.txt')]: 'val_1.JPEG\tn02099601\t0\t0\t9\t9\nval_0.JPEG\tn01443537\t0\t0\t9\t9\n',
    });

    expect(await list(folder)).toEqual([
      ['val_1.JPEG', 'n02099601', 'B'],
      ['val_0.JPEG', 'n01443537', 'A'],
    ]);
  });

  it.each(['two-images', 'gzip', 'zstd', 'brotli', 'lz4', 'class-label'])(
    'takes the rows of the Parquet file %s',
    async (name) => {
      const images = await list(join(parquets, `${name}.parquet`));

      expect(images.map(([name, wnid]) => [name, wnid])).toEqual([
        ['0', 'n01443537'],
        ['1', 'n02099601'],
      ]);
      expect(images.map(([, , bytes]) => bytes?.slice(1, 4))).toEqual(['PNG', 'PNG']);
    },
  );

  it('takes val_annotations.txt as Windows writes it', async () => {
    const folder = folderWith({
      'images/val_0.JPEG': 'A',
      'images/val_1.JPEG': 'B',
      'val_annotations.txt': '\uFEFFval_0.JPEG\tn01443537\r\nval_1.JPEG\tn02099601\r\n',
    });

    expect(await list(folder)).toEqual([
      ['val_0.JPEG', 'n01443537', 'A'],
      ['val_1.JPEG', 'n02099601', 'B'],
    ]);
  });

  it('takes no folder for an image, whatever it is called', async () => {
    const folder = folderWith({ 'n01443537.jpg/a.png': 'A' });

    expect(await list(folder)).toEqual([[join('n01443537.jpg', 'a.png'), 'n01443537', 'A']]);
  });

  it('names a compression that it does not know', async () => {
    const file = join(folderWith({}), 'lzo.parquet');
    const gzip = readFileSync(join(parquets, 'gzip.parquet'));
    // In the description of a column the codec follows its name: 2 is gzip, 3 is LZO, written as their doubles.
    const text = gzip.toString('latin1').replaceAll('image\x15\x04', 'image\x15\x06');
    writeFileSync(file, text, 'latin1');

    await expect(listLabeledImages(file)).rejects.toThrow(/ but received "[^"]+": .*\bLZO$/);
  });

  it.each([
    ['the columns of a file with others', 'other-columns', /received "[^"]+" with picture, text$/],
    ['a number that no name is known for', 'numbers', /received "[^"]+" with 1 for label in row 0$/],
  ])('names %s', async (_circumstance, name, message) => {
    await expect(listLabeledImages(join(parquets, `${name}.parquet`))).rejects.toThrow(message);
  });

  it.each([
    ['a path that is not there', join(root, 'missing'), /Parquet file or a folder for --data/],
    ['a folder without labeled images', folderWith({ 'a.jpg': '' }), /which holds none/],
    [
      'a file of another kind',
      join(folderWith({ 'a.jpg': 'not Parquet' }), 'a.jpg'),
      /columns image \(bytes\) and wnid/,
    ],
  ])('rejects %s', async (_circumstance, path, message) => {
    await expect(listLabeledImages(path)).rejects.toThrow(message);
  });
});
