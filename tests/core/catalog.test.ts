import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { listCandidates, readModelSpec, verifyFiles } from '../../functions/core/card/catalog.ts';
import { instructionsOf } from '../../functions/core/card/instructions.ts';
import { imageCard } from '../../functions/tasks/image/card.ts';

const root = mkdtempSync(join(tmpdir(), 'understudy-catalog-'));
afterAll(() => rmSync(root, { recursive: true }));

const weights = Buffer.from('weights');
const otherWeights = Buffer.from('other weights');
const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const input = {
  name: 'image',
  elementType: 'float32',
  layout: 'NCHW',
  resize: 64,
  crop: 64,
  mean: [0, 0, 0],
  std: [1, 1, 1],
};
const card = {
  name: 'small',
  version: '1',
  family: 'test',
  file: 'model.onnx',
  sha256: sha256Of(weights),
  labels: 'labels.json',
  input,
  output: { name: 'logits' },
  golden: { logits: [1, 2], tolerance: 0.001 },
};
const labels = [
  { class: 'n1', label: 'one' },
  { class: 'n2', label: 'two' },
];
const lookup = Array.from({ length: 3 }, () => Array.from({ length: 256 }, (_, value) => 255 - value));
const variant = {
  name: 'fast',
  instructions: 'x64-avx2',
  precision: 'int8',
  file: 'fast.onnx',
  sha256: sha256Of(otherWeights),
  externalData: [{ file: 'fast.bin', sha256: sha256Of(weights) }],
  optimizedBy: '1.30.0',
  input: { name: 'pixels', elementType: 'uint8', layout: 'NHWC', resize: 64, crop: 64, kernel: 'linear', lookup },
  output: { name: 'scores' },
  golden: { logits: [3, 4], tolerance: 0.1 },
  measured: { runMs: 1 },
};
let folders = 0;

/** Writes a model folder below a directory of its own; `null` leaves a file out. */
function folderWith({
  name = 'small',
  model = card as object | string | null,
  names = labels as unknown,
  bytes = weights as Buffer | null,
  variantBytes = otherWeights as Buffer | null,
} = {}) {
  folders += 1;
  const dir = join(root, String(folders), name);
  mkdirSync(dir, { recursive: true });
  if (variantBytes !== null) writeFileSync(join(dir, 'fast.onnx'), variantBytes);
  writeFileSync(join(dir, 'fast.bin'), weights);
  if (model !== null) writeFileSync(join(dir, 'model.json'), typeof model === 'string' ? model : JSON.stringify(model));
  if (names !== null) writeFileSync(join(dir, 'labels.json'), JSON.stringify(names));
  if (bytes !== null) writeFileSync(join(dir, 'model.onnx'), bytes);
  return join(root, String(folders));
}

