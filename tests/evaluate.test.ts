import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';

const program = fileURLToPath(new URL('../models/evaluate.js', import.meta.url));
const modelsDir = fileURLToPath(new URL('../../models', import.meta.url));
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

function evaluate(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, '--models-dir', modelsDir, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}

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

  it('writes the class of each image by each model', () => {
    const file = join(root, 'predictions.tsv');
    const { stdout } = evaluate('--data', data, '--models', 'mobilenet', '--predictions', file, '--limit', '2');

    const [header, row] = readFileSync(file, 'utf8').split('\n');
    expect(stdout).toMatch(/^model +images +top-1 +top-5 +ms per run\nmobilenet +1 /);
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
    expect(after.accuracy.at(-1)).toMatchObject({ data: 'two of one color', images: 2 });
    expect({ ...after, accuracy: [] }).toEqual({ ...before, accuracy: [] });
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
