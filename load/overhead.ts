import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { readCommand } from '../ingress/command.ts';
import { type Ask, loadBare, type Sample, through } from './ask.ts';
import { startFunction } from './function.ts';
import { machine, median, print, quantile, table } from './report.ts';
import { startStack } from './stack.ts';

readCommand('Usage: node dist/load/overhead.js\n\nWhat the service adds to decoding and running.', {});

/** The four ways take turns, so that other load on the machine falls on all of them. */
const rounds = 7;
const requestsPerRound = 100;

/** A JPEG with a photo's detail (smooth fields, edges, grain), of about 0.5 bytes a pixel. */
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
const framework = ['node_modules/@google-cloud/functions-framework/build/src/main.js', '--target=primary'];

async function measureOverhead(ways: Readonly<Record<string, Ask>>, name: string, photo: Buffer): Promise<void> {
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

print(machine());
const bare = await loadBare();
const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());
const stack = await startStack(process.env, stopping.signal);
stopping.signal.addEventListener('abort', stack.interrupt);
const server = [...framework, '--source=dist/functions/primary.js'];
const hosted = await startFunction('primary', { server, variables: { LOG_LEVEL: 'info' } }); // as in the stack
try {
  await hosted.untilReady();
  const ways = {
    'bare loop': bare.ask,
    "primary, under the framework's server": through(hosted.origin),
    'primary, without nginx': through(stack.primaryOrigin),
    'through nginx': through(stack.origin),
  };
  await measureOverhead(ways, 'Photo of 500x375', await drawPhoto(500, 375));
  const name = 'tests/images/test_image_1.jpg';
  await measureOverhead(ways, name, readFileSync(name));
} finally {
  await hosted.kill();
  await stack.stop();
  await bare.release();
}
