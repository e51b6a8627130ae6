import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import type { ModelSpec } from '../../functions/core/card/card.ts';
import { listCandidates, readModelSpec, verifyFiles } from '../../functions/core/card/catalog.ts';
import { allowedInstructions } from '../../functions/core/card/instructions.ts';
import { answerBy, loadModel, prove } from '../../functions/core/pool/session.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { goldenPixels } from '../../functions/tasks/classify/tensor.ts';
import { type ClassifyOutput, thread } from '../../functions/tasks/classify/thread.ts';
import { topPredictions } from '../../functions/tasks/classify/top.ts';
import type { ImageModel } from '../../functions/tasks/image/card.ts';
import { decodeImage, type Pixels } from '../../functions/tasks/image/image.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const modelsDir = join(root, 'models');
const names = classify.models.map(({ embedded }) => embedded).sort();
const card = (name: string) => JSON.parse(readFileSync(join(modelsDir, name, 'model.json'), 'utf8'));
const text = expect.stringMatching(/\S/);
/** What the pictures in tests/images show. */
const pictures: Readonly<Record<string, string>> = {
  'test_image_1.jpg': 'goldfish',
  'test_image_2.jpg': 'school bus',
  'test_image_3.jpg': 'monarch butterfly',
};
const readme = readFileSync(join(modelsDir, 'README.md'), 'utf8');

/** What a file makes of the pixels. */
async function run(spec: ModelSpec<ImageModel>, pixels: Pixels): Promise<Float32Array> {
  const model = await loadModel(spec);
  try {
    return ((await answerBy(model, thread, spec.details)(pixels)) as ClassifyOutput).logits;
  } finally {
    await model.release();
  }
}

describe.each(names)('models/%s', (name) => {
  const spec = readModelSpec(modelsDir, name, classify.card);

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
    for (const { data, variant, top1, top5 } of accuracy) {
      const figures = [top1, top5].map((share) => `${(share * 100).toFixed(1)} %`);
      expect(readme).toContain(`| ${name} | ${variant} | ${data} | ${figures.join(' | ')} |`);
    }
  });

  it('has weights of at most 15 MB a file, and no file that its card does not name', () => {
    const { variants = [] } = card(name);
    const graphs = [card(name), ...variants].flatMap(({ file, externalData = [] }) => [file, ...externalData]);
    const files = graphs.map((data) => data.file ?? data);

    const { labels, ancestors, languages } = card(name);
    const tables = [labels, ancestors, ...Object.values(languages)];
    expect(readdirSync(join(modelsDir, name)).sort()).toEqual(['model.json', ...tables, ...new Set(files)].sort());
    for (const file of files) expect(statSync(join(modelsDir, name, file)).size).toBeLessThanOrEqual(15_000_000);
  });

  it('has 200 labels in the order of their WordNet ids, no two alike', () => {
    const classes = spec.details.labels.map((label) => label.class);

    expect(new Set(classes).size).toBe(200);
    expect(classes).toEqual([...classes].sort());
    expect(new Set(spec.details.labels.map((label) => label.label)).size).toBe(200);
  });

  it('has a German label for each class and each ancestor, no two alike', () => {
    const named = [...spec.details.labels, ...(spec.details.ancestors ?? [])].map((entry) => entry.class);
    const german = spec.details.languages?.find(({ tag }) => tag === 'de')?.labels;

    expect([...(german?.keys() ?? [])].sort()).toEqual([...named].sort());
    expect(new Set(german?.values()).size).toBe(named.length);
  });

  it('has a temperature for each of its files', () => {
    expect([card(name), ...card(name).variants].map(({ temperature }) => temperature)).not.toContain(undefined);
  });

  it('gives the golden logits that ONNX Runtime for Python gave', async () => {
    const logits = await run(spec, goldenPixels(spec.details.input.crop));

    const gaps = spec.details.golden.logits.map((logit, index) => Math.abs(logit - (logits[index] as number)));
    expect(logits).toHaveLength(spec.details.golden.logits.length);
    expect(Math.max(...gaps)).toBeLessThan(spec.details.golden.tolerance);
  });

  const candidates = listCandidates(modelsDir, name, classify.card, allowedInstructions());

  it.each(candidates.map((candidate) => [candidate.variant, candidate] as const))(
    'has a file %s that passes its golden case and names the pictures',
    async (_variant, candidate) => {
      verifyFiles(candidate);
      const { input } = candidate.details;
      const model = await loadModel(candidate);
      await prove(answerBy(model, thread, candidate.details), thread, candidate.details);
      await model.release();

      for (const [file, label] of Object.entries(pictures)) {
        const { pixels } = await decodeImage(readFileSync(join(root, 'tests/images', file)), input, 40_000_000);
        const predictions = topPredictions(await run(candidate, pixels), candidate.details, 5);
        expect(predictions.map((prediction) => prediction.label)).toContain(label);
      }
    },
  );
});

describe('the pair', () => {
  const [one, other] = names.map((name) => readModelSpec(modelsDir, name, classify.card));

  it('takes one image', () => {
    const geometryOf = (spec?: ModelSpec<ImageModel>) => spec && classify.keyOf(spec.details);

    expect(geometryOf(one)).toEqual(geometryOf(other));
  });

  it('has the same labels', () => {
    expect(one?.details.labels).toEqual(other?.details.labels);
  });
});