describe('readModelSpec', () => {
  it('returns a verified folder', () => {
    const dir = folderWith();

    expect(readModelSpec(dir, 'small', imageCard)).toEqual({
      folder: 'small',
      name: 'small',
      version: '1',
      variant: 'portable',
      path: join(dir, 'small', 'model.onnx'),
      files: [{ path: join(dir, 'small', 'model.onnx'), sha256: card.sha256 }],
      optimizedBy: null,
      input: { name: 'image' },
      output: card.output,
      details: { input: { ...input, kernel: 'linear' }, labels, golden: card.golden },
    });
  });

  it('takes a folder that is called name@version', () => {
    const dir = folderWith({ name: 'small@1' });

    expect(readModelSpec(dir, 'small@1', imageCard)).toMatchObject({ folder: 'small@1', name: 'small', version: '1' });
  });

  it.each([
    [undefined, 'linear'],
    ['linear', 'linear'],
    ['cubic', 'cubic'],
  ])('takes the kernel %s as %s', (kernel, expected) => {
    const spec = readModelSpec(folderWith({ model: { ...card, input: { ...input, kernel } } }), 'small', imageCard);

    expect(spec.details.input.kernel).toBe(expected);
  });

  it('takes the portable file where the best variant is not what its card says', () => {
    const dir = folderWith({ model: { ...card, variants: [variant] }, variantBytes: null });

    expect(readModelSpec(dir, 'small', imageCard, ['x64-avx2']).variant).toBe('portable');
  });

  it.each([
    ['no card', { model: null }, /model\.json: Expected a file but received nothing/],
    ['a card that is no JSON', { model: '{' }, /model\.json: Expected JSON but received a fault: /],
    ['another name', { model: { ...card, name: 'big' } }, /Expected "small" .* for name but received "big"/],
    ['another version', { name: 'small@2' }, /Expected "small@2" .* for name@version but received "small@1"/],
    [
      'a typo',
      { model: { ...card, sha256: undefined, sha265: card.sha256 } },
      /one of name, .*, variants for a field of the card but received "sha265"\n.*for sha256 but received nothing/,
    ],
    ['a typo below', { model: { ...card, input: { ...input, kernal: 'cubic' } } }, /received "input\.kernal"/],
    ['an unknown kernel', { model: { ...card, input: { ...input, kernel: 'lanczos3' } } }, /input\.kernel but/],
    ['a file elsewhere', { model: { ...card, file: '../model.onnx' } }, /a file name for file but/],
    ['a short hash', { model: { ...card, sha256: 'abc' } }, /64 hexadecimal digits for sha256 but received "abc"/],
    ['variants of another shape', { model: { ...card, variants: {} } }, /a list for variants/],
    [
      'external data of another shape',
      { model: { ...card, externalData: { file: 'model.bin' } } },
      /a list for externalData/,
    ],
    [
      'external data without a hash',
      { model: { ...card, externalData: [{ file: 'model.bin' }] } },
      /64 hexadecimal digits for externalData\[0\]\.sha256/,
    ],
    ['no version', { model: { ...card, version: '' } }, /Expected text for version/],
    ['an unknown element type', { model: { ...card, input: { ...input, elementType: 'int8' } } }, /input\.elementType/],
    [
      'a crop of 0',
      { model: { ...card, input: { ...input, crop: 0 } } },
      /from 1 to 1024 for input\.crop but received 0/,
    ],
    [
      'a resize below the crop',
      { model: { ...card, input: { ...input, resize: 63 } } },
      /input\.resize but received 63/,
    ],
    ['a std of 0', { model: { ...card, input: { ...input, std: [1, 0, 1] } } }, /input\.std/],
    ['golden logits of text', { model: { ...card, golden: { logits: ['1'], tolerance: 1 } } }, /golden\.logits/],
    [
      'too few labels',
      { names: labels.slice(1) },
      /labels\.json: Expected 2 labels \(one a logit of model\.onnx\) but received 1/,
    ],
    ['labels of another shape', { names: ['one', 'two'] }, /Expected a list of \{"class", "label"\}/],
    ['no weights', { bytes: null }, /model\.onnx: Expected SHA-256 .* but received no file/],
    ['weights cut short', { bytes: weights.subarray(1) }, /model\.onnx: Expected SHA-256 .* [0-9a-f]{64} \(6 bytes\)$/],
    [
      'a short lookup table',
      { model: { ...card, input: { ...input, elementType: 'uint8', lookup: [[1], [2], [3]] } } },
      /input\.lookup/,
    ],
  ])('refuses a folder with %s', (_what, folder, message) => {
    const dir = folderWith(folder);
    const { name = 'small' } = folder as { name?: string };

    expect(() => readModelSpec(dir, name, imageCard)).toThrow(message);
  });

  it('reports all faults of a card at once', () => {
    const dir = folderWith({ model: { ...card, version: 1, input: { ...input, layout: 'CHW' } } });

    expect(() => readModelSpec(dir, 'small', imageCard)).toThrow(/version.*\n.*input\.layout/);
  });
});

