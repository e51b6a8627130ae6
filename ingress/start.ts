import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hasTerminal } from '../functions/core/files.ts';
import {
  behindOthers,
  consumeCommand,
  type FunctionName,
  functionCommand,
  jobsNiceness,
  memoryVariables,
} from '../functions/launch.ts';
import { onInterrupt, readCommand } from './command.ts';
import { chooseEdge } from './edge.ts';
import { accessLogName, configName, makeRunFolder, type RunFolder } from './folder.ts';
import { ensureNginx, NginxError } from './install.ts';
import { type Operator, openOperator } from './operator.ts';
import { openOutput } from './output.ts';
import { freePort, reserve } from './port.ts';
import { type IngressVariables, localVariables, renderIngress, siteName } from './render.ts';
import { readSettings, readSwitches, StartError, type SystemName, systems } from './settings.ts';
import { buildSite } from './site.ts';
import { type Program, type Supervised, supervise } from './supervise.ts';
import { watchModels } from './watch.ts';

const usage = `Usage: npm start [-- --watch]

Starts the functions and nginx in front of them, and restarts what dies. Ctrl-C drains and stops; a second one stops at once.
A SIGHUP has the functions read their model folders again; with --watch they do whenever a folder has changed.
It reads these variables; the functions get all others:

  FUNCTIONS             ${Object.keys(systems).join(', ')}, or some of them with commas (default all)
  PORT                  port of nginx on 127.0.0.1 (default 8080)
  KAFKA_BROKERS         HOST:PORT of Kafka: jobs wait there and not in a spool (default none)
  METRICS_PORT          port for metrics of nginx on 127.0.0.1 (default none)
  DRAIN_MS              longest drain (default 25000)
  CORS_ORIGINS          origins whose pages may ask, with commas, or * (default none)
  API_KEYS_FILE         names and hashes of the keys that may ask (default: none is needed)`;

const root = fileURLToPath(new URL('../../', import.meta.url));
const modelsDir = process.env.MODELS_DIR || join(root, 'models');
// Kept from one start to the next, as jobs are.
const jobsStore = process.env.JOBS_STORE || join(root, '.jobs');

// A model loads in under a second; a slow disk may take longer, but not this long.
const readyWithinMs = 60_000;
// A stopped process accepts connections and does not answer.
const probeMs = 1_000;
// How long nginx waits for the primary once the fallback is ready; usually both load their first model at the same time.
const primaryHeadStartMs = 1_000;
// Beyond the longest drain of a function, which then exits by itself.
const drainMarginMs = 2_000;
const lastLinesMs = 500;
// Of sessions: Linux gives nginx fifteen times the share of another one, if root starts it. It takes a tenth of a core, but as an equal of
// functions that take all there is it waits up to 0.2 s for it; with three times the share (-5) still 0.1 s now and then.
// Functions are not to give way: a busy neighbor would come before them, too.
const nginxNiceness = -12;

// The programs write to pipes and never to this standard output itself: one of them could block it for all.
const [output, errors] = [openOutput(process.stdout), openOutput(process.stderr)];
const say = (text: string): void => errors.write(`understudy: ${text}\n`);

const programs = new Map<string, Supervised>();
let isStopping = false;
let folder: RunFolder | undefined;
let operator: Operator | undefined;
process.once('exit', () => {
  for (const program of programs.values()) program.kill();
  folder?.remove();
});

const { watch } = readCommand(usage, { options: { watch: { type: 'boolean' } } }).values;
const hadTerminal = hasTerminal();
try {
  await startStack();
} catch (fault) {
  const isForUser = fault instanceof StartError || fault instanceof NginxError;
  say(isForUser ? fault.message : String((fault as Error).stack));
  await end(1);
}

// Gives the reader of the output a moment for the last lines.
async function end(code: number): Promise<void> {
  await Promise.all([output.flush(lastLinesMs), errors.flush(lastLinesMs)]);
  process.exit(code);
}

async function startStack(): Promise<void> {
  const { port, metricsPort, drainMs, chosen } = readSettings(process.env);
  const nginx = await ensureNginx();
  const front = await reserve(port);
  const isQueued = Boolean(process.env.KAFKA_BROKERS);
  const names = [...chosen.flatMap((name): FunctionName[] => [...systems[name].functions]), ...events(isQueued)];
  const ports = await Promise.all(names.map(async (name) => [name, await freePort()] as const));
  const functions: Partial<Record<FunctionName, number>> = Object.fromEntries(ports);

  if (functions.primary !== undefined) operator = await openOperator(port, () => programs.get('primary'));
  const edge = await chooseEdge(metricsPort, process.env);
  // Relative to nginx's working folder: its configuration cannot express every path.
  const variables = {
    ...localVariables({ runDir: '.', port, functions }),
    ACCESS_LOG: accessLogName,
    LOG_SERVER: edge?.logServer ?? '',
    OPERATOR: operator?.origin ?? '',
    ...readSwitches(process.env),
  };
  folder = makeRunFolder(render(variables));
  output.pass(folder.accessLog);
  obeySignals(names, drainMs);
  if (watch) watchModels(modelsDir, () => reload(names));
  if (edge) start(edge.program);
  for (const [name, port] of ports) start(functionProgram(name, port, chosen));
  if (isQueued) start(consumeProgram(Number(functions.events)));
  buildSite(join(folder.path, siteName)); // a tenth of a second, in which the functions load their models
  const ready = new Map(ports.map(([name, port]) => [name, untilReady(name, `http://127.0.0.1:${port}/readyz`)]));
  const all = Promise.all(ready.values());
  await Promise.race([all, untilFirstCanAnswer(ready)]);
  await front.release();
  if (isStopping) return;
  start(nginxProgram(nginx, folder.path));
  if (edge) await untilReady('edge', edge.metricsUrl);
  await Promise.all([all, untilReady('nginx', `http://127.0.0.1:${port}/healthz`)]);
  for (const program of programs.values()) program.trust();
  if (metricsPort !== undefined) say(`metrics of nginx at ${edge?.metricsUrl}`);
  say(
    `ready, ends with Ctrl-C. See http://localhost:${port}/ or try:\n\n${chosen.map((name) => `  ${exampleOf(name, port)}\n`).join('')}`,
  );
}

