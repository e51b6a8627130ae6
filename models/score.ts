import { join } from 'node:path';
import { type ModelSpec, portable } from '../functions/core/card/card.ts';
import { changeAccuracy, type Entry, roundShare } from './accuracy.ts';
import type { BroaderScore } from './broader.ts';
import { type Calibration, calibrationError } from './calibration.ts';
import type { LabeledImage } from './labeled.ts';

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
  /** Expected calibration error of the first predictions' scores, as served. */
  readonly calibrationError: number;
  readonly medianRunMs: number;
  /** Share of the images for which the first prediction is the first model's. */
  readonly agreement: number;
  /** Of a new temperature, where one was fitted. */
  readonly calibration?: Calibration;
  /** By threshold; none for a model without ancestors. */
  readonly broader?: readonly BroaderScore[];
}

export interface Result {
  readonly scores: readonly Score[];
  /** Classes that no model knows, with the number of images skipped for each. */
  readonly unknownClasses: Readonly<Record<string, number>>;
  /** Images that the service would refuse, with the problem code, and those that cannot be read, with the system's. */
  readonly refused: Readonly<Record<string, string>>;
}

export interface Row {
  readonly image: LabeledImage;
  /** By model: the five best classes. */
  readonly top5: readonly (readonly string[])[];
  /** By model: the first prediction's score. */
  readonly sureness: readonly number[];
  readonly runMs: readonly number[];
  /** By model, where they are needed once all images are known. */
  readonly logits?: readonly Float32Array[];
}

const servedPath = 'sharp and onnxruntime-node';

/** What a model reached on the images; `index`: its place among those that were run. */
export function toScore({ folder, version, variant }: ModelSpec, index: number, rows: readonly Row[]): Score {
  const share = (hits: (row: Row) => boolean | undefined) => rows.filter(hits).length / rows.length;
  const runMs = rows.map((row) => row.runMs[index] as number).sort((one, other) => one - other);
  return {
    model: folder,
    version,
    variant,
    images: rows.length,
    top1: share(({ image, top5 }) => top5[index]?.[0] === image.class),
    top5: share(({ image, top5 }) => top5[index]?.includes(image.class)),
    calibrationError: calibrationError(
      rows.map(({ image, top5, sureness }) => {
        return { score: sureness[index] as number, isRight: top5[index]?.[0] === image.class };
      }),
    ),
    medianRunMs: runMs[Math.floor(runMs.length / 2)] as number,
    agreement: share(({ top5 }) => top5[index]?.[0] === top5[0]?.[0]),
  };
}

/** The table for a person at a terminal. */
export function toText({ scores, unknownClasses, refused }: Result): string {
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  const lines = alignTable([
    ['model', 'variant', 'images', 'top-1', 'top-5', 'calibration error', 'ms per run'],
    ...scores.map(({ model, variant, images, top1, top5, calibrationError, medianRunMs }) => [
      model,
      variant,
      String(images),
      percent(top1),
      percent(top5),
      calibrationError.toFixed(4),
      medianRunMs.toFixed(2),
    ]),
  ]);
  lines.push(...calibrationLines(scores), ...broaderLines(scores, percent));
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

/** Lines of cells: two columns of words, then numbers. */
function alignTable(table: readonly (readonly string[])[]): string[] {
  const widths = table[0]?.map((_, column) => Math.max(10, ...table.map((row) => row[column]?.length ?? 0))) ?? [];
  return table.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
}

function calibrationLines(scores: readonly Score[]): readonly string[] {
  const rows = scores.flatMap(({ model, variant, calibration }) => {
    if (!calibration) return [];
    const { temperature, fittedOn, images, before, after } = calibration;
    return [
      [model, variant, String(fittedOn), String(temperature), String(images), before.toFixed(4), after.toFixed(4)],
    ];
  });
  const header = ['model', 'variant', 'fitted on', 'temperature', 'other images', 'error without', 'error with'];
  return rows.length === 0 ? [] : ['', ...alignTable([header, ...rows])];
}

function broaderLines(scores: readonly Score[], percent: (share: number) => string): readonly string[] {
  const rows = scores.flatMap(({ model, variant, broader = [] }) =>
    broader.map((at) => {
      const shares = [at.sure, at.sureRight, at.broader, at.broaderTop1, at.broaderRight, at.right].map(percent);
      return [model, variant, String(at.threshold), ...shares, String(at.medianClasses)];
    }),
  );
  const header = [
    'model',
    'variant',
    'threshold',
    'sure',
    'right',
    'broader',
    'its top-1',
    'right',
    'either right',
    'classes',
  ];
  return rows.length === 0 ? [] : ['', ...alignTable([header, ...rows])];
}

/** A line for each image: its name, its class, and the first prediction of each model, separated by tabs. */
export function toTable(models: readonly string[], rows: readonly Row[]): string {
  const lines = rows.map(({ image, top5 }) => [image.name, image.class, ...top5.map(([best]) => best)]);
  return [['image', 'wnid', ...models], ...lines].map((cells) => `${cells.join('\t')}\n`).join('');
}

/**
 * Replaces the entry of the same data and variant in the card's list `accuracy`, or adds it; the rest of the text stays as it is.
 * @throws DataError about a card without that list
 */
export function writeCard(modelsDir: string, dataName: string, score: Score): void {
  const entry = {
    data: dataName,
    path: servedPath,
    variant: score.variant,
    images: score.images,
    top1: roundShare(score.top1),
    top5: roundShare(score.top5),
  };
  const isOther = ({ data, variant = portable }: Entry) => data !== dataName || variant !== score.variant;
  changeAccuracy(join(modelsDir, score.model), (former) => [...former.filter(isOther), entry]);
}
