import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import sharp from 'sharp';
import { functionCommand, memoryVariables } from '../functions/launch.ts';
import { readCommand } from '../ingress/command.ts';
import { freePort } from '../ingress/port.ts';
import { type Ask, loadBare, type Sample, through } from './ask.ts';
import type { Probing } from './probe.ts';
import { loopTable, machine, median, print, quantile, table } from './report.ts';
import { loopWatch, type Stack, startStack } from './stack.ts';

readCommand(
  'Usage: node dist/load/overhead.js\n\nWhat the service adds to decoding and running, and how long its event loop stalls.',
  {},
);

/** The bare loop and the three ways through the service take turns, so that what else the machine does falls on all four. */
const rounds = 7;
const requestsPerRound = 100;

/** Clients of the stall measurement: four times what two cores can run. */
const stallClients = 8;
const stallSeconds = 10;
const probesPerSecond = 50;

const probeScript = new URL('./probe.js', import.meta.url);

const bare = await loadBare();

/** Detail like a photo's: smooth fields, edges and grain, so that it takes about 0.5 bytes a pixel as JPEG. */
function drawPhoto(width: number, height: number): Promise<Buffer> {
  const data = Buffer.alloc(width * height * 3);
  let noise = 1;
  for (let i = 0; i < data.length; i += 1) {
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    noise = (Math.imul(noise, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    const field = 128 + 60 * Math.sin((x * (1 + (i % 3))) / 40) + 50 * Math.cos(y / 23 + x / 90);
    data[i] = Math.max(0, Math.min(255, field + ((noise >> 16) % 28) + (((x >> 5) + (y >> 5)) % 2) * 24));
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 88 })
    .toBuffer();
}

/** What `npx functions-framework` starts. */
const frameworkScript = 'node_modules/@google-cloud/functions-framework/build/src/main.js';

interface Hosted {
  readonly origin: string;
  readonly process: ChildProcess;
}

/** The primary under the framework's own server, otherwise as in the stack. */
async function startUnderFramework(): Promise<Hosted> {
  const port = await freePort();
  const [program, ...args] = functionCommand('primary');
  const target = ['--target=primary', '--source=dist/functions/primary.js', `--port=${port}`];
  const env = { ...memoryVariables('primary'), ...process.env, NODE_OPTIONS: loopWatch };
  const hosted = spawn(program, [...args.slice(0, -1), frameworkScript, ...target], { env, stdio: 'ignore' });
  const origin = `http://127.0.0.1:${port}`;
  for (let status = ''; status !== 'ready'; await sleep(50)) {
    if (hosted.exitCode !== null) throw new Error(`Expected the framework's server to start but it ended`);
    const answer = await fetch(`${origin}/readyz`).catch(() => undefined);
    status = answer === undefined ? '' : ((await answer.json()) as { status: string }).status;
  }
  return { origin, process: hosted };
}

async function measureOverhead(stack: Stack, hosted: Hosted, name: string, photo: Buffer): Promise<void> {
  const ways: Readonly<Record<string, Ask>> = {
    'bare loop': bare.ask,
    "primary, under the framework's server": through(hosted.origin, stallClients),
    'primary, without nginx': through(stack.primaryOrigin, stallClients),
    'through nginx': through(stack.origin, stallClients),
  };
  const samples: Record<string, Sample[]> = {};
  for (const way of Object.keys(ways)) samples[way] = [];
  for (let round = -1; round < rounds; round += 1) {
    for (const [way, ask] of Object.entries(ways)) {
      for (let i = 0; i < requestsPerRound; i += 1) {
        const sample = await ask(photo);
        if (round >= 0) samples[way]?.push(sample); // the round before compiles the code and fills the caches
      }
    }
  }
  const p50 = (way: string) => median((samples[way] as Sample[]).map(({ ms }) => ms));
  const rows = Object.entries(samples).map(([way, list]) => {
    const stage = (name: string) => {
      const known = list.map(({ stages }) => stages[name]).filter((ms) => ms !== undefined);
      return known.length > 0 ? median(known).toFixed(1) : '';
    };
    const p99 = quantile(
      list.map(({ ms }) => ms),
      0.99,
    );
    const figures = [p50(way).toFixed(2), p99.toFixed(1), (p50(way) - p50('bare loop')).toFixed(2)];
    return [way, ...figures, ...['upload', 'decode', 'queue', 'model'].map(stage)];
  });
  print(`${name}, ${Math.round(photo.length / 1000)} kB, ms:\n`);
  print(table(['way', 'p50', 'p99', 'above the loop', 'upload', 'decode', 'queue', 'model'], rows));
}

/** Latency of GET /livez while the same process is asked to classify photos of all sizes by eight clients. */
async function measureStalls(stack: Stack): Promise<void> {
  const sizes = [
    [500, 375],
    [1600, 1200],
    [4000, 3000],
  ] as const;
  const photos = await Promise.all(sizes.map(([width, height]) => drawPhoto(width, height)));
  const ask = through(stack.primaryOrigin, stallClients);
  const rows: string[][] = [];
  for (const busy of [false, true]) {
    const endMs = performance.now() + stallSeconds * 1000;
    let answered = 0;
    const clients = Array.from({ length: busy ? stallClients : 0 }, async (_, client) => {
      for (let turn = client; performance.now() < endMs; turn += 1) {
        await ask(photos[turn % photos.length] as Buffer);
        answered += 1;
      }
    });
    const probing: Probing = { url: `${stack.primaryOrigin}/livez`, perSecond: probesPerSecond, seconds: stallSeconds };
    const [ms] = (await once(new Worker(probeScript, { workerData: probing }), 'message')) as [number[]];
    await Promise.all(clients);
    const figures = [quantile(ms, 0.5), quantile(ms, 0.99), Math.max(...ms)].map((value) => value.toFixed(1));
    rows.push([busy ? `${stallClients} clients` : 'nobody', (answered / stallSeconds).toFixed(1), ...figures]);
  }
  print(
    `GET /livez of the primary, ${probesPerSecond} a second, while photos of 0.2, 1.9 and 12 megapixels are classified, ms:\n`,
  );
  print(table(['load', 'classified a second', 'p50', 'p99', 'longest'], rows));
}

print(machine());
const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());
const stack = await startStack(process.env, stopping.signal);
stopping.signal.addEventListener('abort', stack.interrupt);
try {
  const hosted = await startUnderFramework();
  try {
    await measureOverhead(stack, hosted, 'Photo of 500x375', await drawPhoto(500, 375));
    const name = 'tests/images/test_image_1.jpg';
    await measureOverhead(stack, hosted, name, readFileSync(name));
  } finally {
    hosted.process.kill('SIGKILL'); // it ends at once anyway
  }
  await measureStalls(stack);
} finally {
  const loops = await stack.stop();
  print('The event loops over all of this, ms:\n');
  print(loopTable(loops));
  await bare.release();
}
