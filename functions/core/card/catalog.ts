import { join } from 'node:path';
import { type Digest, digestOfFile, readTextFile } from '../files.ts';

/** How an image becomes the model's input: the shorter side is resized to `resize` pixels, the middle `crop` x `crop` kept. */
export interface ModelInput {
  readonly name: string;
  readonly elementType: 'float32' | 'uint8';
  readonly layout: 'NCHW' | 'NHWC';
  readonly resize: number;
  readonly crop: number;
  /** How pixels are weighted: as Pillow's bilinear or bicubic resize does it. */
  readonly kernel: 'linear' | 'cubic';
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

/** One of the files that give a model's answers, with all that it takes to serve it; nothing is loaded yet. */
export interface ModelSpec {
  /** Name of the model folder: the model's name, or name@version. */
  readonly folder: string;
  readonly name: string;
  readonly version: string;
  readonly family: string;
  /** Name of the variant, `portable` for the file that runs anywhere. */
  readonly variant: string;
  /** Path of the ONNX file. */
  readonly path: string;
  /** Every file of the graph, the ONNX file first, with the SHA-256 that it must have. */
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
  /** Version of ONNX Runtime whose optimizer wrote the file and which alone may load it; null for a plain graph. */
  readonly optimizedBy: string | null;
  readonly input: ModelInput;
  readonly output: { readonly name: string };
  readonly labels: readonly Label[];
  /** The logits that the generated golden image must give, each within `tolerance`. */
  readonly golden: { readonly logits: readonly number[]; readonly tolerance: number };
}

/** A model folder or file that must not be served: each line names a file, what was expected of it and what was found. */
export class ModelError extends Error {
  override readonly name = 'ModelError';
}

/** The name of the file that every folder has and every processor runs. */
export const portable = 'portable';

/** Whatever else stands in a card is a typo; what only people read is in `description` to `accuracy`, `gates` and `measured`. */
const known = {
  card: [
    ...['name', 'version', 'family', 'description', 'dataSet', 'license', 'provenance', 'accuracy', 'gates'],
    ...['file', 'sha256', 'externalData', 'labels', 'input', 'output', 'golden', 'variants'],
  ],
  variant: [
    ...['name', 'instructions', 'precision', 'optimizedBy', 'measured'],
    ...['file', 'sha256', 'externalData', 'input', 'output', 'golden'],
  ],
  input: ['name', 'elementType', 'layout', 'resize', 'crop', 'kernel', 'mean', 'std', 'lookup'],
  output: ['name'],
  golden: ['logits', 'tolerance'],
  externalData: ['file', 'sha256'],
};

/** What a variant may ask of a processor; `instructions.ts` tells which of them there are. */
const instructionSets = ['x64-avx512-vnni', 'x64-avx512', 'x64-avx2-vnni', 'x64-avx2', 'arm64'];

type Json = Readonly<Record<string, unknown>>;

/** Notes a fault unless it is met. */
type Expect = (met: boolean, what: string, field: string, received: unknown) => void;

/**
 * The files of a model folder that a processor of these instruction sets may run, best first and the portable one last. The card
 * and the labels are read and judged as a whole; of the files nothing is read: see `verifyFiles`.
 * @throws ModelError that lists every fault
 */
export function listCandidates(
  modelsDir: string,
  folder: string,
  instructions: readonly string[],
): readonly [ModelSpec, ...ModelSpec[]] {
  const place = join(modelsDir, folder);
  const cardPath = join(place, 'model.json');
  const card = asObject(readJson(cardPath));
  const variants = asList(card.variants);
  const cardFaults = judge(cardPath, (expect) => judgeCard(card, variants, folder, expect));
  if (cardFaults.length > 0) throw new ModelError(cardFaults.join('\n'));

  const labelsPath = join(place, String(card.labels));
  const labels = readJson(labelsPath);
  if (!areLabels(labels)) {
    throw new ModelError(`${labelsPath}: Expected a list of {"class", "label"} for labels but received something else`);
  }
  const countFaults = [card, ...variants].flatMap(({ file, golden }) => {
    const { length } = asObject(golden).logits as unknown[];
    if (length === labels.length) return [];
    return [`${labelsPath}: Expected ${length} labels (one a logit of ${file}) but received ${labels.length}`];
  });
  if (countFaults.length > 0) throw new ModelError(countFaults.join('\n'));

  const toSpec = (entry: Json, variant: string): ModelSpec => {
    const input = { kernel: 'linear', ...asObject(entry.input) } as ModelInput;
    return {
      folder,
      name: String(card.name),
      version: String(card.version),
      family: String(card.family),
      variant,
      path: join(place, String(entry.file)),
      files: [entry, ...asList(entry.externalData)].map(({ file, sha256 }) => ({
        path: join(place, String(file)),
        sha256: String(sha256),
      })),
      optimizedBy: (entry.optimizedBy ?? null) as string | null,
      input,
      output: entry.output as ModelSpec['output'],
      labels,
      golden: entry.golden as ModelSpec['golden'],
    };
  };
  const suited = variants.filter((variant) => instructions.includes(String(variant.instructions)));
  const specs = [...suited.map((variant) => toSpec(variant, String(variant.name))), toSpec(card, portable)];
  return specs as [ModelSpec, ...ModelSpec[]];
}

/** Reads the graph's files and compares their SHA-256 with the card's. @throws ModelError that lists every fault */
export function verifyFiles({ files }: ModelSpec): void {
  const faults = files.flatMap(({ path, sha256 }) => {
    const found = tellDigest(path);
    return found.sha256 === sha256
      ? []
      : [`${path}: Expected SHA-256 ${sha256} for its bytes but received ${found.told}`];
  });
  if (faults.length > 0) throw new ModelError(faults.join('\n'));
}

/**
 * The best of `listCandidates` whose files are as the card says.
 * @throws ModelError that lists every fault when there is none
 */
export function readModelSpec(modelsDir: string, folder: string, instructions: readonly string[] = []): ModelSpec {
  const faults: string[] = [];
  for (const spec of listCandidates(modelsDir, folder, instructions)) {
    try {
      verifyFiles(spec);
      return spec;
    } catch (fault) {
      faults.push((fault as ModelError).message);
    }
  }
  throw new ModelError(faults.join('\n'));
}

function judge(path: string, look: (expect: Expect) => void): string[] {
  const faults: string[] = [];
  look((met, what, field, received) => {
    const told = received === undefined ? 'nothing' : JSON.stringify(received);
    if (!met) faults.push(`${path}: Expected ${what} for ${field} but received ${told}`);
  });
  return faults;
}

function judgeCard(card: Json, variants: readonly Json[], folder: string, expect: Expect): void {
  judgeFields(card, known.card, '', expect);
  const isVersioned = folder.includes('@');
  const received = isVersioned ? `${card.name}@${card.version}` : card.name;
  expect(received === folder, `"${folder}" (the folder's name)`, isVersioned ? 'name@version' : 'name', received);
  for (const field of ['version', 'family'] as const) expect(isText(card[field]), 'text', field, card[field]);
  expect(isFileName(card.labels), 'a file name', 'labels', card.labels);
  judgeGraph(card, '', expect);
  expect(card.variants === undefined || Array.isArray(card.variants), 'a list', 'variants', card.variants);
  for (const [index, variant] of variants.entries()) {
    const where = `variants[${index}].`;
    const { name, instructions, precision, optimizedBy } = variant;
    judgeFields(variant, known.variant, where, expect);
    const isUnique = variants.findIndex((other) => other.name === name) === index;
    expect(isText(name) && name !== portable && isUnique, 'a name of its own', `${where}name`, name);
    const classes = instructionSets.join(', ');
    expect(instructionSets.includes(String(instructions)), `one of ${classes}`, `${where}instructions`, instructions);
    expect(precision === 'int8' || precision === 'float32', '"int8" or "float32"', `${where}precision`, precision);
    const isVersion = optimizedBy === null || isText(optimizedBy);
    expect(isVersion, "ONNX Runtime's version or null", `${where}optimizedBy`, optimizedBy);
    judgeGraph(variant, where, expect);
  }
}

/** What the card as a whole and each variant say of an ONNX file. */
function judgeGraph(entry: Json, where: string, expect: Expect): void {
  const { externalData } = entry;
  const isList = externalData === undefined || Array.isArray(externalData);
  expect(isList, 'a list', `${where}externalData`, externalData);
  for (const [index, data] of [entry, ...asList(externalData)].entries()) {
    const part = index === 0 ? where : `${where}externalData[${index - 1}].`;
    if (index > 0) judgeFields(data, known.externalData, part, expect);
    expect(isFileName(data.file), 'a file name', `${part}file`, data.file);
    expect(/^[0-9a-f]{64}$/.test(String(data.sha256)), '64 hexadecimal digits', `${part}sha256`, data.sha256);
  }
  judgeInput(asObject(entry.input), `${where}input.`, expect);
  const output = asObject(entry.output);
  judgeFields(output, known.output, `${where}output.`, expect);
  expect(isText(output.name), 'text', `${where}output.name`, output.name);
  const { logits, tolerance, ...others } = asObject(entry.golden);
  judgeFields(others, known.golden, `${where}golden.`, expect);
  expect(areNumbers(logits), 'numbers', `${where}golden.logits`, typeof logits);
  expect(typeof tolerance === 'number' && tolerance > 0, 'a number above 0', `${where}golden.tolerance`, tolerance);
}

function judgeInput(input: Json, where: string, expect: Expect): void {
  const { name, elementType, layout, resize, crop, kernel, mean, std, lookup } = input;
  judgeFields(input, known.input, where, expect);
  expect(isText(name), 'text', `${where}name`, name);
  const isFloat = elementType === 'float32';
  expect(isFloat || elementType === 'uint8', '"float32" or "uint8"', `${where}elementType`, elementType);
  expect(layout === 'NCHW' || layout === 'NHWC', '"NCHW" or "NHWC"', `${where}layout`, layout);
  expect(isSide(crop), 'a whole number from 1 to 1024', `${where}crop`, crop);
  const isWhole = isSide(resize) && Number(resize) >= Number(crop);
  expect(isWhole, `a whole number from ${where}crop to 1024`, `${where}resize`, resize);
  const isKernel = kernel === undefined || kernel === 'linear' || kernel === 'cubic';
  expect(isKernel, '"linear" or "cubic"', `${where}kernel`, kernel);
  if (isFloat) {
    expect(areNumbers(mean, 3), 'three numbers', `${where}mean`, mean);
    const isDivisor = areNumbers(std, 3) && (std as number[]).every((value) => value > 0);
    expect(isDivisor, 'three numbers above 0', `${where}std`, std);
  } else if (lookup !== undefined) {
    expect(areByteTables(lookup), 'three tables of 256 bytes', `${where}lookup`, typeof lookup);
  }
}

function judgeFields(object: Json, fields: readonly string[], where: string, expect: Expect): void {
  for (const field of Object.keys(object)) {
    expect(fields.includes(field), `one of ${fields.join(', ')}`, `a field of the card`, `${where}${field}`);
  }
}

/** What is found in place of a file's SHA-256, in words. */
function tellDigest(path: string): Partial<Digest> & { readonly told: string } {
  try {
    const digest = digestOfFile(path);
    if (digest === undefined) return { told: 'no file' };
    return { ...digest, told: `${digest.sha256} (${digest.bytes} bytes)` };
  } catch (fault) {
    return { told: tellSystemError(fault) };
  }
}

/** @throws ModelError */
function readJson(path: string): unknown {
  let text: string | undefined;
  try {
    text = readTextFile(path);
  } catch (cause) {
    throw new ModelError(`${path}: Expected a file that can be read but received ${tellSystemError(cause)}`, { cause });
  }
  if (text === undefined) throw new ModelError(`${path}: Expected a file but received nothing`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelError(`${path}: Expected JSON but received a fault: ${(cause as Error).message}`, { cause });
  }
}

/** @throws whatever is no error of the system */
function tellSystemError(fault: unknown): string {
  const { code } = fault as NodeJS.ErrnoException;
  if (code === undefined) throw fault;
  return code === 'EACCES' ? 'EACCES: no permission to read it' : code;
}

function asObject(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function asList(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(asObject) : [];
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

/** A file of the folder itself. */
function isFileName(value: unknown): boolean {
  return typeof value === 'string' && /^[\w@-][\w.@-]*$/.test(value);
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
