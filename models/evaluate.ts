import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ModelError, type ModelSpec, portable } from '../functions/core/card/card.ts';
import { listCandidates, verifyFiles } from '../functions/core/card/catalog.ts';
import { allowedInstructions } from '../functions/core/card/instructions.ts';
import { disableTelemetry, loadConfig } from '../functions/core/config.ts';
import { answerBy, loadModel, type Model, prove } from '../functions/core/pool/session.ts';
import type { Tensor } from '../functions/core/task.ts';
import { classify } from '../functions/tasks/classify/task.ts';
import { toTensor } from '../functions/tasks/classify/tensor.ts';
import { readLogits, thread } from '../functions/tasks/classify/thread.ts';
import { topPredictions } from '../functions/tasks/classify/top.ts';
import type { ImageModel } from '../functions/tasks/image/card.ts';
import { decodeImage, type Pixels } from '../functions/tasks/image/image.ts';
import { geometryOf } from '../functions/tasks/image/resize.ts';
import { readCommand } from '../ingress/command.ts';
import { prepareAhead } from './ahead.ts';
import { DataError, type LabeledImage, listLabeledImages } from './labeled.ts';
import { runTool } from './tool.ts';

const usage = `Usage: npm run evaluate -- --data PATH [options]

Accuracy of the models in models/ by the steps that a request takes: sharp decodes and resizes, onnxruntime-node runs.

  --data PATH          a Parquet file with the columns image (encoded bytes) and wnid (WordNet id), or a folder: a sub-folder
                       for each WordNet id, or files whose names begin with it, or Tiny ImageNet's own val folder;
                       Hugging Face's columns are read, too: image (bytes, path) and label (ClassLabel)
  --models NAMES       folders, NAME or NAME@VERSION, separated by commas (default wide-resnet,mobilenet)
  --models-dir PATH    folder of model folders (default models)
  --variant NAME       which of a folder's files: portable, or the name of a variant that this processor may run
                       (default what the service would choose)
  --limit N            only the first N images
  --json               print JSON
  --predictions FILE   write each image's class by each model, separated by tabs
  --write-card NAME    write the accuracy into each model.json, under this name for the data`;

interface Loaded {
  readonly spec: ModelSpec<ImageModel>;
  readonly model: Model;
}

interface Score {
  /** Name of the model folder. */
  readonly model: string;
  readonly version: string;
  readonly variant: string;
  readonly images: number;
  /** Share of the images whose class is the first prediction. */
  readonly top1: number;
  /** Share of the images whose class is among the first five. */
  readonly top5: number;
  readonly medianRunMs: number;
  /** Share of the images for which the first prediction is the first model's. */
  readonly agreement: number;
}

interface Result {
  readonly scores: readonly Score[];
  /** Classes that no model knows, with the number of images skipped for each. */
  readonly unknownClasses: Readonly<Record<string, number>>;
  /** Images that the service would refuse, with the problem code, and those that cannot be read, with the system's. */
  readonly refused: Readonly<Record<string, string>>;
}

interface Row {
  readonly image: LabeledImage;
  /** By model: the five best classes. */
  readonly top5: readonly (readonly string[])[];
  readonly runMs: readonly number[];
}

const servedPath = 'sharp and onnxruntime-node';

async function evaluate(options: Options): Promise<void> {
  const listed = (await listLabeledImages(options.data)).slice(0, options.limit);
  const loaded: Loaded[] = [];
  for (const name of options.models) loaded.push(await load(options.modelsDir, name, options.variant));
  const specs = loaded.map(({ spec }) => spec);

  const known = new Set(specs.flatMap((spec) => spec.details.labels.map((label) => label.class)));
  const unknownClasses: Record<string, number> = {};
  for (const image of listed) {
    if (!known.has(image.class)) unknownClasses[image.class] = (unknownClasses[image.class] ?? 0) + 1;
  }
  const refused: Record<string, string> = {};
  const rows: Row[] = [];
  const images = listed.filter((image) => known.has(image.class));
  for await (const { image, tensors } of prepareAhead(images, preparationFor(specs))) {
    if (isFault(tensors)) refused[image.name] = tensors.code;
    else rows.push(await judge(image, tensors, loaded));
    if (process.stderr.isTTY) process.stderr.write(`\r${rows.length} of ${images.length} `);
  }
  if (process.stderr.isTTY) process.stderr.write('\r');
  for (const { model } of loaded) await model.release();
  if (rows.length === 0) {
    throw new DataError(
      `Expected images of classes that the models know for --data but received ${listed.length} others in "${options.data}"`,
    );
  }

  const scores = specs.map((spec, index) => toScore(spec, index, rows));
  const result: Result = { scores, unknownClasses, refused };
  process.stdout.write(`${options.json ? JSON.stringify(result, undefined, 2) : toText(result)}\n`);
  if (options.predictions !== undefined) writeFileSync(options.predictions, toTable(options.models, rows));
  if (options.writeCard !== undefined) {
    for (const score of scores) writeCard(options.modelsDir, options.writeCard, score);
  }
}

