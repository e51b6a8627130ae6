import { join } from 'node:path';
import { readTextFile, sha256OfFile } from './files.ts';

/** How an image becomes the model's input: the shorter side is resized to `resize` pixels, the middle `crop` x `crop` kept. */
export interface ModelInput {
  readonly name: string;
  readonly elementType: 'float32' | 'uint8';
  readonly layout: 'NCHW' | 'NHWC';
  readonly resize: number;
  readonly crop: number;
  /** With float32: per channel of 0 to 1, subtracted from the value. */
  readonly mean?: readonly number[];
  /** With float32: per channel of 0 to 1, what the difference is divided by. */
  readonly std?: readonly number[];
  /** With uint8, where the graph wants other bytes than the pixels: three tables of 256 bytes. */
  readonly lookup?: readonly (readonly number[])[];
}

export interface Label {
  /** WordNet id, such as n02099601. */
  readonly class: string;
  /** What a person would say. */
  readonly label: string;
}

/** A model folder, read and verified; nothing in it is loaded yet. */
export interface ModelSpec {
  readonly name: string;
  readonly version: string;
  readonly family: string;
  /** Path of the ONNX file. */
  readonly path: string;
  readonly input: ModelInput;
  /** Models with the same key take the same tensor. */
  readonly inputKey: string;
  readonly output: { readonly name: string };
  readonly labels: readonly Label[];
  /** The logits that the generated golden image must give, each within `tolerance`. */
  readonly golden: { readonly logits: readonly number[]; readonly tolerance: number };
}

/** A model folder that must not be served: the message names each file, what was expected of it and what was found. */
export class ModelError extends Error {
  override readonly name = 'ModelError';
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads and verifies `modelsDir/name`: the card, the labels and the SHA-256 of the weights.
 * @throws ModelError that lists every fault of the folder
 */
export function readModelSpec(modelsDir: string, name: string): ModelSpec {
  const folder = join(modelsDir, name);
  const cardPath = join(folder, 'model.json');
  const faults: string[] = [];
  const expect = (met: boolean, what: string, field: string, received: unknown): void => {
    if (!met) faults.push(`${cardPath}: Expected ${what} for ${field} but received ${JSON.stringify(received)}`);
  };

  const card = readJson(cardPath) as Json;
  const input = asObject(card.input);
  const output = asObject(card.output);
  const golden = asObject(card.golden);
  expect(card.name === name, `"${name}" (the folder's name)`, 'name', card.name);
  for (const field of ['version', 'family', 'file', 'sha256', 'labels'] as const) {
    expect(isText(card[field]), 'text', field, card[field]);
  }
  expect(isText(input.name), 'text', 'input.name', input.name);
  expect(isText(output.name), 'text', 'output.name', output.name);
  const isFloat = input.elementType === 'float32';
  expect(isFloat || input.elementType === 'uint8', '"float32" or "uint8"', 'input.elementType', input.elementType);
  expect(input.layout === 'NCHW' || input.layout === 'NHWC', '"NCHW" or "NHWC"', 'input.layout', input.layout);
  expect(isSide(input.crop), 'a whole number from 1 to 1024', 'input.crop', input.crop);
  expect(
    isSide(input.resize) && Number(input.resize) >= Number(input.crop),
    'a whole number from input.crop to 1024',
    'input.resize',
    input.resize,
  );
  if (isFloat) {
    expect(areNumbers(input.mean, 3), 'three numbers', 'input.mean', input.mean);
    expect(
      areNumbers(input.std, 3) && (input.std as number[]).every((value) => value > 0),
      'three numbers above 0',
      'input.std',
      input.std,
    );
  } else if (input.lookup !== undefined) {
    expect(areByteTables(input.lookup), 'three tables of 256 bytes', 'input.lookup', typeof input.lookup);
  }
  expect(areNumbers(golden.logits), 'numbers', 'golden.logits', typeof golden.logits);
  expect(
    typeof golden.tolerance === 'number' && golden.tolerance > 0,
    'a number above 0',
    'golden.tolerance',
    golden.tolerance,
  );
  if (faults.length > 0) throw new ModelError(faults.join('\n'));

  const labelsPath = join(folder, String(card.labels));
  const labels = readJson(labelsPath);
  const logits = golden.logits as number[];
  if (!areLabels(labels)) {
    faults.push(`${labelsPath}: Expected a list of {"class", "label"} for labels but received something else`);
  } else if (labels.length !== logits.length) {
    faults.push(`${labelsPath}: Expected ${logits.length} labels (one a logit) but received ${labels.length}`);
  }
  const path = join(folder, String(card.file));
  const sha256 = sha256OfFile(path);
  if (sha256 !== card.sha256) {
    faults.push(`${path}: Expected SHA-256 ${card.sha256} but received ${sha256 ?? 'no file'}`);
  }
  if (faults.length > 0) throw new ModelError(faults.join('\n'));

  return {
    name,
    version: String(card.version),
    family: String(card.family),
    path,
    input: input as unknown as ModelInput,
    inputKey: JSON.stringify(
      Object.entries(input)
        .filter(([field]) => field !== 'name')
        .sort(),
    ),
    output: { name: String(output.name) },
    labels: labels as Label[],
    golden: { logits, tolerance: golden.tolerance as number },
  };
}

function readJson(path: string): unknown {
  const text = readTextFile(path);
  if (text === undefined) throw new ModelError(`${path}: Expected a file but received nothing`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelError(`${path}: Expected JSON but received something else`, { cause });
  }
}

function asObject(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isSide(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 1024;
}

function areNumbers(value: unknown, length?: number): boolean {
  if (!Array.isArray(value) || value.length === 0 || (length !== undefined && value.length !== length)) return false;
  return value.every((entry) => Number.isFinite(entry));
}

function areByteTables(value: unknown): boolean {
  const isByte = (entry: unknown) => Number.isInteger(entry) && Number(entry) >= 0 && Number(entry) <= 255;
  return (
    Array.isArray(value) &&
    value.length === 3 &&
    value.every((table) => Array.isArray(table) && table.length === 256 && table.every(isByte))
  );
}

function areLabels(value: unknown): value is Label[] {
  return Array.isArray(value) && value.every((entry) => isText(asObject(entry).class) && isText(asObject(entry).label));
}
