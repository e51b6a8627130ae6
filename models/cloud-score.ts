import { join } from 'node:path';
import { changeAccuracy, roundShare } from './accuracy.ts';

/** Pixels by what is true and what was answered. */
export interface Counts {
  readonly hit: number;
  readonly invented: number;
  readonly missed: number;
  readonly all: number;
}

/** What a model answered for one patch. */
export interface CloudRow {
  readonly patch: string;
  readonly isClear: boolean;
  readonly cloud: Counts;
  /** Undefined where the reference knows no shadows. */
  readonly shadow: Counts | undefined;
  readonly ms: number;
}

interface Measures {
  readonly iou: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

export interface CloudScore {
  readonly model: string;
  readonly version: string;
  readonly variant: string;
  /** Patches with clouds and a reference, and those without clouds. */
  readonly patches: number;
  readonly clearPatches: number;
  readonly cloud: Measures | null;
  readonly shadow: Measures | null;
  /** Share of the clear patches' pixels that were answered as cloud. */
  readonly falseCloud: number | null;
  /** Of a patch, its tensors and the mask included. */
  readonly medianMs: number;
  readonly rows: readonly CloudRow[];
}

const [cloudClass, shadowClass, unknown] = [1, 2, 255];

export function countPatch(
  patch: string,
  isClear: boolean,
  reference: Uint8Array,
  mask: Uint8Array,
  ms: number,
): CloudRow {
  const shadow = reference.includes(shadowClass) ? countClass(reference, mask, shadowClass) : undefined;
  return { patch, isClear, cloud: countClass(reference, mask, cloudClass), shadow, ms };
}

function countClass(reference: Uint8Array, mask: Uint8Array, wanted: number): Counts {
  let [hit, invented, missed, all] = [0, 0, 0, 0];
  for (const [i, truth] of reference.entries()) {
    if (truth === unknown || mask[i] === unknown) continue;
    all += 1;
    const [is, said] = [truth === wanted, mask[i] === wanted];
    if (is && said) hit += 1;
    else if (said) invented += 1;
    else if (is) missed += 1;
  }
  return { hit, invented, missed, all };
}

/** The measures over all pixels of all patches. */
export function scoreRows(
  { folder, version, variant }: { readonly folder: string; readonly version: string; readonly variant: string },
  rows: readonly CloudRow[],
): CloudScore {
  const labeled = rows.filter(({ isClear }) => !isClear);
  const clear = sum(rows.filter(({ isClear }) => isClear).map(({ cloud }) => cloud));
  const shadows = labeled.flatMap(({ shadow }) => shadow ?? []);
  const ms = rows.map((row) => row.ms).sort((one, other) => one - other);
  return {
    model: folder,
    version,
    variant,
    patches: labeled.length,
    clearPatches: rows.length - labeled.length,
    cloud: labeled.length === 0 ? null : measure(sum(labeled.map(({ cloud }) => cloud))),
    shadow: shadows.length === 0 ? null : measure(sum(shadows)),
    falseCloud: clear.all === 0 ? null : clear.invented / clear.all,
    medianMs: ms[Math.floor(ms.length / 2)] ?? 0,
    rows,
  };
}

function sum(counts: readonly Counts[]): Counts {
  const total = (key: keyof Counts) => counts.reduce((former, count) => former + count[key], 0);
  return { hit: total('hit'), invented: total('invented'), missed: total('missed'), all: total('all') };
}

function measure({ hit, invented, missed }: Counts): Measures {
  const share = (part: number, whole: number) => (whole === 0 ? 1 : part / whole); // nothing to find, nothing said
  return {
    iou: share(hit, hit + invented + missed),
    precision: share(hit, hit + invented),
    recall: share(hit, hit + missed),
    f1: share(2 * hit, 2 * hit + invented + missed),
  };
}

/** The table for a person at a terminal. */
export function toCloudText(scores: readonly CloudScore[], refused: Readonly<Record<string, string>>): string {
  const text = (share: number | null | undefined) => (typeof share === 'number' ? share.toFixed(3) : '-');
  const table = [
    ['model', 'labeled', 'IoU', 'precision', 'recall', 'F1', 'shadow IoU', 'clear', 'false cloud', 'ms a patch'],
    ...scores.map(({ model, patches, cloud, shadow, clearPatches, falseCloud, medianMs }) => [
      model,
      String(patches),
      ...[cloud?.iou, cloud?.precision, cloud?.recall, cloud?.f1, shadow?.iou].map(text),
      String(clearPatches),
      falseCloud === null ? '-' : `${(100 * falseCloud).toFixed(2)} %`,
      medianMs.toFixed(0),
    ]),
  ];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = table.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
  for (const [name, code] of Object.entries(refused)) lines.push(`Skipped ${name}: ${code}`);
  return lines.join('\n');
}

/**
 * Replaces the entry of the same data in the card's list `accuracy`, or adds it; the rest of the text stays as it is.
 * @throws DataError about a card without that list
 */
export function writeCloudCard(modelsDir: string, data: string, score: CloudScore): void {
  const rounded = (measures: Measures) =>
    Object.fromEntries(Object.entries(measures).map(([name, value]) => [name, roundShare(value)]));
  const entry = {
    data,
    path: 'geotiff and onnxruntime-node',
    ...(score.cloud && { patches: score.patches, cloud: rounded(score.cloud) }),
    ...(score.shadow && { shadow: rounded(score.shadow) }),
    ...(score.falseCloud !== null && { clearPatches: score.clearPatches, falseCloud: roundShare(score.falseCloud) }),
  };
  changeAccuracy(join(modelsDir, score.model), (former) => [...former.filter((other) => other.data !== data), entry]);
}