/** The file of a folder that the service would serve here, or the one that is asked for. @throws ModelError | DataError */
async function load(modelsDir: string, folder: string, variant: string | undefined): Promise<Loaded> {
  const candidates = listCandidates(modelsDir, folder, classify.card, allowedInstructions());
  const wanted = candidates.filter((spec) => variant === undefined || spec.variant === variant);
  if (wanted.length === 0) {
    const names = candidates.map((spec) => spec.variant).join(', ');
    throw new DataError(`Expected one of ${names} of ${folder} for --variant but received "${variant}"`);
  }
  const faults: string[] = [];
  for (const spec of wanted) {
    try {
      verifyFiles(spec);
      const model = await loadModel(spec);
      await prove(answerBy(model, thread, spec.details), thread, spec.details);
      return { spec, model };
    } catch (fault) {
      const told = (fault as Error).message;
      faults.push(fault instanceof ModelError ? told : `${spec.path}: ${told}`);
      if (spec !== wanted.at(-1)) process.stderr.write(`${faults.at(-1)}\n`);
    }
  }
  throw new ModelError(faults.join('\n'));
}

type Options = ReturnType<typeof readOptions>;

/** @throws TypeError about the command line */
function readOptions() {
  const { values } = readCommand(usage, {
    options: {
      data: { type: 'string' },
      models: { type: 'string', default: 'wide-resnet,mobilenet' },
      'models-dir': { type: 'string', default: 'models' },
      variant: { type: 'string' },
      limit: { type: 'string' },
      json: { type: 'boolean', default: false },
      predictions: { type: 'string' },
      'write-card': { type: 'string' },
    },
  });
  if (values.data === undefined) throw new TypeError('Expected a path for --data but received nothing');
  if (values.limit !== undefined && !/^[1-9]\d*$/.test(values.limit)) {
    throw new TypeError(`Expected a whole number above 0 for --limit but received "${values.limit}"`);
  }
  if (values.limit !== undefined && values['write-card'] !== undefined) {
    throw new TypeError('Expected the whole data for --write-card but received --limit');
  }
  const models = values.models.split(',');
  if (models.some((name, index) => !/^[\w-][\w.@-]*$/.test(name) || models.indexOf(name) !== index)) {
    throw new TypeError(`Expected different names, separated by commas, for --models but received "${values.models}"`);
  }
  return {
    data: values.data,
    models,
    modelsDir: values['models-dir'],
    variant: values.variant,
    limit: values.limit === undefined ? undefined : Number(values.limit),
    json: values.json,
    predictions: values.predictions,
    writeCard: values['write-card'],
  };
}

/** Of the image, or of the file system: the next image may be fine. */
function isFault(made: unknown): made is Error & { readonly code: string } {
  return made instanceof Error && 'code' in made;
}

/** Makes of an image a tensor for each model, or the problem that the service would answer. */
function preparationFor(specs: readonly ModelSpec<ImageModel>[]) {
  const { maxPixels } = loadConfig(classify, 1, {}).settings;
  return async (image: LabeledImage) => {
    try {
      return { image, tensors: await toTensors(await image.read(), specs, maxPixels) };
    } catch (fault) {
      if (isFault(fault)) return { image, tensors: fault };
      throw fault;
    }
  };
}

