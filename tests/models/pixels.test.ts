import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { decodeImage } from '../../functions/tasks/image/image.ts';
import { sampleEvenly } from '../../models/sample.ts';
import { runProgram } from '../support/program.ts';

const program = fileURLToPath(new URL('../../models/pixels.js', import.meta.url));
const parquet = fileURLToPath(new URL('../../../tests/models/labeled/two-images.parquet', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'understudy-pixels-'));
afterAll(() => rmSync(root, { recursive: true }));

const data = join(root, 'data');
mkdirSync(data);
const gradient = Buffer.from(Array.from({ length: 50 * 40 * 3 }, (_, i) => (i * 7) % 256));
const photo = await sharp(gradient, { raw: { width: 50, height: 40, channels: 3 } })
  .png()
  .toBuffer();
writeFileSync(join(data, 'n01443537_1.png'), photo);
writeFileSync(join(data, 'n01443537_2.png'), 'plain text');
writeFileSync(join(data, 'n01443537_3.png'), photo);
writeFileSync(join(data, 'n02099601_4.png'), photo);

const pixels = (...args: string[]) => runProgram(program, ...args);

function write(name: string, ...args: string[]) {
  const out = join(root, name);
  const result = pixels('--resize', '24', '--crop', '16', '--out', out, ...args);
  return { out, table: out.replace('.npy', '.tsv'), ...result };
}

/** Shape and content of a file in numpy's format, read by its own rules. */
function readNpy(path: string) {
  const file = readFileSync(path);
  const start = 10 + file.readUInt16LE(8);
  const header = file.toString('latin1', 10, start);
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1]?.split(',').map(Number);
  return { magic: file.toString('latin1', 0, 8), start, header, shape, data: file.subarray(start) };
}

describe('pixels', () => {
  it('writes the pixels that the service decodes and a line for each image', async () => {
    const { out, table, status } = write('all.npy', '--data', data);
    const { magic, start, header, shape, data: bytes } = readNpy(out);
    const { pixels: served } = await decodeImage(photo, { resize: 24, crop: 16 }, 1_000_000);

    expect(status).toBe(0);
    expect(magic).toBe('\x93NUMPY\x01\x00');
    expect(start % 64).toBe(0);
    expect(header).toMatch(/^\{'descr': '\|u1', 'fortran_order': False, .*\} *\n$/);
    expect(shape).toEqual([3, 16, 16, 3]);
    expect(bytes).toHaveLength(3 * 16 * 16 * 3);
    expect(bytes.subarray(-served.data.length).equals(served.data)).toBe(true);
    expect(readFileSync(table, 'utf8').split('\n')).toEqual([
      'image\twnid\twidth\theight',
      'n01443537_1.png\tn01443537\t50\t40',
      'n01443537_3.png\tn01443537\t50\t40',
      'n02099601_4.png\tn02099601\t50\t40',
      '',
    ]);
  });

  it('names on stderr each image that the service would refuse', () => {
    const { stderr } = write('refused.npy', '--data', data);

    expect(stderr).toMatch(/^Left out n01443537_2\.png: IMAGE_UNSUPPORTED: Expected .*\n$/);
  });

  it('takes as many images as the limit says, from each class', () => {
    const { table } = write('limited.npy', '--data', data, '--limit', '2', '--seed', '3');

    const classes = readFileSync(table, 'utf8').match(/n\d{8}(?=\t)/g);
    expect(new Set(classes).has('n02099601')).toBe(true);
  });

  it('reads a Parquet file', () => {
    const { out, table } = write('parquet.npy', '--data', parquet);

    expect(readNpy(out).shape).toEqual([2, 16, 16, 3]);
    expect(readFileSync(table, 'utf8')).toMatch(/\n0\tn\d{8}\t\d+\t\d+\n1\tn/);
  });

  it('gives other pixels with the cubic kernel', () => {
    const linear = write('linear.npy', '--data', data);
    const cubic = write('cubic.npy', '--data', data, '--kernel', 'cubic');

    expect(readNpy(cubic.out).shape).toEqual(readNpy(linear.out).shape);
    expect(readNpy(cubic.out).data.equals(readNpy(linear.out).data)).toBe(false);
  });

  it('writes nothing and ends with status 1 when no image can be decoded', () => {
    const folder = join(root, 'broken');
    mkdirSync(folder);
    writeFileSync(join(folder, 'n01443537_1.png'), 'plain text');
    const { out, status, stderr } = write('broken.npy', '--data', folder);

    expect(status).toBe(1);
    expect(stderr).toContain('Expected images that can be decoded for --data but received 1 others');
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(root).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it.each([
    ['no data', ['--out', 'x.npy'], 'a path for --data'],
    ['a file of another kind', ['--data', data, '--out', 'x.tsv'], 'a path that ends with .npy for --out'],
    ['a crop of 0', ['--data', data, '--out', 'x.npy', '--crop', '0', '--resize', '9'], 'from 1 to 1024 for --crop'],
    ['a crop of 1025', ['--data', data, '--out', 'x.npy', '--crop', '1025'], 'from 1 to 1024 for --crop'],
    ['a resize below the crop', ['--data', data, '--out', 'x.npy', '--crop', '9', '--resize', '8'], 'for --resize'],
    [
      'another kernel',
      ['--data', data, '--out', 'x.npy', '--crop', '9', '--resize', '9', '--kernel', 'lanczos3'],
      'linear or cubic for --kernel',
    ],
    [
      'a limit of 0',
      ['--data', data, '--out', 'x.npy', '--crop', '9', '--resize', '9', '--limit', '0'],
      'a whole number above 0 for --limit',
    ],
  ])('answers %s with its usage and status 2', (_circumstance, args, message) => {
    const { status, stderr } = pixels(...args);

    expect(stderr).toContain(message);
    expect(stderr).toContain('Usage: node dist/models/pixels.js');
    expect(status).toBe(2);
  });
});

describe('sampleEvenly', () => {
  const images = Array.from({ length: 60 }, (_, place) => ({ place, class: place < 50 ? 'many' : `few-${place % 2}` }));
  const count = (sample: typeof images, name: string) => sample.filter((image) => image.class === name).length;

  it('takes the same number of each class while it lasts, in the order of the images', () => {
    const sample = [...sampleEvenly(images, 15, 1)];

    expect(['many', 'few-0', 'few-1'].map((name) => count(sample, name))).toEqual([5, 5, 5]);
    expect(sample.map(({ place }) => place)).toEqual(sample.map(({ place }) => place).sort((a, b) => a - b));
  });

  it('goes on with the larger classes when the smaller ones are used up', () => {
    const sample = [...sampleEvenly(images, 30, 1)];

    expect(['many', 'few-0', 'few-1'].map((name) => count(sample, name))).toEqual([20, 5, 5]);
  });

  it('chooses by the seed alone', () => {
    expect(sampleEvenly(images, 15, 7)).toEqual(sampleEvenly(images, 15, 7));
    expect(sampleEvenly(images, 15, 7)).not.toEqual(sampleEvenly(images, 15, 8));
  });

  it.each([60, 61])('takes all 60 images with a limit of %d', (limit) => {
    expect(sampleEvenly(images, limit, 1)).toEqual(images);
  });

  it('leaves an image out with a limit one below their number', () => {
    expect(sampleEvenly(images, 59, 1)).toHaveLength(59);
  });
});
