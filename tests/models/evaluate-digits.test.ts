import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { digitOf } from '../../functions/tasks/digits/digit.ts';
import { readIdx, writeIdx } from '../../models/idx.ts';
import { drawDigit, drawSvg, pictureOf } from '../support/drawn.ts';
import { runProgram } from '../support/program.ts';

const compiled = fileURLToPath(new URL('../..', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'understudy-digits-'));
afterAll(() => rmSync(root, { recursive: true }));

/** MNIST's form of ten drawn digits, as its training and its test images; the last label is wrong. */
const mnist = join(root, 'mnist');
mkdirSync(mnist);
const frames = await Promise.all(
  Array.from({ length: 10 }, async (_, digit) => digitOf(await pictureOf(drawDigit(digit)))),
);
for (const part of ['train', 't10k']) {
  writeIdx(join(mnist, `${part}-images-idx3-ubyte`), { dims: [10, 28, 28], values: Buffer.concat(frames) });
  writeIdx(join(mnist, `${part}-labels-idx1-ubyte`), {
    dims: [10],
    values: Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 0]),
  });
}

const cells = join(root, 'cells');
mkdirSync(cells);
await drawDigit(3).jpeg().toFile(join(cells, 'three.jpg'));
await drawDigit(5, { ink: '#000', pen: 16 }).png().toFile(join(cells, 'five.png'));
await drawSvg(60, 60, '<rect width="60" height="60" fill="#fff"/>').png().toFile(join(cells, 'blank.png'));
writeFileSync(
  join(cells, 'labels.csv'),
  'file,label,kind\nthree.jpg,3,handwritten\nfive.png,5,printed\nblank.png,1,handwritten\n',
);

const evaluate = (...args: string[]) => runProgram(join(compiled, 'models/evaluate.js'), 'digits', ...args);

describe('evaluate digits', () => {
  it('counts what is read rightly and what is refused', () => {
    const { status, stdout } = evaluate('--mnist', mnist, '--cells', cells, '--blank', '5', '--json');

    const { scores, runMs, prepareMs, confusions } = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(scores).toEqual([
      { data: 'MNIST, test images', images: 10, right: 0.9, refused: 0 },
      { data: 'photos, handwritten', images: 2, right: 0.5, refused: 1 },
      { data: 'photos, printed', images: 1, right: 1, refused: 0 },
      ...['plain', 'shaded', 'noisy', 'ruled'].map((kind) => ({
        data: `blank sheets, ${kind}`,
        images: 5,
        right: expect.any(Number),
        refused: expect.any(Number),
      })),
    ]);
    const refused = 10;
    const counts = (table: number[][]) => table.flatMap((row, shown) => row.map((count, said) => [shown, said, count]));
    const found = (data: string) => counts(confusions[data]).filter(([, , count]) => count !== 0);
    expect(found('photos, handwritten')).toEqual([
      [1, refused, 1],
      [3, 3, 1],
    ]);
    expect(found('photos, printed')).toEqual([[5, 5, 1]]);
    expect(found('MNIST, test images').filter(([shown, said]) => shown !== said)).toHaveLength(1);
    expect(runMs).toBeGreaterThan(0);
    expect(prepareMs).toBeGreaterThan(0);
  });

  it('lists the misread cells and writes the card', () => {
    const models = join(root, 'models');
    cpSync('models/digits', join(models, 'digits'), { recursive: true });

    const { status, stdout } = evaluate(
      '--cells',
      cells,
      '--blank',
      '0',
      '--models-dir',
      models,
      '--misread',
      '--write-card',
    );

    expect(status).toBe(0);
    expect(stdout).toMatch(/^photos, handwritten +2 +50\.00 % +1$/m);
    expect(stdout).toContain(
      'blank.png\t1\tIMAGE_NO_DIGIT: Expected a single digit for the image but received a blank page',
    );
    const card = JSON.parse(readFileSync(join(models, 'digits/model.json'), 'utf8'));
    expect(card.accuracy.map(({ data, right }: { data: string; right: number }) => [data, right])).toEqual([
      ['photos, handwritten (2)', 0.5],
      ['photos, printed (1)', 1],
    ]);
  });

  it.each([
    [['--blank', 'few'], 2, /^Expected a whole number for --blank but received "few"/],
    [['--blank', '0'], 1, /^Expected --mnist, --cells or --blank but received none of them$/],
    [['--mnist', cells], 1, /^Expected MNIST's file .*t10k-images-idx3-ubyte\.gz but received none$/],
  ])('refuses %j with status %d', (args, expected, sentence) => {
    const { status, stderr } = evaluate(...args);

    expect(status).toBe(expected);
    expect(stderr.split('\n')[0]).toMatch(sentence);
  });
});

describe('the photos for training', () => {
  const write = (out: string, ...args: string[]) => {
    mkdirSync(join(root, out));
    const options = ['--data', mnist, '--out', join(root, out), '--written', '20', '--others', '20', ...args];
    return runProgram(join(compiled, 'models/digit-photos/write.js'), ...options);
  };

  it('are the same for the same seed, in MNIST’s format', () => {
    const [one, same, other] = [write('one'), write('same'), write('other', '--seed', '2')];

    expect([one, same, other].map(({ status }) => status)).toEqual([0, 0, 0]);
    const read = (folder: string) => readIdx(join(root, folder, 'train-images-idx3-ubyte'));
    const labels = readIdx(join(root, 'one', 'train-labels-idx1-ubyte')).values;
    expect(read('one').dims).toEqual([labels.length, 28, 28]);
    expect(labels.length).toBeGreaterThan(30);
    expect(new Set(labels)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    expect(Buffer.compare(read('one').values, read('same').values)).toBe(0);
    expect(Buffer.compare(read('one').values, read('other').values)).not.toBe(0);
    expect(readIdx(join(root, 'one', 'golden-idx3-ubyte')).dims).toEqual([1, 28, 28]);
  });
});
