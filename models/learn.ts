import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isFileName } from '../functions/core/card/schema.ts';
import { type Graph, openGraph, type Slot } from '../functions/core/pool/session.ts';
import type { Activation, ImageInput, Label } from '../functions/tasks/image/card.ts';
import {
  activationFor,
  clash,
  namesOf,
  type PictureSlot,
  pictureSlot,
  type Trial,
  tellFault,
  tryOut,
} from './graph.ts';
import { readLabelFile } from './label-file.ts';
import { DataError } from './labeled.ts';
import { imagenetShare, likes, type Scale, scaleOf } from './likes.ts';
import { type OnnxFile, readOnnx } from './onnx.ts';
import { QuestionError } from './tool.ts';

/** What a person says of an ONNX file; undefined where nothing. */
export interface Told {
  /** Of the ONNX file. */
  readonly path: string;
  /** Path of the file of labels. */
  readonly labels: string | undefined;
  readonly size: number | undefined;
  readonly resize: number | undefined;
  readonly kernel: ImageInput['kernel'];
  /** A name of `likes`. */
  readonly like: string | undefined;
  readonly mean: readonly number[] | undefined;
  readonly std: readonly number[] | undefined;
  readonly channels: Scale['channels'] | undefined;
  readonly layout: ImageInput['layout'] | undefined;
  readonly activation: Activation | undefined;
  readonly output: string | undefined;
}

/** What a card says of the file, and what it was told by. */
export interface Learned {
  readonly input: ImageInput;
  readonly output: { readonly name: string; readonly activation: Activation };
  readonly labels: readonly Label[];
  readonly trial: Trial;
  readonly file: OnnxFile;
}

/**
 * All that a card needs to know: from the file, its labels and the person.
 * @throws DataError for a file that cannot be served, QuestionError for what none of them tells
 */
export async function learn(told: Told): Promise<Learned> {
  const { path } = told;
  const file = readOnnx(path);
  for (const name of file.externalFiles) checkExternalFile(path, name);
  const graph = await openGraph(path).catch((cause) => {
    throw new DataError(`${path}: ${tellFault(cause)}`, { cause });
  });
  try {
    const slot = pictureSlot(graph, path);
    const output = chooseOutput(graph, told);
    const labelFile = told.labels === undefined ? undefined : readLabelFile(told.labels);
    const recipes = settle(told, slot, scaleOf(file.metadata));
    if (labelFile === undefined || recipes === undefined) throw new QuestionError(missingOf(told, slot, file));
    const trials = await tryOut(graph, { path, output, recipes });
    const trial = trials.length === 1 ? trials[0] : undefined;
    const input = recipes.find(({ layout }) => layout === trial?.layout);
    if (trial === undefined || input === undefined) {
      throw new QuestionError(`Expected NCHW or NHWC for --layout, since ${path} takes both, but received nothing`);
    }
    const { labels, isMultiLabel } = labelFile;
    if (labels.length !== trial.count) {
      const expected = `Expected ${trial.count} labels (one a value of the output "${output.name}")`;
      throw new DataError(`${expected} for ${told.labels} but received ${labels.length}`);
    }
    const activation = chooseActivation(told, trial, isMultiLabel);
    return { input, output: { name: output.name, activation }, labels, trial, file };
  } finally {
    await graph.release();
  }
}

function checkExternalFile(path: string, name: string): void {
  // The graph names its weights, so they cannot be called otherwise in the folder.
  if (!isFileName(name) || ['model.json', 'labels.json', 'model.onnx'].includes(name)) {
    throw new DataError(`Expected weights in a file beside ${path}, with a plain name, but received "${name}"`);
  }
  if (existsSync(join(dirname(path), name))) return;
  throw new DataError(`Expected the weights of ${path} in ${join(dirname(path), name)} but received no file`);
}

