import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { allowedInstructions } from '../../functions/core/card/instructions.ts';
import { changeCard } from '../support/models.ts';
import { runProgram } from '../support/program.ts';

const program = fileURLToPath(new URL('../../models/evaluate.js', import.meta.url));
const modelsDir = fileURLToPath(new URL('../../../models', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'understudy-evaluate-'));
afterAll(() => rmSync(root, { recursive: true }));

const data = join(root, 'data');
mkdirSync(data);
const orange = await sharp({ create: { width: 80, height: 70, channels: 3, background: '#f80' } })
  .png()
  .toBuffer();
writeFileSync(join(data, 'n01443537_1.png'), orange);
writeFileSync(join(data, 'n01443537_2.png'), orange);
writeFileSync(join(data, 'n01443537_3.png'), 'plain text');
writeFileSync(join(data, 'n00000001_4.png'), orange);

/** What the test model answers at once. */
const dark = join(root, 'dark');
mkdirSync(dark);
const black = sharp({ create: { width: 8, height: 8, channels: 3, background: 'black' } });
writeFileSync(join(dark, 'n01443537_1.png'), await black.png().toBuffer());

/** A folder with a variant for each class of processors, all of them the same file. */
const variants = join(root, 'variants');
const classes = ['x64-avx512-vnni', 'x64-avx512', 'x64-avx2-vnni', 'x64-avx2', 'arm64'];
const allowed = classes.filter((name) => allowedInstructions().includes(name));
cpSync('tests/models/moody', join(variants, 'moody@1'), { recursive: true });
writeFileSync(
  join(variants, 'moody@1', 'labels.json'),
  JSON.stringify(['n01443537', 'n02099601'].map((name) => ({ class: name, label: name }))),
);
changeCard(join(variants, 'moody@1'), (card) => {
  const { file, sha256, input, output, golden } = card;
  const graph = { precision: 'float32', optimizedBy: null, file, sha256, input, output, golden };
  return { ...card, accuracy: [], variants: classes.map((name) => ({ name, instructions: name, ...graph })) };
});

const evaluate = (...args: string[]) => runProgram(program, '--models-dir', modelsDir, ...args);

