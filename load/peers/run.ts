import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { Agent } from 'node:http';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onInterrupt, readCommand, refuse } from '../../ingress/command.ts';
import { freePort } from '../../ingress/port.ts';
import { print } from '../report.ts';
import { ensureK6 } from '../tool.ts';
import {
  type Answer,
  ask,
  closedLoop,
  form,
  goodMs,
  isAnswered,
  isRefused,
  openLoop,
  patienceMs,
  type Request,
} from './client.ts';
import { badInputs } from './inputs.ts';
import { drawPhoto, photoSizes } from './photos.ts';
import {
  clientCounts,
  cores,
  fileOf,
  type Job,
  loadFactors,
  planJobs,
  type Scenario,
  type System,
  scenarios,
  systems,
} from './plan.ts';
import { cpuSecondsOf, type ProcessTree, startTree } from './processes.ts';
import type { Faults, Kept, Load, Outcome, Shutdown } from './results.ts';

const root = resolve(fileURLToPath(new URL('../../../', import.meta.url)));
const here = join(root, 'load/peers');
const build = join(here, 'build');

const startWithinMs = 90_000;
/** After the first answer: who does not use the Wide ResNet by then does without it, which is measured as it is. */
const primaryWithinMs = 20_000;
const pollMs = 20;
const sampleMs = 500;
/** The first answers of a fresh process are slower; how many of two clients' are left out. */
const warmUpAnswers = 20;
/** Offered load while something is broken: a healthy system has room for it. */
const faultFactor = 0.5;
const faultAfterMs = 5_000;
/** How long the process that runs the model is stopped: longer than the service's own patience of 5 s and nginx' 8 s. */
const stoppedMs = 10_000;
/** Share of its capacity and second of a client's patience that a tuned server lets wait. */
const admittedSeconds = 0.8;
/** Who gave up on a bad input lets the server finish with it before the next one. */
const lettingGoMs = 5_000;
const drainClients = 8;
const drainAfterMs = 4_000;
const drainMs = 6_000;

const help = `Usage: npm run peers -- [options]

  --quick             one run of 10 s a point, to see whether everything works here
  --only NAME,...     of ${systems.map(({ name }) => name).join(', ')}
  --scenario NAME,... of ${scenarios.join(', ')}
  --points N,...      of closed and open: only these numbers of clients and load factors
  --repeats N         3 otherwise
  --seconds N         of an open loop, 60 otherwise
  --capacity N        photos a second, instead of measuring it once
  --photos FOLDER     photos of your own for the first table
  --results FOLDER    where the measurements are kept, load/peers/build/results otherwise
  --plan              tells what is missing and how long it takes

What is kept is not measured again: the command may be interrupted and run again.
`;
const { values: args } = readCommand(help, {
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    scenario: { type: 'string', multiple: true },
    points: { type: 'string', multiple: true },
    repeats: { type: 'string' },
    seconds: { type: 'string' },
    capacity: { type: 'string' },
    photos: { type: 'string' },
    results: { type: 'string' },
    plan: { type: 'boolean', default: false },
  },
});
const openSeconds = positive('--seconds', args.seconds ?? (args.quick ? 10 : 60));
const closedSeconds = Math.min(20, openSeconds);
const faultSeconds = args.quick ? 20 : 30;
const repeats = positive('--repeats', args.repeats ?? (args.quick ? 1 : 3));
const results = resolve(args.results ?? join(build, args.quick ? 'quick' : 'results'));

