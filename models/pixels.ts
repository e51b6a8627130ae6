import { closeSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { disableTelemetry, loadConfig } from '../functions/core/config.ts';
import { Problem } from '../functions/core/problem.ts';
import { classify } from '../functions/tasks/classify/task.ts';
import { decodeImage, type Image } from '../functions/tasks/image/image.ts';
import { readCommand } from '../ingress/command.ts';
import { prepareAhead } from './ahead.ts';
import { DataError, type LabeledImage, listLabeledImages } from './labeled.ts';
import { sampleEvenly } from './sample.ts';
import { runTool } from './tool.ts';

const usage = `Usage: node dist/models/pixels.js --data PATH --resize N --crop N --out FILE.npy [options]

Writes images as the service decodes them: FILE.npy holds uint8 [images, crop, crop, 3] RGB, FILE.tsv a line for each with
its name, WordNet id, width and height. Images that the service would refuse are listed and left out.

  --data PATH       a Parquet file or a folder, as for npm run evaluate
  --resize N        pixels of the shorter side
  --crop N          pixels of the square that is kept
  --kernel NAME     linear (default) or cubic
  --limit N         only N images, evenly over the classes
  --seed N          which ones --limit takes (default 1)
  --out FILE.npy    the file to write`;

/** The .npy format asks for a multiple of 64; two of them hold any shape that fits into memory. */
const headerBytes = 128;

type Options = ReturnType<typeof readOptions>;

async function writePixels(options: Options): Promise<void> {
  const listed = await listLabeledImages(options.data);
  const images = options.limit === undefined ? listed : sampleEvenly(listed, options.limit, options.seed);
  const part = `${options.out}.part`;
  const file = openSync(part, 'w');
  const lines = ['image\twnid\twidth\theight\n'];
  let left = images.length;
  try {
    writeSync(file, npyHeader(0, options.crop), 0);
    for await (const { image, decoded } of prepareAhead(images, decoderFor(options))) {
      left -= 1;
      if (typeof decoded === 'string') {
        process.stderr.write(`Left out ${image.name}: ${decoded}\n`);
        continue;
      }
      writeWhole(file, decoded.pixels.data);
      const name = image.name.replace(/[\t\r\n]/g, ' '); // they would end the cell
      lines.push(`${name}\t${image.class}\t${decoded.sourceWidth}\t${decoded.sourceHeight}\n`);
      if (process.stderr.isTTY) process.stderr.write(`\r${left} images left `);
    }
    if (process.stderr.isTTY) process.stderr.write('\r');
    const count = lines.length - 1;
    if (count === 0) {
      throw new DataError(
        `Expected images that can be decoded for --data but received ${images.length} others in "${options.data}"`,
      );
    }
    writeSync(file, npyHeader(count, options.crop), 0, headerBytes, 0);
    writeFileSync(options.out.replace(/\.npy$/, '.tsv'), lines.join(''));
    renameSync(part, options.out);
    process.stdout.write(`${options.out}: ${count} images of ${options.crop} x ${options.crop}\n`);
  } finally {
    closeSync(file);
    rmSync(part, { force: true });
  }
}

/** Makes of an image its pixels, or why the service would refuse it. */
function decoderFor(options: Options) {
  const { maxPixels } = loadConfig(classify, 1, {}).settings;
  return async (image: LabeledImage): Promise<{ image: LabeledImage; decoded: Image | string }> => {
    try {
      return { image, decoded: await decodeImage(await image.read(), options, maxPixels) };
    } catch (fault) {
      if (fault instanceof Problem) return { image, decoded: `${fault.code}: ${fault.message}` };
      if (fault instanceof Error && 'code' in fault) return { image, decoded: fault.message }; // of the file system
      throw fault;
    }
  };
}

/** Version 1.0 of numpy's file format, always of the same length, so that the count can be written last. */
function npyHeader(count: number, crop: number): Buffer {
  const header = Buffer.alloc(headerBytes, ' ');
  header.write('\x93NUMPY\x01\x00', 'latin1');
  header.writeUInt16LE(headerBytes - 10, 8);
  header.write(`{'descr': '|u1', 'fortran_order': False, 'shape': (${count}, ${crop}, ${crop}, 3), }`, 10, 'latin1');
  header.write('\n', headerBytes - 1);
  return header;
}

/** A write may take less than it is given. */
function writeWhole(file: number, data: Uint8Array): void {
  for (let from = 0; from < data.length; ) from += writeSync(file, data, from);
}

/** @throws TypeError about the command line */
function readOptions() {
  const { values } = readCommand(usage, {
    options: {
      data: { type: 'string' },
      resize: { type: 'string' },
      crop: { type: 'string' },
      kernel: { type: 'string', default: 'linear' },
      limit: { type: 'string' },
      seed: { type: 'string', default: '1' },
      out: { type: 'string' },
    },
  });
  const expect = (met: boolean, what: string, name: string, received: string | undefined): void => {
    const found = received === undefined ? 'nothing' : `"${received}"`;
    if (!met) throw new TypeError(`Expected ${what} for --${name} but received ${found}`);
  };
  const isCount = (text: string | undefined) => text !== undefined && /^[1-9]\d{0,8}$/.test(text);
  expect(values.data !== undefined, 'a path', 'data', values.data);
  expect(values.out?.endsWith('.npy') === true, 'a path that ends with .npy', 'out', values.out);
  const [resize, crop] = [Number(values.resize), Number(values.crop)];
  expect(isCount(values.crop) && crop <= 1024, 'a whole number from 1 to 1024', 'crop', values.crop);
  const isSide = isCount(values.resize) && resize >= crop && resize <= 1024;
  expect(isSide, 'a whole number from --crop to 1024', 'resize', values.resize);
  const { kernel } = values;
  if (kernel !== 'linear' && kernel !== 'cubic') {
    throw new TypeError(`Expected linear or cubic for --kernel but received "${kernel}"`);
  }
  expect(values.limit === undefined || isCount(values.limit), 'a whole number above 0', 'limit', values.limit);
  expect(isCount(values.seed), 'a whole number above 0', 'seed', values.seed);
  return {
    data: String(values.data),
    out: String(values.out),
    resize,
    crop,
    kernel: kernel as 'linear' | 'cubic',
    limit: values.limit === undefined ? undefined : Number(values.limit),
    seed: Number(values.seed),
  };
}

disableTelemetry();
await runTool(usage, readOptions, writePixels);
