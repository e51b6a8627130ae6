import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Client, type Outcome } from './connections.ts';
import type { Probing } from './probe.ts';

/** A stretch of traffic: an open loop of `perSecond` requests, or a closed loop of `clients`. */
export interface Traffic {
  readonly origin: string;
  readonly photos: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly perSecond?: number;
  readonly clients?: number;
  /** Addresses to probe meanwhile, by name. */
  readonly probed?: Readonly<Record<string, string>>;
}

export interface Fired {
  readonly outcomes: readonly Outcome[];
  /** What each probe took, in ms; null where one was not answered. */
  readonly probeMs: Readonly<Record<string, readonly number[] | null>>;
  /** Of this process while it sent. */
  readonly cpuSeconds: number;
}

/** A refused client of a closed loop waits this long: a refusal comes at once. */
const backOffMs = 50;

const probesPerSecond = 20;
const probeScript = new URL('./probe.js', import.meta.url);

const boundary = 'photo-7d1f4b1a';

async function fire({
  origin,
  photos,
  headers,
  seconds,
  perSecond = 0,
  clients = 0,
  probed = {},
}: Traffic): Promise<Fired> {
  const url = new URL(origin);
  const requests = photos.map((path) => requestOf(url, readFileSync(path), headers));
  const client = new Client(url);
  const asked: Promise<Outcome>[] = [];
  const ask = (dueMs: number) => {
    const outcome = client.ask(requests[asked.length % requests.length] as Buffer, dueMs);
    asked.push(outcome);
    return outcome;
  };
  const before = process.cpuUsage();
  const probes = Object.entries(probed).map(async ([name, url]) => [name, await probe(url, seconds)] as const);
  const endMs = performance.now() + seconds * 1000;
  await (clients > 0
    ? Promise.all(Array.from({ length: clients }, () => closedLoop(ask, endMs)))
    : openLoop(ask, perSecond, Math.round(perSecond * seconds)));
  const { user, system } = process.cpuUsage(before);
  const outcomes = await Promise.all(asked);
  client.close();
  return { outcomes, cpuSeconds: (user + system) / 1e6, probeMs: Object.fromEntries(await Promise.all(probes)) };
}

async function probe(url: string, seconds: number): Promise<readonly number[] | null> {
  const workerData: Probing = { url, perSecond: probesPerSecond, seconds };
  const worker = new Worker(probeScript, { workerData });
  const [times] = await Promise.race([once(worker, 'message'), once(worker, 'exit')]).catch(() => [undefined]);
  return Array.isArray(times) ? times : null;
}

async function openLoop(ask: (dueMs: number) => void, perSecond: number, requests: number): Promise<void> {
  const beganMs = performance.now();
  const dueMs = (turn: number) => beganMs + (turn * 1000) / perSecond;
  for (let turn = 0; turn < requests; ) {
    for (; turn < requests && dueMs(turn) <= performance.now(); turn += 1) ask(dueMs(turn));
    await sleep(Math.max(0, dueMs(turn) - performance.now()));
  }
}

async function closedLoop(ask: (dueMs: number) => Promise<Outcome>, endMs: number): Promise<void> {
  while (performance.now() < endMs) {
    const { verdict } = await ask(performance.now());
    if (verdict.kind !== 'answer') await sleep(backOffMs);
  }
}

/** A form with one file, which every compared server takes. */
function requestOf({ host }: URL, photo: Buffer, headers: Readonly<Record<string, string>>): Buffer {
  const disposition = 'Content-Disposition: form-data; name="image"; filename="photo.jpg"';
  const head = `--${boundary}\r\n${disposition}\r\nContent-Type: image/jpeg\r\n\r\n`;
  const body = Buffer.concat([Buffer.from(head), photo, Buffer.from(`\r\n--${boundary}--\r\n`)]);
  const type = `multipart/form-data; boundary=${boundary}`;
  const fields = { host, 'content-type': type, 'content-length': body.length, ...headers };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST /classify HTTP/1.1\r\n${lines.join('')}\r\n`), body]);
}

try {
  // Clients on other machines would not wait for the server's cores, nor do probes, which are threads of this process. Where the
  // kernel groups by session, niceness is not enough.
  setPriority(-10);
  writeFileSync('/proc/self/autogroup', '-10');
} catch {
  // needs root; the steps count how many requests left late
}
process.on('message', async (traffic: Traffic) => process.send?.(await fire(traffic)));
process.on('disconnect', () => process.exit());
