import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../ingress/port.ts';
import { connectInspector, type Inspector } from './inspector.ts';
import type { AccessLine } from './row.ts';

export type FunctionName = 'primary' | 'fallback';
export type ProgramName = FunctionName | 'nginx';

/** All programs of `FUNCTIONS=classify npm start`, on a free port, with a folder of their own for models and temporary files. */
export interface Stack {
  readonly origin: string;
  readonly port: number;
  /** nginx' own folder; its uploads lie in `body` below. */
  readonly runDir: string;
  /** Process of a program; undefined while it waits to be started again. */
  pid(name: ProgramName): number | undefined;
  /** The same; waits for it. */
  untilPid(name: ProgramName, signal: AbortSignal): Promise<number>;
  nginxWorkers(): readonly number[];
  /** Port of a function, behind nginx. */
  functionPort(name: FunctionName): number;
  /** Whether `/readyz` of a function reports all models. */
  isReady(name: FunctionName): Promise<boolean>;
  /** Opens the inspector of a function. The caller closes the connection, or aborts the signal. */
  inspect(name: FunctionName, signal: AbortSignal): Promise<Inspector>;
  /** Sets MODELS_DIR of functions that start from now on; the shipped models by default. */
  serveModels(dir?: string): void;
  /** Access lines by request id, as they come. */
  readonly lines: Map<string, AccessLine>;
  /** The end of its output, without access lines. */
  lastWords(): string;
  stop(): Promise<void>;
}

const script = fileURLToPath(new URL('../../ingress/start.js', import.meta.url));
const readyWithinMs = 60_000;
const stopWithinMs = 30_000;
const keptWords = 200;
const probeMs = 1000;

// No core files of the processes that crash here; small heaps, so that a leak ends soon; each inspector on a port of its own.
const shell = ['-c', 'ulimit -c 0 && exec "$0" "$@"', process.execPath, script];
const nodeOptions = '--inspect-port=0 --max-old-space-size=256';

/** What the stack's output tells. */
class Output {
  readonly pids = new Map<string, number>();
  readonly lines = new Map<string, AccessLine>();
  readonly words: string[] = [];
  inspectorAddress: string | undefined;
  isUp = false;

  read(line: string): void {
    if (line.startsWith('{') && line.includes('"tiers":')) {
      const access = JSON.parse(line) as AccessLine;
      if (access.requestId.startsWith('chaos-')) this.lines.set(access.requestId, access);
      return;
    }
    this.words.push(line.slice(0, 1000));
    if (this.words.length > keptWords) this.words.shift();
    const [, started, pid] = /^understudy: (\S+) is process (\d+)$/.exec(line) ?? [];
    if (started !== undefined) this.pids.set(started, Number(pid));
    const [, ended] = /^understudy: (\S+) ended /.exec(line) ?? [];
    if (ended !== undefined) this.pids.delete(ended);
    this.inspectorAddress = /^Debugger listening on (ws:\S+)$/.exec(line)?.[1] ?? this.inspectorAddress;
    if (line.includes('ready, ends with Ctrl-C')) this.isUp = true;
  }
}

/** Starts the stack and settles when it is ready. @throws Error with its output when it is not in time */
export async function startStack(): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-chaos-'));
  chmodSync(folder, 0o711); // started by root, nginx' workers are another user
  const models = join(folder, 'models');
  const port = await freePort();
  function serveModels(dir = resolve('models')): void {
    symlinkSync(dir, `${models}.next`);
    renameSync(`${models}.next`, models); // atomic: a function that starts now finds the old folder or the new one
  }
  serveModels();
  const env = {
    ...process.env,
    ...{
      FUNCTIONS: 'classify',
      TMPDIR: folder,
      PORT: String(port),
      MODELS_DIR: models,
      DRAIN_MS: '10000',
      LOG_LEVEL: 'warn',
    },
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${nodeOptions}`,
  };
  // A group of its own: a Ctrl-C is for this process to handle.
  const child = spawn('/bin/sh', shell, { detached: true, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = new Output();
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', (line) => output.read(line));
  const stop = async () => {
    await endStack(child, [...output.pids.values()]);
    rmSync(folder, { recursive: true, force: true });
  };
  const lastWords = () => output.words.join('\n');
  await until(() => output.isUp, AbortSignal.timeout(readyWithinMs), child).catch(async (fault: Error) => {
    await stop();
    throw new Error(`Expected a stack that starts but received ${fault.message}:\n${lastWords()}`);
  });
  const runDir = join(folder, readdirSync(folder).find((name) => /^understudy-/.test(name)) ?? '');
  const config = readFileSync(join(runDir, 'nginx.conf'), 'utf8');
  const functionPort = (name: FunctionName) =>
    Number(new RegExp(`upstream ${name} \\{[^}]*?server [^;]*?:(\\d+) `, 's').exec(config)?.[1]);
  async function untilPid(name: ProgramName, signal: AbortSignal): Promise<number> {
    await until(() => output.pids.has(name), signal, child);
    return output.pids.get(name) as number;
  }
  return {
    ...{ origin: `http://127.0.0.1:${port}`, port, runDir, lines: output.lines },
    ...{ untilPid, functionPort, serveModels, lastWords, stop },
    pid: (name) => output.pids.get(name),
    nginxWorkers: () => workersOf(output.pids.get('nginx')),
    isReady: (name) => saysReady(functionPort(name)),
    inspect: createInspect(child, output, untilPid),
  };
}

/** Opens inspectors. A process prints its address once, at the first SIGUSR1. */
function createInspect(child: ChildProcess, output: Output, untilPid: Stack['untilPid']): Stack['inspect'] {
  const addresses = new Map<number, string>();
  return async (name, signal) => {
    const pid = await untilPid(name, signal);
    if (!addresses.has(pid)) {
      output.inspectorAddress = undefined;
      process.kill(pid, 'SIGUSR1');
      await until(() => output.inspectorAddress !== undefined, signal, child);
      addresses.set(pid, output.inspectorAddress as unknown as string);
    }
    return connectInspector(addresses.get(pid) as string, signal);
  };
}

async function endStack(child: ChildProcess, pids: readonly number[]): Promise<void> {
  for (const pid of pids) signalProcess(pid, 'SIGCONT');
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  const late = setTimeout(() => {
    for (const pid of [...pids, child.pid as number]) signalProcess(pid, 'SIGKILL');
  }, stopWithinMs);
  child.kill('SIGINT');
  await ended;
  clearTimeout(late);
}

/** Workers of nginx that take requests; those of an older configuration say that they shut down. */
function workersOf(master: number | undefined): readonly number[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' });
  const rows = table.split('\n').map((row) => row.trim().split(/\s+/));
  const isWorker = (args: string) => args.includes('worker process') && !args.includes('shutting down');
  return rows.filter((row) => Number(row[1]) === master && isWorker(row.join(' '))).map(([pid]) => Number(pid));
}

/** Without fetch, whose kept connections break with the functions. */
function saysReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = get(`http://127.0.0.1:${port}/readyz`, { agent: false, timeout: probeMs }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('close', () => resolve(text.includes('"status":"ready"')));
    });
    probe.once('timeout', () => probe.destroy());
    probe.once('error', () => resolve(false));
  });
}

async function until(isTrue: () => boolean, signal: AbortSignal, child: ChildProcess): Promise<void> {
  while (!isTrue()) {
    if (child.exitCode !== null) throw new Error(`exit code ${child.exitCode}`);
    await sleep(10, undefined, { signal });
  }
}

/** Sends a signal to a process that may have ended; whether it had not. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'ESRCH') throw fault;
    return false;
  }
}