function chooseOutput({ outputs }: Graph, { path, output }: Told): Slot {
  const found = output === undefined && outputs.length === 1 ? outputs[0] : outputs.find(({ name }) => name === output);
  if (found !== undefined) return found;
  const expected = `Expected the output with a score for each class, of ${namesOf(outputs)}, for --output`;
  const received = output === undefined ? `${path} with ${outputs.length} outputs, as detectors have` : `"${output}"`;
  throw new QuestionError(`${expected} but received ${received}`);
}

/** The inputs that the card may have, one for each layout; undefined where size or scale is not known. */
function settle(told: Told, slot: PictureSlot, byFile: Scale | undefined): readonly ImageInput[] | undefined {
  const { path, kernel } = told;
  const differ = (option: string, expected: string | number, received: string | number): never => {
    const source = `of the input "${slot.name}" of ${path}`;
    throw new QuestionError(`Expected ${expected}, ${source}, for --${option} but received ${received}`);
  };
  const size = told.size ?? slot.size;
  if (slot.size !== undefined && size !== undefined && slot.size !== size) return differ('size', slot.size, size);
  if (told.layout !== undefined && !slot.layouts.includes(told.layout)) {
    return differ('layout', slot.layouts.join(' or '), told.layout);
  }
  const isOfBytes = slot.elementType === 'uint8';
  const scaled = told.mean === undefined ? told.like : '--mean and --std';
  if (isOfBytes && scaled !== undefined && scaled !== 'raw')
    return differ('like', 'raw (uint8: bytes as they are)', scaled);
  const scale = scaleFor(told, byFile);
  if (size === undefined || (scale === undefined && !isOfBytes)) return undefined;
  const resize = told.resize ?? (told.like === 'imagenet' ? Math.round(size / imagenetShare) : size);
  if (resize < size) {
    throw new QuestionError(`Expected a whole number from ${size} (the size) for --resize but received ${resize}`);
  }
  const channels = told.channels ?? scale?.channels ?? 'RGB';
  const { name, elementType } = slot;
  const numbers = isOfBytes || scale === undefined ? {} : { mean: scale.mean, std: scale.std };
  const layouts = told.layout === undefined ? slot.layouts : [told.layout];
  return layouts.map((layout) => ({ name, elementType, layout, channels, resize, crop: size, kernel, ...numbers }));
}

/** By the person, else by the file. */
function scaleFor({ like, mean, std, channels = 'RGB' }: Told, byFile: Scale | undefined): Scale | undefined {
  if (mean !== undefined && std !== undefined) return { channels, mean, std };
  return like === undefined ? byFile : likes[like];
}

/** All that is not known, in one sentence. */
function missingOf(told: Told, slot: PictureSlot, file: OnnxFile): string {
  const isScaled = slot.elementType === 'uint8' || scaleFor(told, scaleOf(file.metadata)) !== undefined;
  const missing = [
    told.labels === undefined ? '--labels FILE (the names of the classes)' : '',
    told.size === undefined && slot.size === undefined ? '--size N (pixels of a side)' : '',
    isScaled ? '' : `--like ${Object.keys(likes).join('|')} or --mean and --std (what a pixel becomes)`,
  ].filter((part) => part !== '');
  return `Expected ${missing.join(', and ')} for ${told.path}, which does not tell, but received nothing`;
}

function chooseActivation(told: Told, trial: Trial, isMultiLabel: boolean): Activation {
  const { path, activation } = told;
  const { kind, count } = trial;
  const wrong = activation && clash(trial, activation);
  if (wrong) {
    const possible = activationFor(trial) ?? 'sigmoid or none';
    throw new QuestionError(`Expected ${possible} for --activation, since ${wrong}, but received ${activation}`);
  }
  const found = activation ?? (isMultiLabel && kind === 'logits' ? 'sigmoid' : activationFor(trial));
  if (found !== undefined) return found;
  const many = count === 1 ? 'of a single class' : 'of classes that do not exclude each other';
  const expected = `Expected none (scores ${many}, by a sigmoid in the graph) or ${count === 1 ? '' : 'softmax or '}sigmoid (logits)`;
  throw new QuestionError(
    `${expected} for --activation, since the values of ${path} are from 0 to 1, but received nothing`,
  );
}
