import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelSpec } from '../functions/core/card/card.ts';
import { disableTelemetry, loadConfig } from '../functions/core/config.ts';
import type { Tensor } from '../functions/core/task.ts';
import { classify } from '../functions/tasks/classify/task.ts';
import { toTensor } from '../functions/tasks/classify/tensor.ts';
import { thread } from '../functions/tasks/classify/thread.ts';
import { topPredictions } from '../functions/tasks/classify/top.ts';
import type { ImageModel } from '../functions/tasks/image/card.ts';
import { decodeImage, type Pixels } from '../functions/tasks/image/image.ts';
import { readLogits } from '../functions/tasks/image/logits.ts';
import { geometryOf } from '../functions/tasks/image/resize.ts';
import { readCommand } from '../ingress/command.ts';
import { prepareAhead } from './ahead.ts';
import { scoreBroader } from './broader.ts';
import { calibrate, type Judged, writeTemperature } from './calibration.ts';
import { DataError, type LabeledImage, listLabeledImages } from './labeled.ts';
import { loadProven, type Proven, readModelNames } from './proven.ts';
import { type Result, type Row, toScore, toTable, toText, writeCard } from './score.ts';
import { runTool } from './tool.ts';

const usage = `Usage: npm run evaluate -- --data PATH [options]
       npm run evaluate -- clouds --help
       npm run evaluate -- digits --help

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
  --write-card NAME    write the accuracy into each model.json, under this name for the data
  --fit-temperature    fit each model's temperature on every other image of a class, and tell the calibration error on the
                       rest without and with it; --write-card writes it into model.json, too
  --broader NUMBERS    tell what answers with ?broader=1 are worth at these thresholds, 0 to 1, separated by commas`;

type Loaded = Proven<ImageModel>;

async function evaluate(options: Options): Promise<void> {
  const listed = (await listLabeledImages(options.data)).slice(0, options.limit);
  const loaded: Loaded[] = [];
  for (const folder of options.models) {
    loaded.push(await loadProven({ ...options, folder, card: classify.card, thread }));
  }
  const specs = loaded.map(({ spec }) => spec);
  const other = specs.find(({ details }) => details.activation !== 'softmax');
  if (other && options.fitTemperature) {
    const { activation } = other.details;
    throw new DataError(
      `Expected models with softmax for --fit-temperature but received ${other.folder} with ${activation}`,
    );
  }

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
    else rows.push(await judge(image, tensors, loaded, options.keepsLogits));
    if (process.stderr.isTTY) process.stderr.write(`\r${rows.length} of ${images.length} `);
  }
  if (process.stderr.isTTY) process.stderr.write('\r');
  for (const { model } of loaded) await model.release();
  if (rows.length === 0) {
    throw new DataError(
      `Expected images of classes that the models know for --data but received ${listed.length} others in "${options.data}"`,
    );
  }

  const scores = specs.map((spec, index) => {
    const judged = options.keepsLogits ? rows.flatMap((row) => judgedOf(row, spec.details, index)) : [];
    const broader = options.broader.flatMap((threshold) => scoreBroader(judged, spec.details, threshold) ?? []);
    return {
      ...toScore(spec, index, rows),
      ...(options.fitTemperature && { calibration: calibrate(judged) }),
      ...(options.broader.length > 0 && { broader }),
    };
  });
  const result: Result = { scores, unknownClasses, refused };
  process.stdout.write(`${options.json ? JSON.stringify(result, undefined, 2) : toText(result)}\n`);
  if (options.predictions !== undefined) writeFileSync(options.predictions, toTable(options.models, rows));
  if (options.writeCard !== undefined) {
    for (const score of scores) {
      writeCard(options.modelsDir, options.writeCard, score);
      const { model, variant, calibration } = score;
      if (calibration) writeTemperature(join(options.modelsDir, model), variant, calibration.temperature);
    }
  }
}

/** None for an image of a class that this model does not know. */
function judgedOf({ image, logits = [] }: Row, { labels }: ImageModel, index: number): readonly Judged[] {
  const truth = labels.findIndex((label) => label.class === image.class);
  return truth === -1 ? [] : [{ logits: logits[index] as Float32Array, truth }];
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
      'fit-temperature': { type: 'boolean', default: false },
      broader: { type: 'string' },
    },
  });
  if (values.data === undefined) throw new TypeError('Expected a path for --data but received nothing');
  if (values.limit !== undefined && !/^[1-9]\d*$/.test(values.limit)) {
    throw new TypeError(`Expected a whole number above 0 for --limit but received "${values.limit}"`);
  }
  if (values.limit !== undefined && values['write-card'] !== undefined) {
    throw new TypeError('Expected the whole data for --write-card but received --limit');
  }
  const broader = values.broader?.split(',') ?? [];
  if (!broader.every((threshold) => /^(?:0|1|0?\.\d+)$/.test(threshold))) {
    throw new TypeError(
      `Expected numbers from 0 to 1, separated by commas, for --broader but received "${values.broader}"`,
    );
  }
  return {
    ...values,
    data: values.data,
    models: readModelNames(values.models),
    modelsDir: values['models-dir'],
    limit: values.limit === undefined ? undefined : Number(values.limit),
    writeCard: values['write-card'],
    fitTemperature: values['fit-temperature'],
    broader: broader.map(Number),
    keepsLogits: values['fit-temperature'] || broader.length > 0,
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

async function judge(
  image: LabeledImage,
  tensors: readonly Tensor[],
  loaded: readonly Loaded[],
  keepsLogits: boolean,
): Promise<Row> {
  const top5: string[][] = [];
  const sureness: number[] = [];
  const kept: Float32Array[] = [];
  const runMs: number[] = [];
  for (const [index, { spec, model }] of loaded.entries()) {
    const startMs = performance.now();
    const logits = readLogits(await model.run(tensors[index] as Tensor));
    runMs.push(performance.now() - startMs);
    const predictions = topPredictions(logits, spec.details, 5);
    top5.push(predictions.map((prediction) => prediction.class));
    sureness.push(predictions[0]?.score ?? 0);
    if (keepsLogits) kept.push(logits);
  }
  return { image, top5, sureness, runMs, ...(keepsLogits && { logits: kept }) };
}

/** By the first word of the command line; without one, the classifiers. */
const others: Readonly<Record<string, () => Promise<() => Promise<void>>>> = {
  clouds: async () => (await import('./evaluate-clouds.ts')).evaluateClouds,
  digits: async () => (await import('./evaluate-digits.ts')).evaluateDigits,
};

disableTelemetry();
const other = others[process.argv[2] ?? ''];
if (other) {
  process.argv.splice(2, 1);
  await (await other())();
} else {
  await runTool(usage, readOptions, evaluate);
}
