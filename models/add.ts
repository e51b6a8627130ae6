import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { loadConfig } from '../functions/core/config.ts';
import { digestOfFile } from '../functions/core/files.ts';
import { answerBy, loadModel } from '../functions/core/pool/session.ts';
import { classify } from '../functions/tasks/classify/task.ts';
import { goldenPixels } from '../functions/tasks/classify/tensor.ts';
import { type ClassifyOutput, thread } from '../functions/tasks/classify/thread.ts';
import { topPredictions } from '../functions/tasks/classify/top.ts';
import type { ImageModel } from '../functions/tasks/image/card.ts';
import { decodeImage } from '../functions/tasks/image/image.ts';
import { openSharp } from '../functions/tasks/image/libvips.ts';
import { DataError, readNamedFile } from './labeled.ts';
import { type Learned, learn, type Told } from './learn.ts';
import { loadProven } from './proven.ts';

export interface AddOptions extends Told {
  /** @default the file's, without its extension */
  readonly name: string | undefined;
  /** With it the folder is NAME@VERSION. @default the first digits of the file's hash */
  readonly version: string | undefined;
  readonly modelsDir: string;
  /** Paths of pictures to be classified. */
  readonly pictures: readonly string[];
}

/** Of the largest golden value, between processors: the order of sums in float32, and coarser steps where int8 saturates. */
const tolerances = { float32: 0.001, int8: 0.05 };
const leastTolerance = 1e-6;

/** The name of the folder to be made. */
export function folderOf({ path, name, version }: Pick<AddOptions, 'path' | 'name' | 'version'>): string {
  const chosen =
    name ??
    basename(path)
      .replace(/\.onnx$/i, '')
      .replace(/[^\w.-]+/g, '-')
      .replace(/^\.+/, '');
  if (!/\w/.test(chosen))
    throw new TypeError(`Expected a name for --name but received a file called "${basename(path)}"`);
  return version === undefined ? chosen : `${chosen}@${version}`;
}

/**
 * Makes a model folder of an ONNX file. It appears when the service's own code has loaded it, proven its golden case and classified
 * pictures with it; until then it lies in a temporary folder beside, which goes whatever happens.
 * @param onTemporary is told where that is
 * @returns lines about it for a person
 * @throws DataError | ModelError | QuestionError
 */
export async function add(
  options: AddOptions,
  onTemporary: (folder: string) => void = () => {},
): Promise<readonly string[]> {
  const startedMs = performance.now();
  const { modelsDir } = options;
  const folder = folderOf(options);
  const place = join(modelsDir, folder);
  if (!existsSync(modelsDir)) throw new DataError(`Expected a folder for --models-dir but received "${modelsDir}"`);
  if (existsSync(place))
    throw new DataError(`Expected another --name or --version for ${place}, which exists, but received none`);
  const learned = await learn(options);
  const around = mkdtempSync(join(modelsDir, '.add-'));
  onTemporary(around);
  try {
    await write(join(around, folder), learned, options);
    const answers = await classifyPictures(around, folder, options.pictures);
    renameSync(join(around, folder), place);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    const lines = [`${place}: added in ${seconds} s`, ...describe(learned), ...answers.map((line) => `  ${line}`)];
    const isDefault = modelsDir === 'models';
    lines.push(`Serve it: ${isDefault ? '' : `MODELS_DIR=${modelsDir} `}PRIMARY_MODEL=${folder} npm start`);
    return lines;
  } finally {
    rmSync(around, { recursive: true });
  }
}

