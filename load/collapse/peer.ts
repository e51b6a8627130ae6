import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../ingress/port.ts';
import type { Served } from './sweep.ts';
import { type ProcessTree, startTree } from './tree.ts';

/** The reference servers by their option, each tuned to answer or refuse within 1 s, and their names in tables. */
export const peers: Readonly<Record<string, string>> = {
  'fastapi-tuned': 'FastAPI, tuned',
  'litserve-tuned': 'LitServe, tuned',
  'bentoml-tuned': 'BentoML, tuned',
  'ray-tuned': 'Ray Serve, tuned',
};

const script = fileURLToPath(new URL('../../../load/peers/serve.sh', import.meta.url));
/** 6 s to measure its bound, and up to 10 s to start. */
const startWithinMs = 90_000;
const sampleMs = 2000;
/** The first answers of a new process are slower. */
const warmUpAnswers = 40;

/** Starts a reference server with the shipped Wide ResNet. @throws Error with its output */
export async function startPeer(name: string, photos: readonly string[]): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), 'collapse-'));
  const logPath = join(folder, 'server.log');
  const port = await freePort();
  const tree = startTree(['bash', script, name.replace('-tuned', ''), String(port), ...photos], logPath);
  process.once('exit', () => {
    for (const pid of tree.members()) process.kill(pid, 'SIGKILL');
  });
  const stop = async () => {
    await tree.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const origin = `http://127.0.0.1:${port}`;
  try {
    await warmUp(origin, tree, photos);
  } catch (fault) {
    const output = readFileSync(logPath, 'utf8').slice(-2000);
    await stop();
    throw new Error(`${(fault as Error).message}; the end of its output:\n${output}`);
  }
  return { origin, probed: {}, stop, kill: () => {}, watch: () => watchTree(tree) };
}

async function warmUp(origin: string, tree: ProcessTree, photos: readonly string[]): Promise<void> {
  for (let answers = 0, endMs = Date.now() + startWithinMs; answers < warmUpAnswers; ) {
    if (tree.members().length === 0) throw new Error('Expected a server that runs but it ended');
    if (Date.now() > endMs) throw new Error(`Expected an answer within ${startWithinMs} ms but received none`);
    const body = new FormData();
    body.set(
      'image',
      new Blob([readFileSync(photos[answers % photos.length] as string)], { type: 'image/jpeg' }),
      'a.jpg',
    );
    const response = await fetch(`${origin}/classify`, { method: 'POST', body }).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.status === 200) answers += 1;
    else await sleep(100);
  }
}

function watchTree(tree: ProcessTree): ReturnType<Served['watch']> {
  const before = tree.cpuSeconds();
  let server = 0;
  const look = () => {
    server = Math.max(server, tree.proportionalMb());
  };
  const timer = setInterval(look, sampleMs);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return { cpuSeconds: { server: tree.cpuSeconds() - before }, mostMb: { server } };
    },
  };
}