describe('evaluate', () => {
  it('counts what the models know and names what it skips', () => {
    const { status, stdout } = evaluate('--data', data, '--json');

    const { scores, unknownClasses, refused } = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(scores.map(({ model, images }: Record<string, unknown>) => [model, images])).toEqual([
      ['wide-resnet', 2],
      ['mobilenet', 2],
    ]);
    expect([0, 1]).toContain(scores[0].top1);
    expect(scores[0].agreement).toBe(1);
    expect(unknownClasses).toEqual({ n00000001: 1 });
    expect(refused).toEqual({ 'n01443537_3.png': 'IMAGE_UNSUPPORTED' });
  });

  it('leaves out what cannot be read, and goes on', () => {
    const broken = join(root, 'broken');
    mkdirSync(join(broken, 'n01443537_2.jpg'), { recursive: true });
    cpSync(dark, broken, { recursive: true });
    for (let link = 3; link < 12; link += 1) symlinkSync('nowhere', join(broken, `n01443537_${link}.jpg`));

    const { status, stdout, stderr } = evaluate('--data', broken, '--models', 'mobilenet', '--json');

    const { scores, refused } = JSON.parse(stdout);
    expect({ status, stderr, images: scores[0].images }).toEqual({ status: 0, stderr: '', images: 1 });
    expect(refused).toMatchObject({ 'n01443537_3.jpg': 'ENOENT', 'n01443537_11.jpg': 'ENOENT' });
    expect(Object.keys(refused)).toHaveLength(9);
  });

  it('writes the class of each image by each model', () => {
    const file = join(root, 'predictions.tsv');
    const { stdout } = evaluate('--data', data, '--models', 'mobilenet', '--predictions', file, '--limit', '2');

    const [header, row] = readFileSync(file, 'utf8').split('\n');
    expect(stdout).toMatch(/^model +variant +images +top-1 +top-5 +calibration error +ms per run\nmobilenet +\S+ +1 /);
    expect(header).toBe('image\twnid\tmobilenet');
    expect(row).toMatch(/^n01443537_1\.png\tn01443537\tn\d{8}$/);
  });

  it('writes the accuracy into the card, in place of a former one on the same data', () => {
    const folder = join(root, 'models');
    cpSync(join(modelsDir, 'mobilenet'), join(folder, 'mobilenet'), { recursive: true });
    const path = join(folder, 'mobilenet', 'model.json');
    const before = JSON.parse(readFileSync(path, 'utf8'));

    evaluate('--data', data, '--models', 'mobilenet', '--models-dir', folder, '--write-card', 'two of one color');
    evaluate('--data', data, '--models', 'mobilenet', '--models-dir', folder, '--write-card', 'two of one color');

    const after = JSON.parse(readFileSync(path, 'utf8'));
    expect(after.accuracy).toHaveLength(before.accuracy.length + 1);
    expect(after.accuracy.at(-1)).toMatchObject({ data: 'two of one color', variant: expect.any(String), images: 2 });
    expect({ ...after, accuracy: [] }).toEqual({ ...before, accuracy: [] });
  });

  it.each([
    ['portable', 'portable'],
    [undefined, allowed[0] ?? 'portable'],
  ])('says which version and file it was with --variant %s', (variant, served) => {
    const asked = variant === undefined ? [] : ['--variant', variant];
    const { stdout } = evaluate('--data', dark, '--models', 'moody@1', '--models-dir', variants, '--json', ...asked);

    expect(JSON.parse(stdout).scores).toMatchObject([{ model: 'moody@1', version: '1', variant: served, images: 1 }]);
  });

  it('writes an entry for each variant into the card', () => {
    const card = () => JSON.parse(readFileSync(join(variants, 'moody@1', 'model.json'), 'utf8'));
    const write = (...asked: string[]) =>
      evaluate('--data', dark, '--models', 'moody@1', '--models-dir', variants, '--write-card', 'two', ...asked);

    write('--variant', 'portable');
    write();
    write();

    const written = card().accuracy.map((entry: { variant: string }) => entry.variant);
    expect(written).toEqual([...new Set(['portable', allowed[0] ?? 'portable'])]);
  });

  it('refuses a variant that the folder does not have or the processor may not run', () => {
    const { status, stderr } = evaluate(
      '--data',
      data,
      '--models',
      'moody@1',
      '--models-dir',
      variants,
      '--variant',
      'x',
    );
    const names = [...allowed, 'portable'].join(', ');

    expect(status).toBe(1);
    expect(stderr).toBe(`Expected one of ${names} of moody@1 for --variant but received "x"\n`);
  });

  it('refuses data of classes that the models do not know', () => {
    const strange = join(root, 'strange');
    mkdirSync(strange);
    copyFileSync(join(data, 'n00000001_4.png'), join(strange, 'n00000001_4.png'));

    expect(evaluate('--data', strange)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('that the models know'),
    });
  });

  it.each([
    ['no data', [], 'a path for --data'],
    ['a limit of 0', ['--data', data, '--limit', '0'], 'a whole number above 0 for --limit'],
    ['an unknown option', ['--data', data, '--frob'], '--frob'],
    ['a model named twice', ['--data', data, '--models', 'mobilenet,mobilenet'], 'different names'],
    [
      'a card for part of the data',
      ['--data', data, '--limit', '1', '--write-card', 'x'],
      'the whole data for --write-card',
    ],
  ])('answers %s with its usage and status 2', (_circumstance, args, message) => {
    const { status, stderr } = evaluate(...args);

    expect(stderr).toContain(message);
    expect(stderr).toContain('Usage: npm run evaluate');
    expect(status).toBe(2);
  });
});
