import { join } from 'node:path';
import { Problem } from '../../functions/core/problem.ts';
import { digitOf } from '../../functions/tasks/digits/digit.ts';
import { goldenPicture } from '../../functions/tasks/digits/golden.ts';
import type { Picture } from '../../functions/tasks/image/whole.ts';
import { readCommand } from '../../ingress/command.ts';
import { readMnist, writeIdx } from '../idx.ts';
import { createRandom } from '../random.ts';
import { runTool } from '../tool.ts';
import { photographGrown, photographOther, photographWritten } from './scene.ts';

const usage = `Usage: node dist/models/digit-photos/write.js --data DIR --out DIR [options]

Writes training images for the digits model: generated photos of MNIST's training digits, of digits that a generator writes, and of
what is no digit (label 10), as the service prepares them. The folder of --out gets train-images-idx3-ubyte, train-labels-idx1-ubyte and golden-idx3-ubyte, the
card's golden case, in MNIST's format.

  --data DIR     MNIST's four files
  --out DIR      an existing folder
  --written N    how many digits the generator writes beside MNIST's (default 6000)
  --others N     how many photos show no single digit (default 3000), of which those count that are not refused before
  --limit N      only the first N of MNIST's (default 20000)
  --seed N       other photos (default 1)`;

/** Of what is no digit. */
const noDigitLabel = 10;

type Options = ReturnType<typeof readOptions>;

async function write({ data, out, written, others, limit, seed }: Options): Promise<void> {
  const { images, labels } = readMnist(data, 'train');
  const grown = Math.min(limit, labels.length);
  const frames: Uint8Array[] = [];
  const kept: number[] = [];
  const add = (label: number, picture: Picture) => {
    try {
      frames.push(digitOf(picture));
      kept.push(label);
    } catch (fault) {
      if (!(fault instanceof Problem)) throw fault; // a photo on which nobody could find it
    }
  };
  const all = grown + written + others;
  for (let i = 0; i < all; i++) {
    const random = createRandom(seed, i);
    if (i < grown) add(labels[i] as number, photographGrown(images[i] as Uint8Array, labels[i] as number, random));
    else if (i < grown + written) add(i % 10, photographWritten(i % 10, random));
    else add(noDigitLabel, photographOther(random));
    if (process.stderr.isTTY && i % 100 === 0) process.stderr.write(`\r${i} of ${all} `);
  }
  writeIdx(join(out, 'golden-idx3-ubyte'), { dims: [1, 28, 28], values: digitOf(goldenPicture()) });
  writeIdx(join(out, 'train-images-idx3-ubyte'), { dims: [frames.length, 28, 28], values: Buffer.concat(frames) });
  writeIdx(join(out, 'train-labels-idx1-ubyte'), { dims: [kept.length], values: Uint8Array.from(kept) });
  process.stdout.write(`${frames.length} of ${all} photos are taken for a digit\n`);
}

/** @throws TypeError about the command line */
function readOptions() {
  const { values } = readCommand(usage, {
    options: {
      data: { type: 'string' },
      out: { type: 'string' },
      written: { type: 'string', default: '6000' },
      others: { type: 'string', default: '3000' },
      limit: { type: 'string', default: '20000' },
      seed: { type: 'string', default: '1' },
    },
  });
  for (const name of ['data', 'out'] as const) {
    if (values[name] === undefined) throw new TypeError(`Expected a folder for --${name} but received nothing`);
  }
  for (const name of ['written', 'others', 'limit', 'seed'] as const) {
    if (!/^\d{1,9}$/.test(values[name])) {
      throw new TypeError(`Expected a whole number for --${name} but received "${values[name]}"`);
    }
  }
  return {
    data: String(values.data),
    out: String(values.out),
    written: Number(values.written),
    others: Number(values.others),
    limit: Number(values.limit),
    seed: Number(values.seed),
  };
}

await runTool(usage, readOptions, write);