const chosen = choose(
  '--only',
  systems.map(({ name }) => name),
  args.only,
);
const points = choose('--points', [...new Set([...clientCounts, ...loadFactors])].map(String), args.points);
const jobs = planJobs(
  systems.filter(({ name }) => chosen.includes(name)),
  choose('--scenario', scenarios, args.scenario),
  repeats,
).filter(({ point }) => point === undefined || points.includes(String(point)));
const missing = jobs.filter((job) => !existsSync(join(results, fileOf(job))));
const secondsOf: Readonly<Record<Scenario, number>> = {
  parity: 10,
  inputs: 15,
  closed: closedSeconds,
  open: openSeconds,
  sigterm: (drainAfterMs + drainMs) / 1000,
  kill: faultSeconds,
  stop: faultSeconds,
};
const minutes = missing.reduce((sum, { scenario }) => sum + secondsOf[scenario] + 10, 0) / 60; // 10: a start, and an end
print(`${missing.length} of ${jobs.length} measurements are to be made: about ${Math.ceil(minutes)} minutes.`);
if (args.plan) process.exit(0);

let current: ProcessTree | undefined;
let load: ReturnType<typeof spawn> | undefined;
const stopping = new AbortController();
onInterrupt(async () => {
  stopping.abort(); // or the next server would be started while this one is ended
  load?.kill('SIGKILL');
  await current?.stop();
  process.exit(130);
});

for (const needed of ['models/wide-resnet/model.json', 'models/mobilenet/model.json']) requireFile(join(build, needed));
for (const family of new Set(jobs.map(({ system }) => system.family))) {
  if (family !== 'understudy' && family !== 'strict') requireFile(join(build, 'venvs', family));
}
requireFile(join(build, 'venvs/fastapi'));
const k6 = await ensureK6((text) => print(text));
const photoPaths = await ensurePhotos();
const photos = photoPaths.map((path) => readFileSync(path));
mkdirSync(results, { recursive: true });
const capacity = await measureCapacity();
const inFlight = Math.floor(capacity * admittedSeconds);
writeMachine();
print(`The single model's capacity: ${capacity} photos a second; a tuned server holds ${inFlight} requests.`);

let failures = 0;
for (const [index, job] of missing.entries()) {
  const file = fileOf(job);
  try {
    const kept = await measure(job);
    if (stopping.signal.aborted) break;
    save(file, kept);
    print(`${index + 1}/${missing.length} ${file} ${brief(kept.outcome)}`);
  } catch (fault) {
    if (stopping.signal.aborted) break;
    failures += 1;
    print(`${index + 1}/${missing.length} ${file} failed: ${(fault as Error).message}`);
  }
}
print(`\nTables and plots: node dist/load/peers/report.js${args.quick ? ' --quick' : ''}`);
process.exitCode = failures > 0 ? 1 : 0;

function choose<Name extends string>(
  option: string,
  all: readonly Name[],
  wanted?: readonly string[],
): readonly Name[] {
  const names = wanted?.flatMap((text) => text.split(',')) ?? all;
  const unknown = names.find((name) => !all.includes(name as Name));
  if (unknown !== undefined) refuse(`Expected one of ${all.join(', ')} for ${option} but received ${unknown}`);
  return all.filter((name) => names.includes(name));
}

function positive(option: string, value: string | number): number {
  const number = Number(value);
  return number > 0 && Number.isFinite(number)
    ? number
    : refuse(`Expected a number above 0 for ${option} but received ${value}`);
}