async function toTensors(
  bytes: Uint8Array,
  specs: readonly ModelSpec<ImageModel>[],
  maxPixels: number,
): Promise<readonly Tensor[]> {
  const decoded = new Map<string, Pixels>();
  const tensors: Tensor[] = [];
  for (const { input } of specs.map(({ details }) => details)) {
    const geometry = geometryOf(input);
    const pixels = decoded.get(geometry) ?? (await decodeImage(bytes, input, maxPixels)).pixels;
    decoded.set(geometry, pixels);
    tensors.push(toTensor(pixels, input));
  }
  return tensors;
}

async function judge(image: LabeledImage, tensors: readonly Tensor[], loaded: readonly Loaded[]): Promise<Row> {
  const top5: string[][] = [];
  const runMs: number[] = [];
  for (const [index, { spec, model }] of loaded.entries()) {
    const startMs = performance.now();
    const logits = readLogits([await model.run(tensors[index] as Tensor)]);
    runMs.push(performance.now() - startMs);
    top5.push(topPredictions(logits, spec.details.labels, 5).map((prediction) => prediction.class));
  }
  return { image, top5, runMs };
}

function toScore({ folder, version, variant }: ModelSpec, index: number, rows: readonly Row[]): Score {
  const share = (hits: (row: Row) => boolean | undefined) => rows.filter(hits).length / rows.length;
  const runMs = rows.map((row) => row.runMs[index] as number).sort((one, other) => one - other);
  return {
    model: folder,
    version,
    variant,
    images: rows.length,
    top1: share(({ image, top5 }) => top5[index]?.[0] === image.class),
    top5: share(({ image, top5 }) => top5[index]?.includes(image.class)),
    medianRunMs: runMs[Math.floor(runMs.length / 2)] as number,
    agreement: share(({ top5 }) => top5[index]?.[0] === top5[0]?.[0]),
  };
}

function toText({ scores, unknownClasses, refused }: Result): string {
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  const table = [
    ['model', 'variant', 'images', 'top-1', 'top-5', 'ms per run'],
    ...scores.map(({ model, variant, images, top1, top5, medianRunMs }) => [
      model,
      variant,
      String(images),
      percent(top1),
      percent(top5),
      medianRunMs.toFixed(2),
    ]),
  ];
  const widths = table[0]?.map((_, column) => Math.max(10, ...table.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = table.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
  for (const { model, agreement } of scores.slice(1)) {
    lines.push(`${model} and ${scores[0]?.model} name the same class first for ${percent(agreement)} of the images.`);
  }
  const skipped = Object.entries(unknownClasses);
  if (skipped.length > 0) {
    const count = skipped.reduce((sum, [, images]) => sum + images, 0);
    lines.push(
      `Skipped ${count} images of classes that the models do not know: ${skipped.map(([id]) => id).join(', ')}`,
    );
  }
  for (const [name, code] of Object.entries(refused)) lines.push(`Skipped ${name}: ${code}`);
  return lines.join('\n');
}

function toTable(models: readonly string[], rows: readonly Row[]): string {
  const lines = rows.map(({ image, top5 }) => [image.name, image.class, ...top5.map(([best]) => best)]);
  return [['image', 'wnid', ...models], ...lines].map((cells) => `${cells.join('\t')}\n`).join('');
}

/** Replaces the entry of the same data and variant in the card's list `accuracy`, or adds it; the rest of the text stays as it is. */
function writeCard(modelsDir: string, dataName: string, score: Score): void {
  const path = join(modelsDir, score.model, 'model.json');
  const text = readFileSync(path, 'utf8');
  const former: { readonly data: string; readonly variant?: string }[] = JSON.parse(text).accuracy ?? [];
  const round = (share: number) => Math.round(share * 10_000) / 10_000;
  const entry = {
    data: dataName,
    path: servedPath,
    variant: score.variant,
    images: score.images,
    top1: round(score.top1),
    top5: round(score.top5),
  };
  const isOther = ({ data, variant = portable }: (typeof former)[number]) =>
    data !== dataName || variant !== score.variant;
  const entries = [...former.filter(isOther), entry];
  const block = JSON.stringify(entries, undefined, 2).replaceAll('\n', '\n  ');
  const written = text.replace(/"accuracy":\s*\[[^\]]*\]/, () => `"accuracy": ${block}`);
  if (written === text && !text.includes(block)) {
    throw new DataError(`Expected a list "accuracy" for ${path} but received none`);
  }
  writeFileSync(path, written);
}

disableTelemetry();
await runTool(usage, readOptions, evaluate);
