import sharp from 'sharp';
import type { CloudsModel } from '../functions/tasks/clouds/card.ts';
import { palette } from '../functions/tasks/clouds/palette.ts';
import { type Patch, planeOf } from '../functions/tasks/clouds/patch.ts';
import { clouds } from '../functions/tasks/clouds/task.ts';
import { type Answered, thread } from '../functions/tasks/clouds/thread.ts';
import { readCommand } from '../ingress/command.ts';
import { type LabeledPatch, listPatches, readInput, readReference } from './cloud-patches.ts';
import { type CloudRow, countPatch, scoreRows, toCloudText, writeCloudCard } from './cloud-score.ts';
import { DataError } from './labeled.ts';
import { loadProven, type Proven, readModelNames } from './proven.ts';
import { runTool } from './tool.ts';

const usage = `Usage: npm run evaluate -- clouds --data PATH [options]

What models find of clouds and shadows, by the steps that a request takes: geotiff reads, onnxruntime-node runs.

  --data PATH        a folder of folders of GeoTIFFs: X.tif with its reference X_label.tif (0 clear, 1 cloud, 2 shadow, 255 unknown),
                     and X_clear.tif, which show no cloud. Of those in on_cloud_n and sen12mscr the level and the bands are known
  --models NAMES     folders, NAME or NAME@VERSION, separated by commas (default clouds,clouds-index)
  --models-dir PATH  folder of model folders (default models)
  --dilate N         grow the clouds by so many pixels, as ?dilate= does (default 0)
  --only TEXT        only patches whose folder and name contain it
  --json             print JSON, with each patch
  --picture FILE     draw the first labeled patch: as it looks, its reference, and the first model's mask (PNG)
  --write-card NAME  write the figures into each model.json, under this name for the data`;

async function evaluate(options: Options): Promise<void> {
  const patches = listPatches(options.data).filter(({ name }) => name.includes(options.only));
  const loaded: Proven<CloudsModel>[] = [];
  for (const folder of options.models) {
    loaded.push(await loadProven({ modelsDir: options.modelsDir, folder, card: clouds.card, thread }));
  }
  const rows = loaded.map((): CloudRow[] => []);
  const refused: Record<string, string> = {};
  let isDrawn = options.picture === undefined;
  for (const patch of patches) {
    const input = await readInput(patch, options.dilate).catch((fault: { readonly code?: string }) => {
      if (fault.code === undefined) throw fault;
      refused[patch.name] = fault.code;
    });
    if (!input) continue;
    const reference = await readReference(patch, input);
    for (const [index, { spec, answer }] of loaded.entries()) {
      if (!clouds.suits?.(input, spec.details)) continue;
      const startMs = performance.now();
      const mask = toMask((await answer(input)) as Answered);
      const ms = performance.now() - startMs;
      rows[index]?.push(countPatch(patch.name, patch.label === undefined, reference, mask, ms));
      if (!isDrawn && patch.label !== undefined) {
        await draw(options.picture as string, input, [reference, mask]);
        isDrawn = true;
      }
    }
  }
  for (const { model } of loaded) await model.release();
  const scores = loaded.map(({ spec }, index) => scoreRows(spec, rows[index] ?? []));
  if (rows.every((list) => list.length === 0)) throw nothing(options, patches, refused);
  const printed = options.json ? JSON.stringify({ scores, refused }, undefined, 2) : toCloudText(scores, refused);
  process.stdout.write(`${printed}\n`);
  if (options.writeCard === undefined) return;
  for (const score of scores) writeCloudCard(options.modelsDir, options.writeCard, score);
}

function nothing({ data }: Options, patches: readonly LabeledPatch[], refused: Readonly<Record<string, string>>) {
  const codes = [...new Set(Object.values(refused))].join(', ') || 'none that a model takes';
  return new DataError(
    `Expected patches that the models take for --data but received ${patches.length} in "${data}": ${codes}`,
  );
}

/** The mask that an answer by runs of equal values stands for. */
function toMask({ body, width, height }: Answered): Uint8Array {
  const { values, counts }: { values: number[]; counts: number[] } = JSON.parse(new TextDecoder().decode(body));
  const mask = new Uint8Array(width * height);
  let at = 0;
  for (const [index, count] of counts.entries()) {
    mask.fill(values[index] as number, at, at + count);
    at += count;
  }
  return mask;
}

/** Pixels between two pictures, and the reflectance that is drawn white. */
const [gap, white] = [8, 0.4];

/** The patch in its natural colors and masks beside it, as a PNG. */
async function draw(file: string, patch: Patch, masks: readonly Uint8Array[]): Promise<void> {
  const { width, height } = patch;
  const planes = ['B04', 'B03', 'B02'].map((band) => planeOf(patch, band) as Uint16Array);
  const tone = (value: number) => 255 * Math.min(1, value / 10_000 / white) ** 0.8;
  const colors = [
    (i: number) => planes.map((plane) => tone(plane[i] as number)),
    ...masks.map((mask) => (i: number) => palette[mask[i] as number]?.slice(0, 3) ?? [0, 0, 0]),
  ];
  const across = colors.length * (width + gap) - gap;
  const picture = new Uint8Array(across * height * 3).fill(255);
  for (const [index, colorOf] of colors.entries()) {
    for (let i = 0; i < width * height; i += 1) {
      const at = Math.floor(i / width) * across + index * (width + gap) + (i % width);
      picture.set(colorOf(i), 3 * at);
    }
  }
  await sharp(picture, { raw: { width: across, height, channels: 3 } })
    .png()
    .toFile(file);
}

type Options = ReturnType<typeof readOptions>;

/** @throws TypeError about the command line */
function readOptions() {
  const { values } = readCommand(usage, {
    options: {
      data: { type: 'string' },
      models: { type: 'string', default: 'clouds,clouds-index' },
      'models-dir': { type: 'string', default: 'models' },
      dilate: { type: 'string', default: '0' },
      only: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
      picture: { type: 'string' },
      'write-card': { type: 'string' },
    },
  });
  if (values.data === undefined) throw new TypeError('Expected a path for --data but received nothing');
  return {
    ...values,
    data: values.data,
    models: readModelNames(values.models),
    modelsDir: values['models-dir'],
    writeCard: values['write-card'],
  };
}

/** The tool `npm run evaluate -- clouds`, from the command line to the exit status. */
export const evaluateClouds = (): Promise<void> => runTool(usage, readOptions, evaluate);