// Only the switches come from the user.
function render(variables: IngressVariables): string {
  try {
    return renderIngress(variables);
  } catch (fault) {
    throw new StartError((fault as Error).message);
  }
}

// Before the primary can answer, nginx's breaker would count refused connections and STARTING as failures and skip it for 5 s.
async function untilFirstCanAnswer(ready: ReadonlyMap<FunctionName, Promise<void>>): Promise<void> {
  const [primary, fallback] = [ready.get('primary'), ready.get('fallback')];
  if (primary && fallback) await Promise.race([primary, fallback.then(() => sleep(primaryHeadStartMs))]);
  else await Promise.race(ready.values());
}

function exampleOf(name: SystemName, port: number): string {
  const { path, example } = systems[name];
  const url = `http://localhost:${port}${path}`;
  return `curl ${example} ${url.includes('?') ? `'${url}'` : url}`;
}

function start(program: Program): void {
  const started = supervise(program, {
    say,
    giveUp: (text) => {
      say(text);
      void end(1);
    },
    readOutput: (stdout, stderr) => {
      output.pass(stdout);
      errors.pass(stderr);
    },
  });
  programs.set(program.name, started);
}

function functionProgram(name: FunctionName, port: number, chosen: readonly SystemName[]): Program {
  const command = functionCommand(name);
  const own = {
    MODELS_DIR: modelsDir,
    JOBS_STORE: jobsStore,
    FUNCTION_TARGET: name,
    PORT: String(port),
    EVENTS_TASKS: chosen.join(),
  };
  return {
    name,
    ...(name === 'events' ? forJobs(command) : { command }),
    env: { ...memoryVariables(name), ...process.env, ...own },
  };
}

/** With Kafka, jobs are run by a function of their own, of lower priority than those that answer synchronous requests. */
function events(isQueued: boolean): FunctionName[] {
  return isQueued ? ['events'] : [];
}

function consumeProgram(eventsPort: number): Program {
  const env = { ...process.env, EVENTS_URL: `http://127.0.0.1:${eventsPort}` };
  return { name: 'consume', ...forJobs(consumeCommand), env };
}

/** Behind the other programs of its session, and with it behind other sessions. */
function forJobs(command: Program['command']): Pick<Program, 'command' | 'niceness'> {
  return { command: behindOthers(command), niceness: jobsNiceness };
}

function nginxProgram(file: string, cwd: string): Program {
  const sockets = ['primary', 'strict', 'fallback', 'wake', 'alone', 'clouds', 'digits'].map((name) =>
    join(cwd, `${name}.sock`),
  );
  return {
    name: 'nginx',
    command: [file, '-p', '.', '-c', configName, '-e', 'stderr'],
    env: process.env,
    cwd,
    niceness: nginxNiceness,
    prepare: () => sockets.forEach((path) => void rmSync(path, { force: true })), // nginx does not start over old ones
  };
}

function obeySignals(functions: readonly FunctionName[], drainMs: number): void {
  const stop = async () => {
    isStopping = true;
    say('stops; once more to stop at once');
    operator?.close(); // first: a frozen primary would not drain
    await programs.get('nginx')?.stop('SIGQUIT', drainMs); // first: the functions must answer what it has accepted
    await programs.get('consume')?.stop('SIGTERM', drainMs + drainMarginMs); // it waits for what it has brought
    await Promise.all(functions.map((name) => programs.get(name)?.stop('SIGTERM', drainMs + drainMarginMs)));
    await programs.get('edge')?.stop('SIGTERM', drainMarginMs); // last: it counts what the others answered
    await end(0);
  };
  onInterrupt(stop, (signal) => {
    const isHungUp = hadTerminal && !hasTerminal();
    if (signal !== 'SIGHUP' || isHungUp) return false;
    reload(functions);
    return true;
  });
}

function reload(functions: readonly FunctionName[]): void {
  say('the functions read their model folders again');
  for (const name of functions) programs.get(name)?.signal('SIGHUP');
}

// Never settles once everything stops: the process exits then.
async function untilReady(name: string, url: string): Promise<void> {
  for (const end = Date.now() + readyWithinMs; Date.now() < end || isStopping; await sleep(20)) {
    const answer = await fetch(url, { signal: AbortSignal.timeout(probeMs) }).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok && !isStopping) return;
  }
  throw new StartError(`Expected ${name} to be ready within ${readyWithinMs / 1000} s but received no answer`);
}