/** Starts the job's system, measures it and ends it. */
async function measure(job: Job): Promise<Kept> {
  const { system } = job;
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const folder = mkdtempSync(join(tmpdir(), 'peers-'));
  const place = { root, port, inFlight, pids: join(folder, 'pids') };
  mkdirSync(place.pids);
  const logPath = join(results, system.name, 'server.log');
  mkdirSync(dirname(logPath), { recursive: true });
  const logStart = existsSync(logPath) ? readFileSync(logPath).length : 0;
  const beganMs = performance.now();
  const tree = startTree(pinned(system.command(place)), { env: system.env(place), cwd: here, logPath });
  current = tree;
  try {
    const requests = photos.map((photo) => withHeaders(form(photo), system));
    const start = await untilAnswered(tree, origin, form(photos[0] as Buffer), beganMs);
    await warmUp(origin, requests);
    const modelPids = () => findModelPids(system, place.pids, readFileSync(logPath, 'utf8').slice(logStart));
    let peakMb = 0;
    let processes = 0;
    const sample = () => {
      const mb = tree.proportionalMb();
      if (mb > peakMb) [peakMb, processes] = [mb, tree.members().length];
    };
    sample();
    const sampler = setInterval(sample, sampleMs);
    const [averageLoad = 0] = loadavg();
    try {
      const outcome = await outcomeOf(job, { tree, origin, requests, modelPids });
      sample();
      return { ...start, peakMb, processes, averageLoad, measuredAt: new Date().toISOString(), outcome };
    } finally {
      clearInterval(sampler);
    }
  } finally {
    await tree.stop();
    current = undefined;
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Running {
  readonly tree: ProcessTree;
  readonly origin: string;
  readonly requests: readonly Request[];
  readonly modelPids: () => readonly number[];
}

async function outcomeOf({ system, scenario, point = 0 }: Job, running: Running): Promise<Outcome> {
  const { tree, origin, requests, modelPids } = running;
  const faultLoad = { perSecond: capacity * faultFactor, seconds: faultSeconds };
  switch (scenario) {
    case 'parity':
      return { scenario, tops: await topsOf(origin) };
    case 'inputs':
      return { scenario, statuses: await statusesOf(origin) };
    case 'closed':
      return {
        scenario,
        ...(await driveK6(running, system, { CLIENTS: String(point), SECONDS: String(closedSeconds) })),
      };
    case 'open': {
      const load = { RATE: String(capacity * point), SECONDS: String(openSeconds) };
      return { scenario, offeredPerSecond: capacity * point, ...(await driveK6(running, system, load)) };
    }
    case 'sigterm':
      return { scenario, ...(await terminate(tree, origin, requests)) };
    case 'kill':
    case 'stop': {
      const victim = modelPids()[0];
      if (victim === undefined) throw new Error('Expected a process that runs the model but received none');
      const breaking = breakIn(victim, scenario);
      const answers = await openLoop(origin, requests, faultLoad);
      return { scenario, ...faultsOf(answers, await breaking) };
    }
  }
}

/** The command on the first cores only, where there are more than it is to have. */
function pinned(command: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return cpus().length > cores ? ['taskset', '--cpu-list', `0-${cores - 1}`, ...command] : command;
}

function withHeaders(request: Request, { headers }: System): Request {
  return { ...request, headers: { ...request.headers, ...headers } };
}

/** Asks until the Wide ResNet has answered once, or does not in time although another model does. */
async function untilAnswered(
  tree: ProcessTree,
  origin: string,
  request: Request,
  beganMs: number,
): Promise<Pick<Kept, 'firstMs' | 'primaryMs'>> {
  let firstMs: number | undefined;
  for (;;) {
    const agent = new Agent();
    const answer = await ask(origin, request, agent);
    agent.destroy();
    const sinceMs = performance.now() - beganMs;
    if (isAnswered(answer)) {
      firstMs ??= sinceMs;
      if (answer.model === 'wide-resnet') return { firstMs, primaryMs: sinceMs };
      if (sinceMs > firstMs + primaryWithinMs) return { firstMs, primaryMs: null };
    }
    if (sinceMs > startWithinMs) throw new Error(`Expected an answer within ${startWithinMs} ms but received none`);
    if (tree.members().length === 0) throw new Error('Expected a server but it has ended: see its server.log');
    await sleep(pollMs);
  }
}

async function warmUp(origin: string, requests: readonly Request[]): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  for (let turn = 0; turn < warmUpAnswers; turn += 2) {
    await Promise.all([0, 1].map((one) => ask(origin, requests[(turn + one) % requests.length] as Request, agent)));
  }
  agent.destroy();
}

/** Peers say it themselves; ours tells who its primary function is. */
function findModelPids({ family }: System, folder: string, log: string): readonly number[] {
  if (family !== 'understudy' && family !== 'strict') return readdirSync(folder).map(Number);
  return [...log.matchAll(/primary is process (\d+)/g)].map(([, pid]) => Number(pid)).slice(-1);
}

async function driveK6(
  { tree, origin }: Running,
  { headers }: System,
  shape: Readonly<Record<string, string>>,
): Promise<Load> {
  const summary = join(results, 'k6.json');
  rmSync(summary, { force: true });
  const settings = {
    ORIGIN: origin,
    PHOTOS: photoPaths.join(','),
    HEADERS: JSON.stringify(headers),
    SUMMARY: summary,
    GOOD_MS: String(goodMs),
    PATIENCE_MS: String(patienceMs),
    ...shape,
  };
  const script = join(here, 'k6.ts');
  const command = [k6, 'run', '--quiet', '--no-usage-report', '--log-output', 'none', script];
  const others = cpus().length > cores ? ['taskset', '--cpu-list', `${cores}-${cpus().length - 1}`] : [];
  const [file, ...rest] = [...others, ...command] as [string, ...string[]];
  const serverBefore = tree.cpuSeconds();
  const beganMs = performance.now();
  const child = spawn(file, rest, { env: { ...process.env, ...settings }, stdio: ['ignore', 'ignore', 'inherit'] });
  load = child;
  let k6CpuSeconds = 0;
  const watch = setInterval(() => {
    k6CpuSeconds = cpuSecondsOf(child.pid ?? 0) || k6CpuSeconds;
  }, 100);
  const limit = setTimeout(() => child.kill('SIGKILL'), Number(shape.SECONDS) * 1000 + patienceMs + 30_000);
  const [code] = await once(child, 'exit');
  clearInterval(watch);
  clearTimeout(limit);
  load = undefined;
  if (code !== 0 || !existsSync(summary)) throw new Error(`Expected a summary from k6 but received exit code ${code}`);
  const seconds = Number(shape.SECONDS);
  const serverCpuSeconds = tree.cpuSeconds() - serverBefore;
  const tookSeconds = (performance.now() - beganMs) / 1000;
  return { seconds, tookSeconds, serverCpuSeconds, k6CpuSeconds, ...readSummary(readFileSync(summary, 'utf8')) };
}

type Metrics = Readonly<Record<string, { readonly values: Readonly<Record<string, number>> } | undefined>>;

function readSummary(
  text: string,
): Pick<Load, 'good' | 'byPrimary' | 'statuses' | 'dropped' | 'answerMs' | 'refusalMs'> {
  const metrics = JSON.parse(text) as Metrics;
  const count = (name: string) => metrics[name]?.values.count ?? 0;
  const trend = (name: string) => {
    const { med = null, 'p(99)': p99 = null } = metrics[name]?.values ?? {};
    return count(name) > 0 ? { p50: med, p99 } : { p50: null, p99: null };
  };
  const statuses = Object.keys(metrics).filter((name) => name.startsWith('status_') && count(name) > 0);
  return {
    good: count('good'),
    byPrimary: count('by_primary'),
    statuses: Object.fromEntries(statuses.map((name) => [name.slice('status_'.length), count(name)])),
    dropped: count('dropped_iterations'),
    answerMs: trend('answer_ms'),
    refusalMs: trend('refusal_ms'),
  };
}

/** SIGTERM to the first process while eight clients keep asking. */
async function terminate(tree: ProcessTree, origin: string, requests: readonly Request[]): Promise<Shutdown> {
  const beganMs = performance.now();
  const asking = closedLoop(origin, requests, { clients: drainClients, endMs: beganMs + drainAfterMs + drainMs });
  await sleep(drainAfterMs);
  const signalMs = performance.now();
  const { child } = tree;
  const gone = once(child, 'exit').then(() => performance.now());
  process.kill(child.pid ?? 0, 'SIGTERM');
  const answers = await asking;
  const inFlightThen = answers.filter(({ startedMs, ms }) => startedMs <= signalMs && startedMs + ms > signalMs);
  const after = answers.filter(({ startedMs }) => startedMs > signalMs);
  const isGone = child.exitCode !== null || child.signalCode !== null;
  const isLost = (answer: Answer) => !isAnswered(answer) && !isRefused(answer);
  return {
    inFlight: inFlightThen.length,
    lost: inFlightThen.filter(isLost).length,
    refused: inFlightThen.filter(isRefused).length,
    answeredAfter: after.filter(isAnswered).length,
    brokenAfter: after.filter((answer) => isLost(answer) && answer.fault !== 'ECONNREFUSED').length,
    endedAfterMs: isGone ? (await gone) - signalMs : null,
  };
}

/** Breaks the process at its time; settles with that time on the clock of `performance.now()`. */
async function breakIn(pid: number, scenario: 'kill' | 'stop'): Promise<number> {
  await sleep(faultAfterMs);
  const atMs = performance.now();
  process.kill(pid, scenario === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  if (scenario === 'kill') return atMs;
  await sleep(stoppedMs);
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // its own supervisor has ended it, which is an answer, too
  }
  return atMs;
}

function faultsOf(answers: readonly Answer[], faultMs: number): Faults {
  const lastMs = Math.max(...answers.map(({ startedMs }) => startedMs));
  const doneMs = (answer: Answer) => answer.startedMs + answer.ms;
  const answered = answers.filter(isAnswered);
  const longestGap = (list: readonly Answer[]) => {
    const times = [...list.map(doneMs).filter((at) => at > faultMs && at < lastMs), lastMs].sort(
      (one, two) => one - two,
    );
    return Math.max(...times.map((at, index) => at - (times[index - 1] ?? faultMs)));
  };
  return {
    sent: answers.length,
    lost: answers.length - answered.length,
    late: answered.filter(({ ms }) => ms > goodMs).length,
    byPrimary: answered.filter(({ model }) => model === 'wide-resnet').length,
    gapMs: longestGap(answered),
    worstMs: Math.max(...answers.map(({ ms }) => ms)),
    isServingAtEnd: answers.filter(({ startedMs }) => startedMs > lastMs - 2000).every(isAnswered),
  };
}

/** For whoever knows the preference: the tops of two models cannot be compared. */
function byPrimary(request: Request): Request {
  return { ...request, headers: { ...request.headers, prefer: 'handling=strict' } };
}

async function topsOf(origin: string): Promise<Readonly<Record<string, readonly [number, number] | null>>> {
  const folder = args.photos;
  const real = folder
    ? readdirSync(folder)
        .filter((name) => /\.(jpe?g|png|webp)$/i.test(name))
        .sort()
    : [];
  const paths = [...photoPaths, ...real.map((name) => join(folder as string, name))];
  const agent = new Agent({ keepAlive: true });
  const tops: Record<string, readonly [number, number] | null> = {};
  for (const path of paths) {
    const { status, model, top } = await ask(origin, byPrimary(form(readFileSync(path))), agent);
    tops[path.slice(path.lastIndexOf('/') + 1)] = status === 200 && model === 'wide-resnet' ? (top ?? null) : null;
  }
  agent.destroy();
  return tops;
}

/** What each bad input is answered with; the last one is a good photo, which shows who is left. */
async function statusesOf(origin: string): Promise<Readonly<Record<string, string>>> {
  const statuses: Record<string, string> = {};
  for (const { name, request } of await badInputs(photos[0] as Buffer)) {
    const agent = new Agent();
    const { status, fault, ms } = await ask(origin, request, agent);
    agent.destroy();
    statuses[name] =
      `${status === 0 ? (fault ?? 'none') : status}${ms > goodMs ? ` (${(ms / 1000).toFixed(1)} s)` : ''}`;
    if (status === 0) await sleep(lettingGoMs);
  }
  return statuses;
}

/** Once for all: the bare loop, three times, the middle one. */
async function measureCapacity(): Promise<number> {
  if (args.capacity) return positive('--capacity', args.capacity);
  const path = join(results, 'capacity.json');
  if (!existsSync(path)) {
    const runs: { perSecond: number }[] = [];
    for (let run = 0; run < (args.quick ? 1 : 3); run += 1) {
      const python = join(build, 'venvs/fastapi/bin/python');
      const command = pinned([python, join(here, 'capacity.py'), ...photoPaths, '--seconds', args.quick ? '5' : '20']);
      const [file, ...rest] = command;
      const env = { ...process.env, PEER_MODEL: join(build, 'models/wide-resnet'), PEER_LANES: String(cores) };
      const child = spawn(file, rest, {
        env: { ...env, PYTHONDONTWRITEBYTECODE: '1' },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const output: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
      const [code] = await once(child, 'close');
      if (code !== 0) throw new Error(`Expected a capacity but received exit code ${code}`);
      runs.push(JSON.parse(Buffer.concat(output).toString()));
    }
    const [middle] = runs.sort((one, two) => one.perSecond - two.perSecond).slice(Math.floor(runs.length / 2));
    save('capacity.json', { ...middle, runs });
  }
  return Math.round(JSON.parse(readFileSync(path, 'utf8')).perSecond * 10) / 10;
}

async function ensurePhotos(): Promise<readonly string[]> {
  mkdirSync(join(build, 'photos'), { recursive: true });
  const paths: string[] = [];
  for (const [index, [width, height]] of photoSizes.entries()) {
    const path = join(build, 'photos', `generated-${index + 1}.jpg`);
    if (!existsSync(path)) writeFileSync(path, await drawPhoto(width, height, index + 1));
    paths.push(path);
  }
  return paths;
}

function writeMachine(): void {
  const version = (name: string) =>
    JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version;
  const pinnedVersion = (file: string, name: string) =>
    new RegExp(`^${name}==(.+)$`, 'm').exec(readFileSync(join(here, `requirements-${file}.txt`), 'utf8'))?.[1];
  const told = (program: string, argument: string) => {
    const { stdout, stderr } = spawnSync(program, [argument], { encoding: 'utf8' });
    return /\d+\.\d+\.\d+/.exec(`${stdout}${stderr}`)?.[0];
  };
  save('machine.json', {
    processor: `${cpus().length} x ${cpus()[0]?.model}`,
    kernel: release(),
    node: process.versions.node,
    nginx: told('nginx', '-v'),
    k6: told(k6, 'version'),
    python: told(join(build, 'venvs/fastapi/bin/python'), '--version'),
    'onnxruntime-node': version('onnxruntime-node'),
    sharp: version('sharp'),
    onnxruntime: pinnedVersion('fastapi', 'onnxruntime'),
    pillow: pinnedVersion('fastapi', 'pillow'),
    fastapi: pinnedVersion('fastapi', 'fastapi'),
    uvicorn: pinnedVersion('fastapi', 'uvicorn'),
    litserve: pinnedVersion('litserve', 'litserve'),
    bentoml: pinnedVersion('bentoml', 'bentoml'),
    ray: pinnedVersion('ray', 'ray'),
  });
}

function requireFile(path: string): void {
  if (existsSync(path)) return;
  process.stderr.write(`Expected ${path} but received nothing: run "bash load/peers/setup.sh" first\n`);
  process.exit(1);
}

/** Whole or not at all: a file that is there is never measured again. */
function save(file: string, content: unknown): void {
  const path = join(results, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.part`, `${JSON.stringify(content, null, 2)}\n`);
  renameSync(`${path}.part`, path);
}

function brief(outcome: Outcome): string {
  const { scenario, ...rest } = outcome;
  return JSON.stringify(rest).slice(0, 160);
}
