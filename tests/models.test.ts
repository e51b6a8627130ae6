import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { readModelSpec } from '../functions/shared/catalog.ts';
import { decodeImage } from '../functions/shared/image.ts';
import { loadModel } from '../functions/shared/model.ts';
import { goldenPixels, toTensor } from '../functions/shared/tensor.ts';
import { topPredictions } from '../functions/shared/top.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const modelsDir = join(root, 'models');
const names = readdirSync(modelsDir).filter((name) => existsSync(join(modelsDir, name, 'model.json')));
const card = (name: string) => JSON.parse(readFileSync(join(modelsDir, name, 'model.json'), 'utf8'));
const text = expect.stringMatching(/\S/);
/** What the pictures in tests/images show. */
const pictures: Readonly<Record<string, string>> = {
  'test_image_1.jpg': 'goldfish',
  'test_image_2.jpg': 'school bus',
  'test_image_3.jpg': 'monarch butterfly',
};
const readme = readFileSync(join(modelsDir, 'README.md'), 'utf8');

it('serves a Wide ResNet and a MobileNet', () => {
  expect(names).toEqual(['mobilenet', 'wide-resnet']);
});

describe.each(names)('models/%s', (name) => {
  const spec = readModelSpec(modelsDir, name);

  it('tells on its card what it is, where it comes from and under which licenses', () => {
    expect(card(name)).toMatchObject({
      version: text,
      family: text,
      description: text,
      dataSet: { name: text, classes: 200, images: 100_000, license: text, source: text },
      license: 'Apache-2.0',
      provenance: text,
    });
  });

  it('has a measured accuracy on its card that the README repeats', () => {
    const { accuracy } = card(name);

    expect(accuracy).not.toEqual([]);
    for (const { data, top1, top5 } of accuracy) {
      const figures = [top1, top5].map((share) => `${(share * 100).toFixed(1)} %`);
      expect(readme).toContain(`| ${name} | ${data} | ${figures.join(' | ')} |`);
    }
  });

  it('has weights of at most 15 MB in a single file', () => {
    expect(statSync(spec.path).size).toBeLessThanOrEqual(15_000_000);
    expect(readdirSync(join(modelsDir, name)).sort()).toEqual(['labels.json', 'model.json', 'model.onnx']);
  });

  it('has 200 labels in the order of their WordNet ids, no two alike', () => {
    const classes = spec.labels.map((label) => label.class);

    expect(new Set(classes).size).toBe(200);
    expect(classes).toEqual([...classes].sort());
    expect(new Set(spec.labels.map((label) => label.label)).size).toBe(200);
  });

  it('gives the golden logits that ONNX Runtime for Python gave', async () => {
    const model = await loadModel(spec.path, spec.input.name, spec.output.name);
    const logits = await model.run(toTensor(goldenPixels(spec.input.crop), spec.input));
    await model.release();

    const gaps = spec.golden.logits.map((logit, index) => Math.abs(logit - (logits[index] as number)));
    expect(logits).toHaveLength(spec.golden.logits.length);
    expect(Math.max(...gaps)).toBeLessThan(spec.golden.tolerance);
  });

  for (const [file, label] of Object.entries(pictures)) {
    it(`names ${file} a ${label} in its top five`, async () => {
      const model = await loadModel(spec.path, spec.input.name, spec.output.name);
      const { pixels } = await decodeImage(readFileSync(join(root, 'tests/images', file)), spec.input, 40_000_000);
      const logits = await model.run(toTensor(pixels, spec.input));
      await model.release();

      expect(topPredictions(logits, spec.labels, 5).map((prediction) => prediction.label)).toContain(label);
    });
  }
});

describe('the pair', () => {
  const [one, other] = names.map((name) => readModelSpec(modelsDir, name));

  it('takes one tensor', () => {
    expect(one?.input).toEqual(other?.input);
  });

  it('has the same labels', () => {
    expect(one?.labels).toEqual(other?.labels);
  });
});
