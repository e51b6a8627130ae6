import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

// A step of the image's build: node [FLAGS] warm.js PATH UPLOAD CACHE
// Starts the function of the environment with the same flags, which a cache must agree with, waits until all of its models have
// passed their golden case, posts the upload to its path, and stops it. A chosen model whose folder is not there may be missing, one
// that is refused may not. What V8 has compiled on the way lies in CACHE then, readable for all users and writable for none.

// V8 leaves the first two out of what a cache must agree with; with all of them two builds give the same bytes.
const reproducible = [
  '--predictable',
  '--random-seed=1',
  '--require',
  fileURLToPath(new URL('unlimited.cjs', import.meta.url)),
];
// Far more than the second it takes: the processor may be an emulated one.
const readyWithinMs = 120_000;
// Characters of the answer; a mask is long.
const mostShown = 500;

const [path, upload, cache] = process.argv.slice(2) as [string, string, string];
mkdirSync(cache);
const served = spawn(process.execPath, [...process.execArgv, ...reproducible, 'dist/functions/serve.js'], {
  env: { ...process.env, PORT: '0', WORKERS: '1', NODE_COMPILE_CACHE: cache },
  stdio: ['ignore', 'pipe', 'inherit'],
});
try {
  const url = `http://127.0.0.1:${await listeningPort(served)}`;
  await untilReady(url);
  await ask(url);
  const ended = once(served, 'exit');
  served.kill('SIGTERM');
  const [code] = await ended;
  if (code !== 0) throw new Error(`Expected 0 for the function's exit code but received ${code}`);
  makeReadable(cache);
} finally {
  served.kill('SIGKILL');
}

async function listeningPort({ stdout }: ChildProcess): Promise<number> {
  const lines = createInterface({ input: stdout as NodeJS.ReadableStream });
  return new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      process.stdout.write(`${line}\n`);
      const { message, port } = JSON.parse(line) as { message?: string; port?: number };
      if (message === 'listening') resolve(Number(port));
    });
    lines.once('close', () => reject(new Error('Expected a function that listens but received its end')));
  });
}

async function untilReady(url: string): Promise<void> {
  let state = 'no answer';
  for (const end = Date.now() + readyWithinMs; Date.now() < end; await sleep(50)) {
    state = await (await fetch(`${url}/readyz`)).text();
    const { status, missing = [] } = JSON.parse(state) as { status: string; missing?: readonly string[] };
    if (status === 'ready' || (status === 'degraded' && missing.every(isAbsent) && (await isServing(url)))) return;
  }
  throw new Error(`Expected "ready" for /readyz within ${readyWithinMs / 1000} s but received ${state}`);
}

function isAbsent(folder: string): boolean {
  return !existsSync(join(process.env.MODELS_DIR ?? 'models', folder));
}

/** Whether every model that takes part has a worker, the embedded ones that stand in included. */
async function isServing(url: string): Promise<boolean> {
  const workers = (await (await fetch(`${url}/metrics`)).text()).match(/^understudy_workers\{.*$/gm) ?? [];
  return workers.every((line) => !line.endsWith(' 0'));
}

async function ask(url: string): Promise<void> {
  const isEvent = upload.endsWith('.json');
  const headers = { 'content-type': isEvent ? 'application/cloudevents+json' : 'application/octet-stream' };
  const response = await fetch(`${url}${path}`, { method: 'POST', headers, body: readFileSync(upload) });
  const text = await response.text();
  if (!response.ok) throw new Error(`Expected 200 for ${upload} but received ${response.status} ${text}`);
  process.stdout.write(`${text.slice(0, mostShown)}\n`);
}

// Node makes them for their owner alone; in the image they belong to root.
function makeReadable(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  }
}
