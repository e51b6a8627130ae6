import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from '@jest/globals';
import { add } from '../../models/add.ts';
import { readAddOptions } from '../../models/add-options.ts';
import { type ColorOptions, colors, encodeColors } from './colors.ts';
import { plain } from './served.ts';

const root = mkdtempSync(join(tmpdir(), 'understudy-add-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A file with a name for each color. */
export const labels = join(root, 'labels.txt');
writeFileSync(labels, colors.map((color) => `${color}\n`).join(''));
/** A picture of one color, `pixel`. */
export const picture = join(root, 'picture.png');
export const pixel = [204, 102, 51] as const;
writeFileSync(picture, await plain('rgb(204, 102, 51)'));
let places = 0;
let labelFiles = 0;

export interface Circumstance {
  readonly graph?: ColorOptions | Buffer;
  /** Named before --labels and --like unit, which stand unless `bare`. */
  readonly args?: readonly string[];
  readonly bare?: boolean;
  /** Files beside the graph. */
  readonly beside?: Readonly<Record<string, Buffer | string>>;
  readonly labels?: string;
}

/** What a run of `models add` on a graph leaves. */
export interface Added {
  /** What it tells, empty where it fails. */
  readonly told: string;
  readonly fault: Error | undefined;
  readonly path: string;
  readonly place: string;
  readonly modelsDir: string;
  /** Of the folder of model folders. */
  readonly left: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: a card, or labels
  read(file: string, folder?: string): any;
}

/** Runs `models add` in this process, in a place of its own. */
export async function addGraph({
  graph = {},
  args = [],
  bare = false,
  beside = {},
  ...others
}: Circumstance = {}): Promise<Added> {
  places += 1;
  const place = join(root, String(places));
  const modelsDir = join(place, 'models');
  mkdirSync(modelsDir, { recursive: true });
  const path = join(place, 'colors.onnx');
  writeFileSync(path, Buffer.isBuffer(graph) ? graph : encodeColors(graph));
  for (const [name, content] of Object.entries(beside)) writeFileSync(join(place, name), content);
  const isScaled = bare || args.includes('--like') || args.includes('--mean');
  const rest = [...(bare ? [] : ['--labels', others.labels ?? labels]), ...(isScaled ? [] : ['--like', 'unit'])];
  let [told, fault]: [string, Error | undefined] = ['', undefined];
  try {
    told = (await add(readAddOptions(['add', path, '--models-dir', modelsDir, ...args, ...rest]))).join('\n');
  } catch (error) {
    fault = error as Error;
  }
  return {
    told,
    fault,
    path,
    place,
    modelsDir,
    left: readdirSync(modelsDir),
    read: (file, folder = 'colors') => JSON.parse(readFileSync(join(modelsDir, folder, file), 'utf8')),
  };
}

/** The scores of the picture in what `models add` told, by color. */
export function scoresIn(told: string): Record<string, number> {
  const line = told.split('\n').find((text) => text.includes('picture.png, ')) ?? '';
  const pairs = line.replace(/^.*picture\.png, \d+ ms: /, '').split(', ');
  return Object.fromEntries(pairs.map((pair) => pair.split(' ')).map(([color, score]) => [color, Number(score)]));
}

/** The three best of what was computed, rounded as they are printed. */
export function expectedScores(scores: Readonly<Record<string, number>>) {
  const best = Object.entries(scores).sort(([, one], [, other]) => other - one);
  return Object.fromEntries(best.slice(0, 3).map(([color, score]) => [color, expect.closeTo(score, 2)]));
}

/** Writes another file of labels. */
export function writeLabels(text: string): string {
  labelFiles += 1;
  const path = join(root, `labels-${labelFiles}.txt`);
  writeFileSync(path, text);
  return path;
}
