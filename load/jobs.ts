import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCommand } from '../ingress/command.ts';
import { type StartedFunction, startFunction } from './function.ts';
import { residentMib } from './proc.ts';
import { machine, print, table } from './report.ts';

readCommand('Usage: node dist/load/jobs.js\n\nWhat jobs cost: answers and jobs a second, memory and disk.', {});

const photo = new Uint8Array(readFileSync('tests/images/test_image_1.jpg'));
const clients = 2 * availableParallelism(); // one request runs while the next one is decoded
const seconds = 10;
const streamJobs = 300;
const waitingJobs = 2000;

interface Posted {
  readonly status: number;
  readonly location: string;
}

/** A synchronous request, or with a key a request for a job. */
async function post(origin: string, key?: string): Promise<Posted> {
  const prefer = key !== undefined && { prefer: 'respond-async', 'idempotency-key': key };
  const headers = { 'content-type': 'image/jpeg', ...prefer };
  const response = await fetch(`${origin}/classify`, { method: 'POST', headers, body: photo });
  await response.arrayBuffer();
  const { status } = response;
  if (key !== undefined && status !== 202) throw new Error(`Expected 202 but received ${status}`);
  return { status, location: response.headers.get('location') ?? '' };
}

async function untilEnded(origin: string, location: string): Promise<void> {
  for (;;) {
    const response = await fetch(origin + location, { headers: { prefer: 'wait=30' } });
    const { state } = (await response.json()) as { state: string };
    if (state === 'succeeded') return;
    if (state !== 'waiting' && state !== 'running') throw new Error(`Expected succeeded but received ${state}`);
  }
}

/** Several clients at a time, each as soon as it is answered; true while there is more to do. */
async function inParallel(next: () => Promise<boolean>): Promise<void> {
  const run = async () => {
    while (await next());
  };
  await Promise.all(Array.from({ length: clients }, run));
}

async function measureAnswers(origin: string): Promise<number> {
  let count = 0;
  const end = performance.now() + seconds * 1000;
  await inParallel(async () => {
    const { status } = await post(origin);
    count += Number(status === 200);
    return performance.now() < end;
  });
  return count / seconds;
}

async function measureJobs(origin: string): Promise<number> {
  const locations: string[] = [];
  const startedMs = performance.now();
  let asked = 0;
  await inParallel(async () => {
    asked += 1;
    const { location } = await post(origin, `stream ${asked}`);
    locations.push(location);
    return asked < streamJobs;
  });
  for (const location of locations) await untilEnded(origin, location);
  return locations.length / ((performance.now() - startedMs) / 1000);
}

function residentBytes({ process }: StartedFunction): number {
  return residentMib(Number(process.pid)) * 2 ** 20;
}

/** What the files of a folder take of the disk, without the photos. */
function diskBytes(folder: string): number {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (path) => !path.startsWith('photos/'),
  );
  return paths.reduce((sum, path) => sum + statSync(join(folder, path)).blocks * 512, 0);
}

const folder = mkdtempSync(join(tmpdir(), 'load-jobs-'));
let started: StartedFunction | undefined;
try {
  print(machine());
  started = await startFunction('primary', { variables: { JOBS_STORE: join(folder, 'primary') } });
  await started.untilReady();
  await measureAnswers(started.origin); // until its predictions are more than guesses
  const answersASecond = await measureAnswers(started.origin);
  const jobsASecond = await measureJobs(started.origin);
  await started.kill();

  const store = join(folder, 'fallback');
  started = await startFunction('fallback', { variables: { JOBS_STORE: store } });
  await started.untilReady();
  const { origin } = started;
  for (let i = 0; i < 50; i += 1) await post(origin, `before ${i}`);
  const [bytes, disk] = [residentBytes(started), diskBytes(store)];
  let asked = 0;
  await inParallel(async () => {
    asked += 1;
    await post(origin, `waiting ${asked}`);
    return asked < waitingJobs;
  });
  const per10k = (value: number) => `${(((value / asked) * 10_000) / 2 ** 20).toFixed(1)} MiB`;
  print(
    table(
      ['', ''],
      [
        ['synchronous answers a second', answersASecond.toFixed(1)],
        ['jobs a second, accepted and run', jobsASecond.toFixed(1)],
        ['memory of the function for 10,000 waiting jobs', per10k(residentBytes(started) - bytes)],
        ['disk for them, photos aside', per10k(diskBytes(store) - disk)],
      ],
    ),
  );
} finally {
  await started?.kill();
  rmSync(folder, { recursive: true });
}
