import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { readCommand } from '../ingress/command.ts';
import { collapse, readOptions } from './collapse/command.ts';
import { type Asked, inTimeMs, needsCapacity, type Phase, planPhases, secondsOf, shapeNames } from './k6/shapes.ts';
import type { LoopReport } from './loop.ts';
import { drawPicture, type Scene, type Stretch } from './picture.ts';
import type { Probing } from './probe.ts';
import { loopTable, machine, print, quantile, table } from './report.ts';
import { answerTable, readSamples, type Sample, statusTable, throughput } from './samples.ts';
import { type Stack, startStack } from './stack.ts';
import { ensureK6, ToolError } from './tool.ts';
import { type Lane, memoryTrend, readLanes, type Usage, watchUsage } from './usage.ts';

const help = `Usage: npm run load -- SHAPE [options]

  SHAPE  ${[...shapeNames, 'capacity', 'failover', 'canary'].join(', ')},
         or collapse, which has options of its own: npm run load -- collapse --help

  --duration S      seconds of the whole shape, instead of its own
  --rate N          requests a second, of smoke and failover
  --capacity N      requests a second that the primary model can answer, instead of measuring it
  --factors A,B     multiples of the capacity, of overload
  --fault NAME      kill or stop, of failover
  --target URL      loads that address and starts nothing
  --baseline URL, --candidate URL   of canary; one that is absent is the stack that is started
  --models-dir DIR  MODELS_DIR of both functions
  --out DIR         where the results go, load/results/SHAPE otherwise

The environment reaches the functions: WORKERS=1 npm run load -- average
Ends with 0 when every limit held, with k6's own code (99) when one did not, with 1 when there was nothing to judge,
with 2 when the command line was not understood.
`;

/** Something the person at the terminal has to change; the message says what. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Does something to the service while k6 runs; the signal tells that the traffic is over. */
type Meanwhile = (signal: AbortSignal) => Promise<Scene['marks']>;

type Variables = Readonly<Record<string, string>>;

interface Job {
  readonly shape: string;
  readonly asked: Asked;
  readonly fault: 'kill' | 'stop';
  readonly target: string | undefined;
  readonly baseline: string | undefined;
  readonly candidate: string | undefined;
  readonly modelsDir: string | undefined;
  readonly out: string;
}

const results = fileURLToPath(new URL('../../load/results/', import.meta.url));
const scripts = fileURLToPath(new URL('../../load/k6/', import.meta.url));
const probeScript = new URL('./probe.js', import.meta.url);

/** Long enough for some hundred answers of a small model; the first seconds fill the lane and are not counted. */
const capacitySeconds = 13;
const capacityWarmUpMs = 3000;
/** A lane has one to run and one that is being decoded or waits; more would only wait. */
const clientsPerCore = 2;
/** What is left of the requests at the end may take the clients' whole patience; the rest is k6's start and end. */
const k6MarginMs = 90_000;
/** From a Ctrl-C on, k6 writes its summary. */
const interruptGraceMs = 15_000;
/** npm hands a Ctrl-C on that the terminal has already sent to everyone: that is one Ctrl-C, not two. */
const sameSignalMs = 500;
const k6LogLines = 20;
const readyzPerSecond = 20;
/** The soak is judged by memory when it lasted that long; the first minutes fill caches and pools. */
const soakJudgedSeconds = 600;
const memorySettlesMs = 180_000;
const mostGrowth = 0.02;
/** Longest answer while the primary is killed, and while it hangs: the 8 s until nginx gives it up, and an answer. */
const longestMs = { kill: 2000, stop: 10_000 };

const nothingElse: Meanwhile = async () => [];

let k6: ChildProcess | undefined;
let stack: Stack | undefined;
const stopping = new AbortController();
let interruptedAt: number | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interruptedAt !== undefined && Date.now() - interruptedAt > sameSignalMs) process.exit(130);
    interruptedAt ??= Date.now();
    stopping.abort();
  });
}
process.once('exit', () => {
  k6?.kill('SIGKILL');
  stack?.interrupt();
});

