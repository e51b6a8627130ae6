import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { readModelSpec } from '../functions/shared/catalog.ts';

const root = mkdtempSync(join(tmpdir(), 'understudy-catalog-'));
afterAll(() => rmSync(root, { recursive: true }));

const weights = Buffer.from('weights');
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
  sha256: createHash('sha256').update(weights).digest('hex'),
  labels: 'labels.json',
  input,
  output: { name: 'logits' },
  golden: { logits: [1, 2], tolerance: 0.001 },
};
const labels = [
  { class: 'n1', label: 'one' },
  { class: 'n2', label: 'two' },
];
let folders = 0;

/** Writes a model folder below a directory of its own; `null` leaves a file out. */
function folderWith({
  model = card as object | string | null,
  names = labels as unknown,
  bytes = weights as Buffer | null,
} = {}) {
  folders += 1;
  const dir = join(root, String(folders), 'small');
  mkdirSync(dir, { recursive: true });
  if (model !== null) writeFileSync(join(dir, 'model.json'), typeof model === 'string' ? model : JSON.stringify(model));
  if (names !== null) writeFileSync(join(dir, 'labels.json'), JSON.stringify(names));
  if (bytes !== null) writeFileSync(join(dir, 'model.onnx'), bytes);
  return join(root, String(folders));
}

describe('readModelSpec', () => {
  it('returns a verified folder', () => {
    const dir = folderWith();

    expect(readModelSpec(dir, 'small')).toMatchObject({
      name: 'small',
      path: join(dir, 'small', 'model.onnx'),
      labels,
      input,
    });
  });

  it('gives models of the same input recipe the same key, whatever the order or the name of the input', () => {
    const { name: _, ...recipe } = input;
    const one = readModelSpec(folderWith(), 'small');
    const same = readModelSpec(folderWith({ model: { ...card, input: { ...recipe, name: 'pixels' } } }), 'small');
    const other = readModelSpec(folderWith({ model: { ...card, input: { ...input, resize: 65 } } }), 'small');

    expect(same.inputKey).toBe(one.inputKey);
    expect(other.inputKey).not.toBe(one.inputKey);
  });

  it.each([
    ['no card', { model: null }, /model\.json: Expected a file but received nothing/],
    ['a card that is no JSON', { model: '{' }, /model\.json: Expected JSON/],
    ['another name', { model: { ...card, name: 'big' } }, /Expected "small" .* for name but received "big"/],
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
    ['too few labels', { names: labels.slice(1) }, /Expected 2 labels \(one a logit\) but received 1/],
    ['labels of another shape', { names: ['one', 'two'] }, /Expected a list of \{"class", "label"\}/],
    ['no weights', { bytes: null }, /model\.onnx: Expected SHA-256 .* but received no file/],
    ['other weights', { bytes: Buffer.from('cut') }, /model\.onnx: Expected SHA-256 .* but received [0-9a-f]{64}/],
    [
      'a short lookup table',
      { model: { ...card, input: { ...input, elementType: 'uint8', lookup: [[1], [2], [3]] } } },
      /input\.lookup/,
    ],
  ])('refuses a folder with %s', (_what, folder, message) => {
    const dir = folderWith(folder);

    expect(() => readModelSpec(dir, 'small')).toThrow(message);
  });

  it('reports all faults of a card at once', () => {
    const dir = folderWith({ model: { ...card, version: 1, input: { ...input, layout: 'CHW' } } });

    expect(() => readModelSpec(dir, 'small')).toThrow(/version.*\n.*input\.layout/);
  });
});
