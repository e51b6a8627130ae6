import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { allowedCores } from '../functions/core/observe/cores.ts';
import { readCommand } from '../ingress/command.ts';
import { loadBare, through } from './ask.ts';
import { machine, median, print, table } from './report.ts';
import { type Stack, startStack } from './stack.ts';
import { readLanes, watchUsage } from './usage.ts';

const usage = `Usage: node dist/load/lane.js [options]

Photos a second and a CPU second of the service, through nginx, and of bare loops of its code, in turn.

  --models-dir PATH   MODELS_DIR of both
  --rounds N          how often they take turns (default 5)
  --seconds N         of each round (default 20)`;

const { values: options } = readCommand(usage, {
  options: {
    'models-dir': { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '20' },
    bare: { type: 'boolean', default: false },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const env = { ...process.env, ...(options['models-dir'] !== undefined && { MODELS_DIR: options['models-dir'] }) };
const photo = readFileSync('tests/images/test_image_1.jpg');

/** As many as the service has inference threads. */
const lanes = allowedCores();
/** A lane has one to run and one that is being decoded or waits, as in the shape capacity. */
const clientsPerLane = 2;
/** Not counted: compiles the code and fills the lane. */
const warmUpRequests = 5;

interface Round {
  readonly photos: number;
  /** Of the process that decodes and runs. */
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
}

interface ServedRound extends Round {
  readonly busy: number;
  /** Processor seconds of everyone else who was needed. */
  readonly others: Readonly<Record<string, number>>;
}

async function loopBare(): Promise<Round> {
  const { ask, release } = await loadBare(env);
  for (let turn = 0; turn < warmUpRequests; turn += 1) await ask(photo);
  process.send?.('ready');
  await once(process, 'message');
  const startedMs = performance.now();
  const cpuAtStart = process.cpuUsage();
  let photos = 0;
  for (; performance.now() < startedMs + seconds * 1000; photos += 1) await ask(photo);
  const { user, system } = process.cpuUsage(cpuAtStart);
  const wallSeconds = (performance.now() - startedMs) / 1000;
  await release();
  return { photos, cpuSeconds: (user + system) / 1e6, wallSeconds };
}

async function measureBare(): Promise<Round> {
  const script = fileURLToPath(import.meta.url);
  const loops = Array.from({ length: lanes }, () => fork(script, [...process.argv.slice(2), '--bare'], { env }));
  await Promise.all(loops.map((loop) => once(loop, 'message')));
  for (const loop of loops) loop.send('go');
  const told = await Promise.all(loops.map(async (loop) => (await once(loop, 'message'))[0] as Round));
  return {
    photos: told.reduce((sum, { photos }) => sum + photos, 0),
    cpuSeconds: told.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    wallSeconds: Math.max(...told.map(({ wallSeconds }) => wallSeconds)),
  };
}

async function measureServed(stack: Stack): Promise<ServedRound> {
  const clients = lanes * clientsPerLane;
  // Strict: an answer of MobileNet would be no answer of the lane that is measured.
  const ask = through(stack.origin, clients, { prefer: 'handling=strict' });
  for (let turn = 0; turn < warmUpRequests; turn += 1) await ask(photo);
  const startedMs = performance.now();
  const own = process.cpuUsage();
  const watch = watchUsage(stack.groups);
  const { 'wide-resnet': before } = await readLanes(stack.primaryOrigin);
  let photos = 0;
  async function runClient(): Promise<void> {
    for (; performance.now() < startedMs + seconds * 1000; photos += 1) await ask(photo);
  }
  // The last answers find the lane half empty; the lane is read before that.
  const atEnd = new Promise((done) => setTimeout(done, seconds * 1000)).then(() => readLanes(stack.primaryOrigin));
  await Promise.all(Array.from({ length: clients }, runClient));
  const wallSeconds = (performance.now() - startedMs) / 1000;
  const used = watch.stop().at(-1)?.cpuSeconds ?? {};
  const { user, system } = process.cpuUsage(own);
  const { 'wide-resnet': after } = await atEnd;
  if (before === undefined || after === undefined) throw new Error('Expected metrics of wide-resnet but received none');
  const { primary = 0, ...others } = used;
  const busy = (after.busySeconds - before.busySeconds) / after.workers / seconds;
  return { photos, cpuSeconds: primary, wallSeconds, busy, others: { ...others, client: (user + system) / 1e6 } };
}

async function main(): Promise<void> {
  print(machine());
  const stopping = new AbortController();
  process.once('SIGTERM', () => stopping.abort());
  const stack = await startStack(env, stopping.signal, { watchesLoops: false });
  stopping.signal.addEventListener('abort', stack.interrupt);
  // The two take turns, so that what else the machine does falls on both.
  const bare: Round[] = [];
  const served: ServedRound[] = [];
  try {
    for (let round = 0; round < rounds; round += 1) {
      bare.push(await measureBare());
      served.push(await measureServed(stack));
    }
  } finally {
    await stack.stop();
  }
  const aSecond = ({ photos, wallSeconds }: Round) => photos / wallSeconds;
  const aCpuSecond = ({ photos, cpuSeconds }: Round) => photos / cpuSeconds;
  const row = (name: string, list: readonly Round[], busy: string) => {
    const figures = [aSecond, aCpuSecond, ({ cpuSeconds, wallSeconds }: Round) => cpuSeconds / wallSeconds];
    return [name, ...figures.map((figure) => median(list.map(figure)).toFixed(2)), busy];
  };
  const busy = `${(median(served.map((round) => round.busy)) * 100).toFixed(1)} %`;
  print(
    `${rounds} rounds of ${seconds} s each, in turn; medians. ${lanes} lanes, ${lanes * clientsPerLane} clients.\n`,
  );
  print(
    table(
      ['way', 'photos a second', 'photos a CPU second', 'cores', 'lane busy'],
      [row('bare loops', bare, ''), row('service, through nginx', served, busy)],
    ),
  );
  const ratios = served.map((round, index) => aCpuSecond(round) / aCpuSecond(bare[index] as Round));
  print(
    `Photos a CPU second, service to bare loops, round by round: ${ratios.map((ratio) => ratio.toFixed(3)).join(', ')}; median ${median(ratios).toFixed(3)}.\n`,
  );
  const names = Object.keys(served[0]?.others ?? {});
  const cores = (name: string) => median(served.map(({ others, wallSeconds }) => (others[name] ?? 0) / wallSeconds));
  print(`Cores of the others meanwhile: ${names.map((name) => `${name} ${cores(name).toFixed(3)}`).join(', ')}.`);
}

if (options.bare) {
  process.send?.(await loopBare());
  process.disconnect();
} else {
  await main();
}