function readJob(args: readonly string[]): Job {
  const options = ['duration', 'rate', 'capacity', 'factors', 'fault', 'target', 'baseline', 'candidate'] as const;
  const names = [...options, 'models-dir', 'out'] as const;
  const config = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const parsed = readCommand(help, { args: [...args], options: config, allowPositionals: true });
  const values: Partial<Record<(typeof names)[number], string>> = parsed.values;
  const { positionals } = parsed;
  const shapes: readonly string[] = [...shapeNames, 'capacity', 'failover', 'canary'];
  const [shape = '', ...others] = positionals;
  if (!shapes.includes(shape) || others.length > 0) {
    throw new UsageError(`Expected one shape but received ${JSON.stringify(positionals.join(' '))}\n\n${help}`);
  }
  const [fault = 'kill'] = [values.fault];
  if (fault !== 'kill' && fault !== 'stop') {
    throw new UsageError(`Expected kill or stop for --fault but received ${JSON.stringify(fault)}`);
  }
  if (shape === 'failover' && values.target !== undefined) {
    throw new UsageError('Expected no --target for failover but received one: only a primary of its own can be killed');
  }
  const { duration, rate, capacity, factors } = values;
  const number = (name: string, text: string): number => {
    const value = Number(text);
    if (value > 0 && value <= 1_000_000) return value;
    throw new UsageError(`Expected a number above 0 for --${name} but received ${JSON.stringify(text)}`);
  };
  const asked: Asked = {
    ...(duration !== undefined && { seconds: number('duration', duration) }),
    ...(rate !== undefined && { rate: number('rate', rate) }),
    ...(capacity !== undefined && { capacity: number('capacity', capacity) }),
    ...(factors !== undefined && { factors: factors.split(',').map((factor) => number('factors', factor)) }),
  };
  const address = (name: 'target' | 'baseline' | 'candidate'): string | undefined => {
    const text = values[name];
    if (text === undefined || /^https?:\/\/[^/?#]+\/?$/.test(text)) return text?.replace(/\/$/, '');
    throw new UsageError(`Expected an http address for --${name} but received ${JSON.stringify(text)}`);
  };
  const [target, baseline, candidate] = [address('target'), address('baseline'), address('candidate')];
  const out = values.out === undefined ? join(results, shape) : resolve(values.out);
  const modelsDir = values['models-dir'] === undefined ? undefined : resolve(values['models-dir']);
  return { shape, asked, fault, target, baseline, candidate, modelsDir, out };
}

async function main(job: Job): Promise<number> {
  const path = await ensureK6(say, process.env, stopping.signal);
  const setting = machine(); // now, so that its load average tells what else goes on
  mkdirSync(job.out, { recursive: true });
  const hasOwn = job.shape === 'canary' ? !(job.baseline && job.candidate) : job.target === undefined;
  if (hasOwn) {
    say('starts nginx and both functions');
    const env = { ...process.env, ...(job.modelsDir !== undefined && { MODELS_DIR: job.modelsDir }) };
    stack = await startStack(env, stopping.signal);
  }
  const origin = job.target ?? stack?.origin ?? '';
  const isRelative = shapeNames.some((name) => name === job.shape) && needsCapacity(job.shape);
  const capacity = job.asked.capacity ?? (isRelative ? await measureCapacity(path, job.out, origin) : undefined);
  const asked = { ...job.asked, ...(capacity !== undefined && { capacity }) };
  const plan = planJob({ ...job, asked }, origin);
  say(`${job.shape}, ${Math.round(plan.seconds)} s of traffic`);
  // Not while the primary is killed: who asks it directly then gets no answer.
  const probed = stack && job.shape !== 'failover' ? probeReadiness(stack.primaryOrigin, plan.seconds) : undefined;
  const meanwhile: Meanwhile = (signal) =>
    stack && job.shape === 'failover' ? makeFault(stack, job.fault, plan.seconds, signal) : nothingElse(signal);
  const begin = probed && stack ? await readLanes(stack.primaryOrigin) : {};
  const run = await runK6(path, job.out, plan, meanwhile);
  const end = probed && stack ? await readLanes(stack.primaryOrigin) : {};
  const readyzMs = await probed;
  const loops = (await stack?.stop()) ?? [];
  return report({ ...job, asked }, plan, run, { setting, readyzMs, loops, lanes: { begin, end } });
}

interface Plan {
  readonly script: string;
  readonly variables: Variables;
  readonly phases: readonly Phase[];
  readonly seconds: number;
}

function planJob({ shape, asked, baseline, candidate, fault }: Job, origin: string): Plan {
  const variables: Record<string, string> = { TARGET: origin };
  if (asked.seconds !== undefined) variables.SECONDS = String(asked.seconds);
  if (asked.rate !== undefined) variables.RATE = String(asked.rate);
  if (shape === 'capacity') {
    const seconds = asked.seconds ?? capacitySeconds;
    return { script: shape, variables: { ...capacityVariables(origin), ...variables }, phases: [], seconds };
  }
  if (shape === 'canary') {
    const sides = { BASELINE: baseline ?? origin, CANDIDATE: candidate ?? origin };
    return { script: shape, variables: { ...variables, ...sides }, phases: [], seconds: asked.seconds ?? 30 };
  }
  const phases = planPhases(shape, asked);
  const seconds = secondsOf(phases);
  if (shape === 'failover') {
    return { script: shape, variables: { ...variables, LONGEST_MS: String(longestMs[fault]) }, phases, seconds };
  }
  variables.SHAPE = shape;
  if (asked.capacity !== undefined) variables.CAPACITY = String(asked.capacity);
  if (asked.factors !== undefined) variables.FACTORS = asked.factors.join(',');
  return { script: 'classify', variables, phases, seconds };
}

function capacityVariables(origin: string): Variables {
  const clients = Math.max(2, availableParallelism()) * clientsPerCore;
  return { TARGET: origin, CLIENTS: String(clients), SECONDS: String(capacitySeconds) };
}

interface Run {
  readonly code: number;
  readonly samples: readonly Sample[];
  readonly usage: readonly Usage[];
  readonly marks: Scene['marks'];
}

interface Scripted {
  readonly script: string;
  readonly variables: Variables;
  readonly seconds: number;
}

/**
 * Runs a script to its end, while `meanwhile` does something to the service; its signal tells that the traffic is over.
 * @throws Error when k6 overstays or cannot begin
 */
async function runK6(path: string, out: string, scripted: Scripted, meanwhile: Meanwhile): Promise<Run> {
  const { script, variables, seconds } = scripted;
  stopping.signal.throwIfAborted();
  const points = join(out, `${script}.csv`);
  rmSync(points, { force: true });
  const args = ['run', '--quiet', '--no-usage-report', '--address', '', '--out', `csv=${points}`];
  const child = spawn(path, [...args, join(scripts, `${script}.ts`)], {
    env: { ...process.env, ...variables, K6_CSV_TIME_FORMAT: 'unix_milli', SUMMARY: join(out, `${script}.json`) },
    stdio: ['ignore', 'inherit', 'pipe'],
    detached: true, // a Ctrl-C reaches only us
  });
  k6 = child;
  const watch = watchUsage(() => ({ ...stack?.groups(), k6: child.pid ?? 0 }));
  const over = new AbortController();
  const exited = once(child, 'exit').finally(() => over.abort());
  const lastWords = passOn(child);
  const late = setTimeout(() => child.kill('SIGKILL'), seconds * 1000 + k6MarginMs);
  const interrupt = () => {
    child.kill('SIGINT');
    setTimeout(() => child.kill('SIGKILL'), interruptGraceMs).unref();
  };
  stopping.signal.addEventListener('abort', interrupt);
  const [[code, killedBy], marks] = await Promise.all([exited, meanwhile(over.signal)]);
  const usage = watch.stop();
  clearTimeout(late);
  stopping.signal.removeEventListener('abort', interrupt);
  await lastWords;
  k6 = undefined;
  stopping.signal.throwIfAborted();
  if (killedBy !== null)
    throw new Error(`Expected an end of k6 within ${seconds} s and ${k6MarginMs} ms but received none`);
  if (!existsSync(points)) throw new Error(`Expected traffic of k6 but received exit code ${code}`);
  const samples = await readSamples(createInterface({ input: createReadStream(points) }));
  if (samples.length === 0) throw new Error(`Expected requests of k6 but received none, and exit code ${code}`);
  return { code: Number(code), samples, usage, marks };
}

/** Passes the first lines of k6's log on: with a service that is down there is one a request. */
async function passOn(child: ChildProcess): Promise<void> {
  let lines = 0;
  if (child.stderr === null) return;
  for await (const line of createInterface({ input: child.stderr })) {
    lines += 1;
    if (lines <= k6LogLines) process.stderr.write(`${line}\n`);
  }
  if (lines > k6LogLines) say(`k6 wrote ${lines - k6LogLines} more lines`);
}

async function measureCapacity(path: string, out: string, origin: string): Promise<number> {
  say('measures how many requests a second the primary model answers');
  const scripted = { script: 'capacity', variables: capacityVariables(origin), seconds: capacitySeconds };
  const { code, samples } = await runK6(path, out, scripted, nothingElse);
  if (code !== 0) throw new Error(`Expected answers of the primary model but received these:\n${answerTable(samples)}`);
  return throughput(samples, capacityWarmUpMs);
}

/** Takes the primary away at half time and, where it hangs, lets it go on a sixth of the whole later. */
async function makeFault({ groups, nextRequest }: Stack, fault: Job['fault'], seconds: number, signal: AbortSignal) {
  const marks: { atMs: number; label: string }[] = [];
  const mark = (label: string) => void marks.push({ atMs: Date.now(), label });
  try {
    await Promise.race([nextRequest(), once(signal, 'abort')]);
    await sleep((seconds / 2) * 1000, undefined, { signal });
    const { primary = 0 } = groups();
    process.kill(primary, fault === 'kill' ? 'SIGKILL' : 'SIGSTOP');
    mark(fault === 'kill' ? 'primary killed (SIGKILL)' : 'primary stopped (SIGSTOP)');
    if (fault === 'kill') return marks;
    try {
      await sleep((seconds / 6) * 1000, undefined, { signal });
    } finally {
      process.kill(primary, 'SIGCONT');
      mark('goes on');
    }
  } catch (fault) {
    if (!signal.aborted) throw fault; // k6 ended before its time and says why
  }
  return marks;
}

/** Milliseconds of GET /readyz of the primary, asked from a thread of its own while the traffic runs. */
async function probeReadiness(primaryOrigin: string, seconds: number): Promise<readonly number[]> {
  const probing: Probing = { url: `${primaryOrigin}/readyz`, perSecond: readyzPerSecond, seconds };
  const worker = new Worker(probeScript, { workerData: probing });
  stopping.signal.addEventListener('abort', () => void worker.terminate());
  // A worker whose question was not answered ends with an error, and there is nothing to tell.
  const [times] = await Promise.race([once(worker, 'message'), once(worker, 'exit')]).catch(() => [undefined]);
  return Array.isArray(times) ? times : [];
}

interface Surroundings {
  readonly setting: string;
  readonly readyzMs: readonly number[] | undefined;
  readonly loops: readonly LoopReport[];
  /** The primary's workers before and after the traffic. */
  readonly lanes: Readonly<Record<'begin' | 'end', Readonly<Record<string, Lane>>>>;
}

function report(job: Job, plan: Plan, run: Run, { setting, readyzMs, loops, lanes }: Surroundings): number {
  const { samples, usage, marks } = run;
  const now = new Date().toISOString().slice(0, 16).replace('T', ' ');
  const capacity = job.asked.capacity;
  const offered = capacity === undefined ? '' : ` at a capacity of ${capacity.toFixed(1)} requests a second`;
  const soak = judgeMemory(job, plan, usage);
  const blocks = [
    `${job.shape}${offered}, ${samples.length} requests, ${now} UTC. ${setting}`,
    'Answers, times in ms:\n',
    answerTable(samples),
    statusTable(samples),
    usageTable(usage),
    ...(readyzMs === undefined
      ? []
      : [`GET /readyz of the primary, ${readyzPerSecond} a second, ms:\n`, readyzTable(readyzMs)]),
    ...(loops.length === 0 ? [] : [loopTable(loops)]),
    ...(Object.keys(lanes.end).length === 0 ? [] : [laneTable(lanes, samples)]),
    ...(job.shape === 'capacity'
      ? [`The primary model answers ${throughput(samples, capacityWarmUpMs).toFixed(1)} requests a second.\n`]
      : []),
    ...(soak === undefined ? [] : [soak.sentence]),
    ...marks.map(({ atMs, label }) => recovery(samples, atMs, label)),
  ];
  const picture = join(job.out, 'picture.svg');
  const scene: Scene = {
    title: `${job.shape}: ${headline(samples)}`,
    subtitle: `${now} UTC · ${samples.length} requests${offered} · k6 on the same cores`,
    phases: stretches(plan, capacity),
    marks,
    usage,
  };
  writeFileSync(picture, drawPicture(samples, scene));
  writeFileSync(join(job.out, 'report.md'), blocks.join('\n'));
  for (const block of blocks) print(block);
  say(`the picture is ${picture}`);
  return run.code === 0 && soak?.isOver ? 1 : run.code;
}

/** What there is to know before looking closer. */
function headline(samples: readonly Sample[]): string {
  const answers = samples.filter(({ fault }) => fault === '');
  const percent = (part: readonly Sample[]) => {
    const share = (part.length / samples.length) * 100;
    return `${part.length === samples.length ? share : Math.min(share, 99.99).toFixed(2)} %`;
  };
  const inTime = answers.filter(({ ms }) => ms <= inTimeMs);
  const leading = answers.filter(({ reason }) => reason === '');
  return `${percent(answers)} answered, ${percent(inTime)} within 1 s, ${percent(leading)} undegraded`;
}

function stretches({ phases, seconds }: Plan, capacity: number | undefined): readonly Stretch[] {
  if (phases.length === 0) return [{ label: '', seconds }];
  return phases.map(({ name, fromRate, toRate, seconds }) => {
    const factor = capacity === undefined ? '' : ` ${Math.round((toRate / capacity) * 100) / 100} × capacity`;
    const label = name.startsWith('x') ? factor.trim() : `${name}${factor}`;
    return { label, seconds, fromRate, toRate };
  });
}

function usageTable(usage: readonly Usage[]): string {
  const [first, last] = [usage[0], usage.at(-1)];
  const seconds = ((last?.atMs ?? 0) - (first?.atMs ?? 0)) / 1000;
  const rows = Object.entries(last?.cpuSeconds ?? {}).map(([name, cpuSeconds]) => {
    const memory = usage.map(({ residentMb }) => residentMb[name]).filter((mb) => mb !== undefined);
    const figures = [memory[0] ?? 0, memory.reduce((most, mb) => Math.max(most, mb), 0), memory.at(-1) ?? 0];
    return [name, cpuSeconds.toFixed(1), (cpuSeconds / seconds).toFixed(2), ...figures.map((mb) => mb.toFixed(0))];
  });
  return table(['program', 'CPU seconds', 'cores', 'MB at first', 'MB at most', 'MB at last'], rows);
}

function readyzTable(times: readonly number[]): string {
  const figures = [quantile(times, 0.5), quantile(times, 0.99), times.reduce((most, ms) => Math.max(most, ms), 0)];
  return table(['requests', 'p50', 'p99', 'longest'], [[String(times.length), ...figures.map((ms) => ms.toFixed(1))]]);
}

/** For which share of the time from the first request to the last answer the primary's workers were busy. */
function laneTable({ begin, end }: Surroundings['lanes'], samples: readonly Sample[]): string {
  const [firstMs, lastMs] = [
    samples[0]?.atMs ?? 0,
    samples.reduce((last, { atMs, ms }) => Math.max(last, atMs + ms), 0),
  ];
  const rows = Object.entries(end).map(([model, { workers, busySeconds }]) => {
    const busy = busySeconds - (begin[model]?.busySeconds ?? 0);
    const share = busy / workers / ((lastMs - firstMs) / 1000);
    return [model, String(workers), busy.toFixed(1), `${(share * 100).toFixed(1)} %`];
  });
  return table(['model in the primary', 'workers', 'busy seconds', 'busy'], rows);
}

function judgeMemory({ shape }: Job, { seconds }: Plan, usage: readonly Usage[]) {
  if (shape !== 'soak' || seconds < soakJudgedSeconds) return undefined;
  const trend = memoryTrend(usage, 'primary', (usage[0]?.atMs ?? 0) + memorySettlesMs);
  if (trend === undefined) return undefined;
  const { mbPerMinute, growth } = trend;
  const isOver = growth > mostGrowth;
  const slope = `${mbPerMinute.toFixed(2)} MB a minute, ${(growth * 100).toFixed(1)} % from the first to the last tenth`;
  const verdict = `${isOver ? 'more' : 'no more'} than the ${mostGrowth * 100} % allowed`;
  return { isOver, sentence: `Memory of the primary after the first 3 minutes: ${slope}, ${verdict}.\n` };
}

/** When the primary model answered for the first time after a fault, by a request that was sent after it. */
function recovery(samples: readonly Sample[], atMs: number, label: string): string {
  const first = samples.find((sample) => sample.atMs > atMs && sample.fault === '' && sample.reason === '');
  const when = first === undefined ? 'never' : `${((first.atMs + first.ms - atMs) / 1000).toFixed(1)} s later`;
  return `${label}: the primary model answers again ${when}.\n`;
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

function say(text: string): void {
  process.stderr.write(`load: ${text}\n`);
}

try {
  const args = process.argv.slice(2);
  const isCollapse = args[0] === 'collapse'; // the one shape without k6
  process.exitCode = isCollapse
    ? await collapse(readOptions(args.slice(1)), say, stopping.signal)
    : await main(readJob(args));
} catch (fault) {
  const isInterrupted = interruptedAt !== undefined;
  process.exitCode = isInterrupted ? 130 : fault instanceof UsageError ? 2 : 1;
  const isForPerson = fault instanceof UsageError || fault instanceof ToolError;
  if (!isInterrupted) process.stderr.write(`${isForPerson ? fault.message : (fault as Error).stack}\n`);
  stopping.abort(); // k6 and the probing thread may be at it still
} finally {
  if (k6 !== undefined && isRunning(k6)) await once(k6, 'exit');
  await stack?.stop();
}
