import { execFileSync } from 'node:child_process';
import { chmodSync, constants, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { functionCommand, memoryVariables } from '../functions/launch.ts';
import { onInterrupt, readCommand } from './command.ts';
import { ensureNginx, NginxError } from './install.ts';
import { openOutput } from './output.ts';
import { localVariables, renderIngress } from './render.ts';
import { type Program, type Supervised, supervise } from './supervise.ts';

const usage = `Usage: npm start

Starts both functions and nginx in front of them, and restarts what dies. Ctrl-C drains and stops; a second one stops at once.
It reads these variables; the functions get all others:

  PORT                  port of nginx on 127.0.0.1 (default 8080)
  DRAIN_MS              longest drain (default 25000)`;

const root = fileURLToPath(new URL('../../', import.meta.url));

// A model loads in under a second; a slow disk may take longer, but not this long.
const readyWithinMs = 60_000;
// A stopped process accepts connections and does not answer.
const probeMs = 1_000;
// How long nginx waits for the primary once the fallback is ready; usually both load their first model at the same time.
const primaryHeadStartMs = 1_000;
// Beyond the longest drain of a function, which then exits by itself.
const drainMarginMs = 2_000;
const lastLinesMs = 500;

const configName = 'nginx.conf';
const accessLogName = 'access.pipe';

/** A setting that the user has to change; the message says which. */
class StartError extends Error {
  override readonly name = 'StartError';
}

// The programs write to pipes and never to this standard output itself: one of them could block it for all.
const [output, errors] = [openOutput(process.stdout), openOutput(process.stderr)];
const say = (text: string): void => errors.write(`understudy: ${text}\n`);

const programs = new Map<string, Supervised>();
let isStopping = false;
let runDir: string | undefined;
process.once('exit', () => {
  for (const program of programs.values()) program.kill();
  if (runDir !== undefined) rmSync(runDir, { recursive: true, force: true });
});

readCommand(usage, {});
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
  const port = whole('PORT', 8080, 65_535);
  const drainMs = whole('DRAIN_MS', 25_000, 600_000);
  const nginx = await ensureNginx();
  const front = await reserve(port);
  const [primaryPort, fallbackPort] = await Promise.all([freePort(), freePort()]);

  // Relative to nginx's working folder: its configuration cannot express every path.
  const variables = { ...localVariables({ runDir: '.', port, primaryPort, fallbackPort }), ACCESS_LOG: accessLogName };
  const folder = makeRunDir(renderIngress(variables));
  const sockets = ['primary', 'strict', 'fallback', 'wake'].map((name) => join(folder, `${name}.sock`));
  const start = (program: Program): void => {
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
  };
  stopOnSignal(drainMs);
  start(functionProgram('primary', primaryPort));
  start(functionProgram('fallback', fallbackPort));
  const primary = untilReady('primary', `http://127.0.0.1:${primaryPort}/readyz`);
  const fallback = untilReady('fallback', `http://127.0.0.1:${fallbackPort}/readyz`);
  // Earlier, nginx's breaker would count refused connections and STARTING as failures and skip the primary for 5 s.
  await Promise.race([primary, fallback.then(() => sleep(primaryHeadStartMs))]);
  await front.release();
  if (isStopping) return;
  start({
    name: 'nginx',
    command: [nginx, '-p', '.', '-c', configName, '-e', 'stderr'],
    env: process.env,
    cwd: folder,
    prepare: () => sockets.forEach((path) => void rmSync(path, { force: true })), // nginx does not start over old ones
  });
  await Promise.all([primary, fallback, untilReady('nginx', `http://127.0.0.1:${port}/healthz`)]);
  for (const program of programs.values()) program.trust();
  say(
    `ready, ends with Ctrl-C. Try:\n\n  curl -F image=@tests/images/test_image_1.jpg http://localhost:${port}/classify\n`,
  );
}

function functionProgram(name: 'primary' | 'fallback', port: number): Program {
  const defaults = { MODELS_DIR: join(root, 'models'), ...memoryVariables(name) };
  return {
    name,
    command: functionCommand(name),
    env: { ...defaults, ...process.env, FUNCTION_TARGET: name, PORT: String(port) },
  };
}

// nginx first: the functions must answer what it has accepted.
function stopOnSignal(drainMs: number): void {
  onInterrupt(async () => {
    isStopping = true;
    say('stops; once more to stop at once');
    await programs.get('nginx')?.stop('SIGQUIT', drainMs);
    const functions = ['primary', 'fallback'].map((name) => programs.get(name));
    await Promise.all(functions.map((one) => one?.stop('SIGTERM', drainMs + drainMarginMs)));
    await end(0);
  });
}

function whole(name: string, fallback: number, max: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new StartError(`Expected a whole number from 1 to ${max} for ${name} but received ${JSON.stringify(text)}`);
}

interface Reserved {
  readonly port: number;
  /** Releases the port for the program that listens there. */
  release(): Promise<void>;
}

// Reserves the port, or a free one for 0, until it is released.
function reserve(port: number): Promise<Reserved> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (fault: NodeJS.ErrnoException) => {
      const why = fault.code === 'EADDRINUSE' ? 'another program listens there' : fault.message;
      reject(new StartError(`Expected a free port for PORT but received ${port}: ${why}`));
    });
    server.listen(port, '127.0.0.1', () => {
      const release = () => new Promise<void>((released) => server.close(() => released()));
      resolve({ port: (server.address() as AddressInfo).port, release });
    });
  });
}

// Free now; if another program takes it within the next second, the start fails.
async function freePort(): Promise<number> {
  const { port, release } = await reserve(0);
  await release();
  return port;
}

// nginx's working folder, with its configuration and a pipe for its access log. Mode 0700, so that no other user reaches the
// private sockets; as root, nginx's workers run as another user, who must be able to pass through.
function makeRunDir(config: string): string {
  const parent = resolve(tmpdir());
  const isRoot = process.getuid?.() === 0;
  try {
    for (let above = parent; isRoot && above !== dirname(above); above = dirname(above)) {
      const stats = statSync(above);
      if (!stats.isDirectory() || (stats.mode & 0o001) !== 0) continue;
      throw new StartError(
        `Expected a TMPDIR that every user may pass through but received ${tmpdir()}, closed at ${above}`,
      );
    }
    runDir = mkdtempSync(join(parent, 'understudy-'));
    if (isRoot) chmodSync(runDir, 0o711);
    writeFileSync(join(runDir, configName), config);
    passAccessLog(join(runDir, accessLogName));
    return runDir;
  } catch (fault) {
    if (fault instanceof StartError) throw fault;
    throw new StartError(
      `Expected a folder to write to for TMPDIR but received ${JSON.stringify(tmpdir())}: ${(fault as Error).message}`,
    );
  }
}

// nginx opens its access log by path, so it needs a named pipe.
function passAccessLog(path: string): void {
  execFileSync('mkfifo', ['-m', '600', path], { stdio: 'pipe' });
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK); // open for writing too, so that it stays open while nginx restarts
  output.pass(new Socket({ fd, readable: true, writable: false }));
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
