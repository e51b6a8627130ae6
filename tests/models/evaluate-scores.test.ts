import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { changeCard, makeModelsDir } from '../support/models.ts';
import { runProgram } from '../support/program.ts';
import { plain } from '../support/served.ts';

const program = fileURLToPath(new URL('../../models/evaluate.js', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'understudy-evaluate-scores-'));
const modelsDir = makeModelsDir({ moody: 'moody' });
afterAll(() => {
  for (const dir of [root, modelsDir]) rmSync(dir, { recursive: true });
});

/** The test model with two classes that pictures can be of, and a variant for each class of processors. */
changeCard(join(modelsDir, 'moody'), (card) => {
  const { file, sha256, input, output, golden } = card;
  const graph = { precision: 'float32', optimizedBy: null, file, sha256, input, output, golden };
  const classes = ['x64-avx512-vnni', 'x64-avx512', 'x64-avx2-vnni', 'x64-avx2', 'arm64'];
  return { ...card, accuracy: [], variants: classes.map((name) => ({ name, instructions: name, ...graph })) };
});
const labels = ['n01443537', 'n02099601'].map((name) => ({ class: name, label: name }));
writeFileSync(join(modelsDir, 'moody', 'labels.json'), JSON.stringify(labels));

/** Two pictures that the model answers at once, of which a temperature is fitted on one; and one alone. */
const [pair, dark] = [join(root, 'pair'), join(root, 'dark')];
for (const place of [pair, dark]) mkdirSync(place);
for (const file of [join(pair, 'n01443537_1.png'), join(pair, 'n01443537_2.png'), join(dark, 'n01443537_1.png')]) {
  writeFileSync(file, await plain('black'));
}

const evaluate = (...args: string[]) => runProgram(program, '--models-dir', modelsDir, ...args);

describe('evaluate', () => {
  it('fits a temperature on half of the images, and writes it beside the file that was run', () => {
    const temperatures = () => {
      const card = JSON.parse(readFileSync(join(modelsDir, 'moody', 'model.json'), 'utf8'));
      return [card, ...card.variants].map(({ temperature }) => temperature);
    };
    const evaluatePair = (...args: string[]) =>
      evaluate('--data', pair, '--models', 'moody', '--fit-temperature', ...args);
    const before = temperatures();

    const { scores } = JSON.parse(evaluatePair('--json').stdout);

    // Its second class has the higher logit, and the images are of the first: the less certain, the better.
    expect(scores[0]).toMatchObject({
      calibrationError: expect.closeTo(0.731, 3),
      calibration: { fittedOn: 1, images: 1, before: expect.closeTo(0.731, 3), after: expect.closeTo(0.512, 2) },
    });
    expect(temperatures()).toEqual(before);
    expect(evaluatePair('--variant', 'portable', '--write-card', 'two').stdout).toMatch(
      /fitted on +temperature.*\nmoody +portable +1 +/,
    );
    expect(temperatures()).toEqual([expect.closeTo(20, 0), ...before.slice(1)]);
    expect(evaluate('--data', dark, '--models', 'moody', '--fit-temperature')).toMatchObject({
      status: 1,
      stderr: 'Expected two images of a class for --fit-temperature but received one\n',
    });
  });

  it('fits no temperature where scores are not shares of one whole', () => {
    changeCard(join(modelsDir, 'moody'), (card) => ({ ...card, output: { ...card.output, activation: 'sigmoid' } }));

    const args = ['--data', pair, '--models', 'moody', '--variant', 'portable'];
    const { status, stderr } = evaluate(...args, '--fit-temperature');

    changeCard(join(modelsDir, 'moody'), (card) => ({ ...card, output: { name: card.output.name } }));
    expect(status).toBe(1);
    expect(stderr).toBe('Expected models with softmax for --fit-temperature but received moody with sigmoid\n');
  });

  it('tells what broader answers are worth at each threshold, by models with ancestors', () => {
    const place = join(modelsDir, 'moody');
    writeFileSync(
      join(place, 'ancestors.json'),
      '[{"class": "n9", "label": "pet", "narrower": ["n01443537", "n02099601"]}]',
    );
    changeCard(place, (card) => ({ ...card, ancestors: 'ancestors.json' }));
    const ask = (...args: string[]) => evaluate('--data', pair, '--models', 'moody', '--broader', '0.4,.9', ...args);

    const [low, high] = JSON.parse(ask('--json').stdout).scores[0].broader;

    expect(low).toMatchObject({ threshold: 0.4, sure: 1, sureRight: 0, broader: 0 });
    expect(high).toMatchObject({
      threshold: 0.9,
      sure: 0,
      broader: 1,
      broaderRight: 1,
      broaderTop1: 0,
      medianClasses: 2,
    });
    expect(ask().stdout).toMatch(/threshold .*\nmoody +\S+ +0\.4 +100\.00 %/);
  });

  it.each([
    ['above 1', '0.5,1.5'],
    ['below 0', '-0.5'],
    ['that is no number', 'half'],
    ['that is not there', ''],
  ])('refuses a threshold %s', (_circumstance, thresholds) => {
    const { status, stderr } = evaluate('--data', pair, `--broader=${thresholds}`);

    expect(status).toBe(2);
    expect(stderr).toContain(`numbers from 0 to 1, separated by commas, for --broader but received "${thresholds}"`);
  });
});
