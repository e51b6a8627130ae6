import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import type { FunctionName } from '../functions/launch.ts';
import { readCommand } from '../ingress/command.ts';
import { startFunction } from './function.ts';
import { residentMib } from './proc.ts';
import { machine, print, table } from './report.ts';

const { positionals } = readCommand(
  'Usage: node dist/load/memory.js [FUNCTION]...\n\nMemory of each function, or of these, at rest and under traffic of usual and of the largest uploads.',
  { allowPositionals: true },
);

/** As in knative/base. */
const workersOf = { primary: 2, fallback: 1, clouds: 1, digits: 1 };

/** More than a function decodes at once. */
const clients = 8;
/** For each kind of traffic; the slowest large image takes seconds. */
const trafficMs = 30_000;
/** The longest deadline: no client gives up before its image is decoded. */
const deadline = { 'x-deadline-ms': '30000' };

/** Just below the default of MAX_PIXELS. */
const [width, height] = [7300, 5479];

type Image = Uint8Array<ArrayBuffer>;

const photos = [1, 2, 3].map((n) => readFileSync(`tests/images/test_image_${n}.jpg`));

/** One picture of 40 megapixels in every format that costs a decoder memory and fits an upload. */
async function drawLargest(): Promise<readonly Image[]> {
  const [small, channels] = [0.1, 3] as const;
  const size = { width: Math.round(width * small), height: Math.round(height * small) };
  const noise = Uint8Array.from(
    { length: size.width * size.height * channels },
    (_, i) => (i * 37 + (i >> 4) * 101) % 256,
  );
  const data = await sharp(noise, { raw: { ...size, channels } })
    .blur(2)
    .resize(width, height, { fit: 'fill' })
    .raw()
    .toBuffer();
  const picture = () => sharp(data, { raw: { width, height, channels } });
  const forms = await Promise.all([
    picture().jpeg().toBuffer(),
    picture().jpeg({ progressive: true }).toBuffer(),
    picture().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
    picture().webp({ quality: 60, effort: 0 }).toBuffer(),
    picture().gif({ effort: 1, colours: 16, dither: 0 }).toBuffer(),
    picture().avif({ quality: 40, effort: 0, chromaSubsampling: '4:4:4' }).toBuffer(),
    picture().ensureAlpha(0.5).avif({ quality: 40, effort: 0, chromaSubsampling: '4:4:4' }).toBuffer(),
  ]);
  return forms.map((bytes) => Uint8Array.from(bytes));
}

/** The largest patch, its bands interleaved, as it is and packed. */
async function drawPatches(): Promise<readonly Image[]> {
  const side = 1024;
  const data = Uint16Array.from({ length: side * side * 4 }, (_, i) => 800 + ((i * 37 + (i >> 9) * 101) % 1200));
  const patch = () => sharp(data, { raw: { width: side, height: side, channels: 4 } }).toColourspace('rgb16');
  const forms = [
    await patch().tiff({ compression: 'none' }).toBuffer(),
    await patch().tiff({ compression: 'deflate' }).toBuffer(),
  ];
  return forms.map((bytes) => Uint8Array.from(bytes));
}

/** Uploads of one kind and where they are posted. */
interface Uploads {
  readonly path: string;
  readonly images: readonly Image[];
}

/** Posts images in turn in a closed loop; returns the statuses, most frequent first. */
async function post(origin: string, { path, images }: Uploads): Promise<string> {
  const counts = new Map<number, number>();
  const endMs = performance.now() + trafficMs;
  let next = 0;
  const client = async () => {
    while (performance.now() < endMs) {
      const body = images[next++ % images.length] as Image;
      const headers = { 'content-type': 'application/octet-stream', ...deadline };
      const response = await fetch(`${origin}${path}`, { method: 'POST', headers, body });
      await response.arrayBuffer();
      counts.set(response.status, (counts.get(response.status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const sorted = [...counts].toSorted(([, one], [, other]) => other - one);
  return sorted.map(([status, count]) => `${count} × ${status}`).join(', ');
}

/** Those that take uploads. */
type Measured = Exclude<FunctionName, 'events'>;

async function measure(target: Measured, kinds: Readonly<Record<string, Uploads>>): Promise<string[][]> {
  const { origin, process, untilReady, kill } = await startFunction(target, {
    variables: { WORKERS: String(workersOf[target]) },
  });
  const pid = process.pid as number;
  const memory = () => [residentMib(pid, 'VmRSS').toFixed(0), residentMib(pid, 'VmHWM').toFixed(0)];
  try {
    await untilReady();
    const rows = [[target, 'nothing yet', '', ...memory()]];
    for (const [name, uploads] of Object.entries(kinds)) {
      const answers = await post(origin, uploads);
      rows.push([target, name, answers, ...memory()]);
    }
    return rows;
  } finally {
    await kill();
  }
}

print(machine());
const largest = await drawLargest();
const read = (file: string): Image => Uint8Array.from(readFileSync(`tests/images/${file}`));
const classified = {
  'photos of 30 kB': { path: '/classify', images: photos },
  'images of 40 megapixels': { path: '/classify', images: largest },
};
const bands = 'bands=B02,B03,B04,B08&level=L2A&format=rle';
const kinds: Readonly<Record<Measured, Readonly<Record<string, Uploads>>>> = {
  primary: classified,
  fallback: classified,
  clouds: {
    'a patch of 128x128': { path: '/infer', images: [read('patch.tif')] },
    'patches of 1024x1024': { path: `/infer?${bands}`, images: await drawPatches() },
  },
  digits: {
    'a digit': { path: '/predict', images: [read('digit.png')] },
    'images of 40 megapixels': { path: '/predict', images: largest },
  },
};
const rows = [];
for (const [name, uploads] of Object.entries(kinds)) {
  if (positionals.length === 0 || positionals.includes(name)) rows.push(...(await measure(name as Measured, uploads)));
}
print(`${clients} clients, ${trafficMs / 1000} s each; MiB of resident memory:\n`);
print(table(['function', 'posted', 'answers', 'afterwards', 'highest so far'], rows));
