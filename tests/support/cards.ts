import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';

const root = mkdtempSync(join(tmpdir(), 'understudy-catalog-'));
afterAll(() => rmSync(root, { recursive: true }));

export const weights = Buffer.from('weights');
export const otherWeights = Buffer.from('other weights');
export const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
export const input = {
  name: 'image',
  elementType: 'float32',
  layout: 'NCHW',
  resize: 64,
  crop: 64,
  mean: [0, 0, 0],
  std: [1, 1, 1],
};
export const card = {
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
export const labels = [
  { class: 'n1', label: 'one' },
  { class: 'n2', label: 'two' },
];
export const lookup = Array.from({ length: 3 }, () => Array.from({ length: 256 }, (_, value) => 255 - value));
export const variant = {
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
export function folderWith({
  name = 'small',
  model = card as object | string,
  names = labels as unknown,
  bytes = weights,
  variantBytes = otherWeights as Buffer | null,
} = {}) {
  folders += 1;
  const dir = join(root, String(folders), name);
  mkdirSync(dir, { recursive: true });
  if (variantBytes !== null) writeFileSync(join(dir, 'fast.onnx'), variantBytes);
  writeFileSync(join(dir, 'fast.bin'), weights);
  writeFileSync(join(dir, 'model.json'), typeof model === 'string' ? model : JSON.stringify(model));
  writeFileSync(join(dir, 'labels.json'), JSON.stringify(names));
  writeFileSync(join(dir, 'model.onnx'), bytes);
  return join(root, String(folders));
}