/** The folder with all its files. */
async function write(place: string, { input, output, labels, file }: Learned, options: AddOptions): Promise<void> {
  mkdirSync(place);
  const copy = (from: string, name: string) => {
    copyFileSync(from, join(place, name));
    return { file: name, sha256: String(digestOfFile(join(place, name))?.sha256) };
  };
  const graph = copy(options.path, 'model.onnx');
  const externalData = file.externalFiles.map((name) => copy(join(dirname(options.path), name), name));
  writeFileSync(
    join(place, 'labels.json'),
    `[\n${labels.map((label) => `  ${JSON.stringify(label)}`).join(',\n')}\n]\n`,
  );
  const [name = '', version = graph.sha256.slice(0, 8)] = basename(place).split('@');
  const card = {
    name,
    version,
    family: name,
    provenance: `Made of ${basename(options.path)} by npm run models -- add`,
    ...graph,
    ...(externalData.length > 0 ? { externalData } : {}),
    labels: 'labels.json',
    input,
    output,
    accuracy: [],
    golden: await computeGolden(join(place, graph.file), { input, output, labels, file }),
  };
  const text = JSON.stringify(card, null, 2).replace(/\[[^[\]{}]*\]/g, (list) =>
    list.replace(/\s+/g, ' ').replace(/(?<=^\[) | (?=\]$)/g, ''),
  );
  writeFileSync(join(place, 'model.json'), `${text}\n`);
}

/** By the service's own steps. */
async function computeGolden(
  path: string,
  { input, output, labels, file }: Pick<Learned, 'input' | 'output' | 'labels' | 'file'>,
): Promise<ImageModel['golden']> {
  const details: ImageModel = {
    input,
    activation: output.activation,
    labels,
    golden: { logits: [], tolerance: 1 },
    temperature: 1,
  };
  const model = await loadModel({ path, input, output, optimizedBy: null });
  const { logits } = (await answerBy(model, thread, details)(thread.golden(details))) as ClassifyOutput;
  await model.release();
  const largest = logits.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const share = file.isQuantized ? tolerances.int8 : tolerances.float32;
  return {
    logits: Array.from(logits, (value) => Number(value.toPrecision(6))),
    tolerance: Math.max(leastTolerance, Number((share * largest).toPrecision(1))),
  };
}

/** What the service answers to a generated picture and to those named, a line each. */
async function classifyPictures(
  modelsDir: string,
  folder: string,
  paths: readonly string[],
): Promise<readonly string[]> {
  const { spec, model, answer } = await loadProven({ modelsDir, folder, card: classify.card, thread });
  const { details } = spec;
  const { maxPixels } = loadConfig(classify, 1, {}).settings;
  const { data, width, height } = goldenPixels(details.input.resize);
  const generated = await openSharp()(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  const named = paths.map((path) => ({ name: path, read: () => readNamedFile(path) }));
  const lines: string[] = [];
  for (const { name, read } of [{ name: 'a generated picture', read: () => generated }, ...named]) {
    const { pixels } = await decodeImage(read(), details.input, maxPixels).catch((cause: Error) => {
      throw new DataError(`${name}: ${cause.message}`, { cause });
    });
    const startedMs = performance.now();
    const { logits } = (await answer(pixels)) as ClassifyOutput;
    const ms = Math.ceil(performance.now() - startedMs); // beside PRIMARY_BUDGET_MS, a model may turn out to be too slow
    const best = topPredictions(logits, details, 3);
    lines.push(`${name}, ${ms} ms: ${best.map(({ label, score }) => `${label} ${score.toFixed(3)}`).join(', ')}`);
  }
  await model.release();
  return lines;
}

/** What was found, for a person to look at. */
function describe({ input, output, labels, trial }: Learned): readonly string[] {
  const { elementType, layout, channels, crop, resize, kernel, mean, std } = input;
  const ends = [0, 1].map((value) => (mean ?? []).map((middle, index) => (value - middle) / (std?.[index] ?? 1)));
  const [least, most] = [Math.min(...(ends[0] ?? [])), Math.max(...(ends[1] ?? []))];
  const values = elementType === 'uint8' ? 'bytes' : `from ${Number(least.toFixed(2))} to ${Number(most.toFixed(2))}`;
  const { kind, count } = trial;
  const made = { softmax: 'logits, softmax makes scores', sigmoid: 'logits, a score each by sigmoid', none: 'scores' };
  const sums = kind === 'scores' ? ' that add up to 1' : '';
  const names = labels.slice(0, 3).map(({ label }) => label);
  return [
    `  input   ${input.name}: ${elementType}, ${layout}, ${channels}, ${values}, ${crop} pixels of ${resize}, ${kernel}`,
    `  output  ${output.name}: ${count} ${made[output.activation]}${sums}`,
    `  labels  ${names.join(', ')}${count > names.length ? ', …' : ''}`,
  ];
}