describe('listCandidates', () => {
  const both = { ...card, variants: [variant, { ...variant, name: 'wide', instructions: 'x64-avx512' }] };

  it.each([
    [[], ['portable']],
    [['arm64'], ['portable']],
    [['x64-avx2'], ['fast', 'portable']],
    [
      ['x64-avx512-vnni', 'x64-avx512'],
      ['wide', 'portable'],
    ],
    [
      ['x64-avx2', 'x64-avx512'],
      ['fast', 'wide', 'portable'],
    ],
  ])('lists for a processor of %j the variants in the order of the card, the portable file last', (sets, names) => {
    const candidates = listCandidates(folderWith({ model: both }), 'small', imageCard, sets);

    expect(candidates.map((candidate) => candidate.variant)).toEqual(names);
  });

  it('gives a variant its own file, input, output and golden case, and the labels of the card', () => {
    const dir = folderWith({ model: both });

    expect(listCandidates(dir, 'small', imageCard, ['x64-avx2'])[0]).toMatchObject({
      name: 'small',
      variant: 'fast',
      path: join(dir, 'small', 'fast.onnx'),
      files: [
        { path: join(dir, 'small', 'fast.onnx'), sha256: variant.sha256 },
        { path: join(dir, 'small', 'fast.bin'), sha256: card.sha256 },
      ],
      optimizedBy: '1.30.0',
      input: { name: 'pixels' },
      output: { name: 'scores' },
      details: { input: variant.input, golden: variant.golden, labels },
    });
  });

  it('reads no weights: that a file is missing shows when it is verified', () => {
    const dir = folderWith({ model: both, variantBytes: null });
    const [fast, rest] = listCandidates(dir, 'small', imageCard, ['x64-avx2']);

    expect(() => verifyFiles(fast)).toThrow(/fast\.onnx: Expected SHA-256 .* but received no file$/);
    expect(() => verifyFiles(rest as typeof fast)).not.toThrow();
  });

  it('verifies external data, too', () => {
    const externalData = [{ file: 'fast.bin', sha256: sha256Of(otherWeights) }];
    const dir = folderWith({ model: { ...card, variants: [{ ...variant, externalData }] } });
    const [fast] = listCandidates(dir, 'small', imageCard, ['x64-avx2']);

    expect(() => verifyFiles(fast)).toThrow(/fast\.bin: Expected SHA-256 .* \(7 bytes\)$/);
  });

  it.each([
    ['a typo', { ...variant, optimisedBy: null }, /received "variants\[0\]\.optimisedBy"/],
    ['no name', { ...variant, name: undefined }, /a name of its own for variants\[0\]\.name but received nothing/],
    ['the name of the portable file', { ...variant, name: 'portable' }, /a name of its own/],
    ['unknown instructions', { ...variant, instructions: 'avx2' }, /one of x64-avx512-vnni, .*arm64 for variants\[0\]/],
    ['an unknown precision', { ...variant, precision: 'int4' }, /"int8" or "float32" for variants\[0\]\.precision/],
    ['no optimizedBy', { ...variant, optimizedBy: undefined }, /version or null for variants\[0\]\.optimizedBy/],
    ['no input', { ...variant, input: undefined }, /variants\[0\]\.input\.crop/],
    ['another number of logits', { ...variant, golden: { logits: [1], tolerance: 1 } }, /1 labels .* of fast\.onnx/],
  ])('refuses a folder whose variant has %s, whatever the processor', (_what, faulty, message) => {
    const dir = folderWith({ model: { ...card, variants: [faulty] } });

    expect(() => listCandidates(dir, 'small', imageCard, [])).toThrow(message);
  });

  it('refuses two variants of one name', () => {
    const dir = folderWith({ model: { ...card, variants: [variant, variant] } });

    expect(() => listCandidates(dir, 'small', imageCard, [])).toThrow(/a name of its own for variants\[1\]\.name/);
  });

  it('accepts every class that a processor may have', () => {
    const texts = ['avx512f avx512_vnni', 'avx512f', 'avx2 avx_vnni', 'avx2'].map((flags) => `flags : ${flags}\n`);
    const sets = new Set([...texts.flatMap((text) => instructionsOf('x64', text)), ...instructionsOf('arm64', '')]);
    const variants = [...sets].map((instructions) => ({ ...variant, name: instructions, instructions }));

    expect(listCandidates(folderWith({ model: { ...card, variants } }), 'small', imageCard, [...sets])).toHaveLength(6);
  });
});
