import { join } from 'node:path';
import { loadConfig } from '../functions/core/config.ts';
import { Problem } from '../functions/core/problem.ts';
import { likeliest } from '../functions/tasks/digits/probabilities.ts';
import { digits } from '../functions/tasks/digits/task.ts';
import { thread } from '../functions/tasks/digits/thread.ts';
import { readCommand } from '../ingress/command.ts';
import { changeAccuracy, roundShare } from './accuracy.ts';
import { type Case, listBlank, listCells, listMnist } from './digit-cases.ts';
import { DataError } from './labeled.ts';
import { loadProven } from './proven.ts';
import { runTool } from './tool.ts';

const usage = `Usage: npm run evaluate -- digits [options]

Accuracy of a model that reads digits, by the steps that a request takes: sharp decodes, a figure is looked for,
onnxruntime-node runs. A digit that is refused counts as wrong.

  --mnist DIR          MNIST's four files: its 10,000 test images
  --cells DIR          pictures of digits, with labels.csv (file, label, kind)
  --blank N            generated sheets without a digit of each kind (default 500): plain, shaded, noisy, ruled
  --model NAME         folder, NAME or NAME@VERSION (default digits)
  --models-dir PATH    folder of model folders (default models)
  --json               print JSON, which also counts the digits that are taken for others
  --misread            list the cells that are not read rightly
  --write-card         write the accuracy into model.json`;

interface Outcome {
  readonly name: string;
  readonly group: string;
  readonly digit: number | undefined;
  /** The digit answered, or the code and detail of the problem. */
  readonly said: number | string;
  readonly prepareMs: number;
  readonly runMs: number;
}

interface Score {
  readonly data: string;
  readonly images: number;
  /** Share of the images that get the right digit, or of those without one that are refused as having none. */
  readonly right: number;
  readonly refused: number;
}

type Options = ReturnType<typeof readOptions>;

async function evaluate(options: Options): Promise<void> {
  const cases = [...listMnist(options.mnist), ...listCells(options.cells), ...listBlank(options.blank)];
  if (cases.length === 0) throw new DataError('Expected --mnist, --cells or --blank but received none of them');
  const answer = await load(options.modelsDir, options.model);
  const outcomes: Outcome[] = [];
  for (const one of cases) {
    outcomes.push(await answer(one));
    if (process.stderr.isTTY && outcomes.length % 100 === 0) {
      process.stderr.write(`\r${outcomes.length} of ${cases.length} `);
    }
  }
  if (process.stderr.isTTY) process.stderr.write('\r');
  const groups = [...new Set(outcomes.map(({ group }) => group))];
  const scores = groups.map((group) =>
    toScore(
      group,
      outcomes.filter((outcome) => outcome.group === group),
    ),
  );
  const times = { prepareMs: median(outcomes, 'prepareMs'), runMs: median(outcomes, 'runMs') };
  const result = { scores, ...times, confusions: confusionsOf(outcomes) };
  process.stdout.write(`${options.json ? JSON.stringify(result, undefined, 2) : toText(scores, times)}\n`);
  if (options.misread) process.stdout.write(listMisread(outcomes));
  if (options.writeCard) changeAccuracy(join(options.modelsDir, options.model), () => scores.map(toEntry));
}

/** What the service would answer. @throws ModelError */
async function load(modelsDir: string, folder: string): Promise<(one: Case) => Promise<Outcome>> {
  const { spec, model } = await loadProven({ modelsDir, folder, card: digits.card, thread });
  const { details } = spec;
  const how = { details, ask: null, settings: loadConfig(digits, 1, {}).settings, precision: 'exact' } as const;
  return async ({ read, ...known }) => {
    const times = { prepareMs: Number.NaN, runMs: Number.NaN };
    try {
      const { input } = await digits.decode(await read(), how);
      const startedMs = performance.now();
      const [tensor] = thread.prepare(input, details);
      const preparedMs = performance.now();
      const values = await model.run(tensor as NonNullable<typeof tensor>);
      times.prepareMs = preparedMs - startedMs;
      times.runMs = performance.now() - preparedMs;
      return { ...known, ...times, said: likeliest(thread.read(values, details, input)) };
    } catch (fault) {
      if (!(fault instanceof Problem)) throw fault;
      return { ...known, ...times, said: `${fault.code}: ${fault.message}` };
    }
  };
}

function toScore(data: string, outcomes: readonly Outcome[]): Score {
  const isRight = ({ digit, said }: Outcome) =>
    digit === undefined ? String(said).startsWith('IMAGE_NO_DIGIT') : said === digit;
  const refused = outcomes.filter(({ said }) => typeof said === 'string').length;
  return { data, images: outcomes.length, right: outcomes.filter(isRight).length / outcomes.length, refused };
}

function toEntry({ data, images, right, refused }: Score) {
  return {
    data: `${data} (${images})`,
    path: 'sharp and onnxruntime-node',
    images,
    right: roundShare(right),
    refused,
  };
}

function median(outcomes: readonly Outcome[], field: 'prepareMs' | 'runMs'): number {
  const sorted = outcomes
    .map((outcome) => outcome[field])
    .filter((ms) => !Number.isNaN(ms))
    .sort((one, other) => one - other);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function toText(
  scores: readonly Score[],
  { prepareMs, runMs }: { readonly prepareMs: number; readonly runMs: number },
): string {
  const rows = [
    ['data', 'images', 'right', 'refused'],
    ...scores.map(({ data, images, right, refused }) => [
      data,
      String(images),
      `${(right * 100).toFixed(2)} %`,
      String(refused),
    ]),
  ];
  const lines = rows.map(([data = '', ...cells]) =>
    [data.padEnd(24), ...cells.map((cell) => cell.padStart(9))].join(' '),
  );
  return [...lines, `Median: ${prepareMs.toFixed(2)} ms to find the digit, ${runMs.toFixed(2)} ms for a run`].join(
    '\n',
  );
}

function listMisread(outcomes: readonly Outcome[]): string {
  const wrong = outcomes.filter(({ group, digit, said }) => group.startsWith('photos') && said !== digit);
  return wrong.map(({ name, digit, said }) => `${name}\t${digit}\t${said}\n`).join('');
}

/** By data, how often each digit shown was answered with each digit; the last count of a row is of the refused. */
function confusionsOf(outcomes: readonly Outcome[]): Readonly<Record<string, readonly (readonly number[])[]>> {
  const tables: Record<string, number[][]> = {};
  for (const { group, digit, said } of outcomes) {
    if (digit === undefined) continue;
    tables[group] ??= Array.from({ length: 10 }, () => new Array<number>(11).fill(0));
    const row = tables[group][digit] as number[];
    const column = typeof said === 'number' ? said : 10;
    row[column] = (row[column] as number) + 1;
  }
  return tables;
}

/** @throws TypeError about the command line */
function readOptions() {
  const { values } = readCommand(usage, {
    options: {
      mnist: { type: 'string' },
      cells: { type: 'string' },
      blank: { type: 'string', default: '500' },
      model: { type: 'string', default: 'digits' },
      'models-dir': { type: 'string', default: 'models' },
      json: { type: 'boolean', default: false },
      misread: { type: 'boolean', default: false },
      'write-card': { type: 'boolean', default: false },
    },
  });
  const { blank } = values;
  if (!/^\d{1,6}$/.test(blank)) throw new TypeError(`Expected a whole number for --blank but received "${blank}"`);
  return { ...values, blank: Number(blank), modelsDir: values['models-dir'], writeCard: values['write-card'] };
}

export const evaluateDigits = () => runTool(usage, readOptions, evaluate);
