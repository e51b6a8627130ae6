import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../ingress/port.ts';
import { ask, form, isAnswered, keptConnections } from '../peers/client.ts';
import { cores, type System } from '../peers/plan.ts';
import { startTree } from '../peers/processes.ts';
import type { Served } from './sweep.ts';

const root = resolve(fileURLToPath(new URL('../../../', import.meta.url)));
const here = join(root, 'load/peers');
const model = join(root, 'models/wide-resnet');
const startWithinMs = 90_000;
const sampleMs = 2000;
/** Seconds of its capacity that a tuned peer lets wait. Less than in peers/run.ts: far beyond the capacity refusals take their time, too. */
const admittedSeconds = 0.4;
const warmUpAnswers = 40;

/** Starts another model server with the Wide ResNet that ships. */
export async function startPeer(
  system: System,
  photos: readonly Buffer[],
  photoPaths: readonly string[],
): Promise<Served> {
  const python = join(here, 'build/venvs', system.family, 'bin/python');
  if (!existsSync(python))
    throw new Error(`Expected ${python} but received nothing: run "bash load/peers/setup.sh ${system.family}" first`);
  const folder = mkdtempSync(join(tmpdir(), 'collapse-'));
  const place = { root, port: await freePort(), inFlight: inFlightOf(python, photoPaths), pids: join(folder, 'pids') };
  mkdirSync(place.pids);
  const logPath = join(folder, 'server.log');
  const tree = startTree(system.command(place), {
    env: { ...system.env(place), PEER_MODEL: model },
    cwd: here,
    logPath,
  });
  process.once('exit', () => {
    for (const pid of tree.members()) process.kill(pid, 'SIGKILL');
  });
  const stop = async () => {
    await tree.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  const origin = `http://127.0.0.1:${place.port}`;
  try {
    const agent = keptConnections();
    for (let answers = 0, endMs = Date.now() + startWithinMs; answers < warmUpAnswers; ) {
      if (Date.now() > endMs)
        throw new Error(`Expected an answer of ${system.label} within ${startWithinMs} ms but received none`);
      if (isAnswered(await ask(origin, form(photos[answers % photos.length] as Buffer), agent))) answers += 1;
      else await sleep(100);
    }
    agent.destroy();
  } catch (fault) {
    await stop();
    throw fault;
  }
  return { origin, probed: {}, stop, kill: () => {}, watch: () => watchTree(tree) };
}

function watchTree(tree: ReturnType<typeof startTree>): ReturnType<Served['watch']> {
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

/** How many requests a tuned server may hold: what a bare loop on all cores finishes within 0.4 s. */
function inFlightOf(python: string, photoPaths: readonly string[]): number {
  const env = { ...process.env, PEER_MODEL: model, PEER_LANES: String(cores), PYTHONDONTWRITEBYTECODE: '1' };
  const args = [join(here, 'capacity.py'), ...photoPaths, '--seconds', '5'];
  const { stdout, stderr } = spawnSync(python, args, { env, encoding: 'utf8' });
  const perSecond = Number(/"perSecond": ([\d.]+)/.exec(stdout)?.[1]);
  if (!(perSecond > 0)) throw new Error(`Expected a capacity but received ${stderr}`);
  return Math.max(1, Math.floor(perSecond * admittedSeconds));
}
