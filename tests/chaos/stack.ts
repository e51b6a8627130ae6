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

/** Everything that `npm start` starts, on a free port, with its own folder for models and temporary files. */
export interface Stack {
  readonly origin: string;
  readonly port: number;
  /** nginx' own folder; its uploads lie in `body` below. */
  readonly runDir: string;
  /** Process of a program; undefined while it waits to be started again. */
  pid(name: ProgramName): number | undefined;
  /** The same, waited for. */
  untilPid(name: ProgramName, signal: AbortSignal): Promise<number>;
  nginxWorkers(): readonly number[];
  /** Port of a function, behind nginx. */
  functionPort(name: FunctionName): number;
  /** Whether all models of a function can answer, by its own word. */
  isReady(name: FunctionName): Promise<boolean>;
  /** Opens the inspector of a function. The caller closes the connection, or aborts the signal. */
  inspect(name: FunctionName, signal: AbortSignal): Promise<Inspector>;
  /** What functions that start from now on take for MODELS_DIR; undefined for the shipped models. */
  serveModels(dir?: string): void;
  /** Access lines by request id, as they come. */
  readonly lines: Map<string, AccessLine>;
  /** What it said last, access lines left out. */
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

/** Starts the stack and settles when it is ready. @throws Error with its words when it is not in time */
export async function startStack(): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-chaos-'));
  chmodSync(folder, 0o711); // started by root, nginx' workers are someone else
  const models = join(folder, 'models');
  const port = await freePort();

  function serveModels(dir = resolve('models')): void {
    symlinkSync(dir, `${models}.next`);
    renameSync(`${models}.next`, models); // in one step: a function that starts now finds the old ones or the new ones
  }
  serveModels();
  const child = spawn('/bin/sh', shell, {
    detached: true, // a Ctrl-C is ours to handle
    env: {
      ...process.env,
      TMPDIR: folder,
      PORT: String(port),
      MODELS_DIR: models,
      DRAIN_MS: '10000',
      LOG_LEVEL: 'warn',
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${nodeOptions}`,
      // One address sends everything, and misbehaves as well.
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

  const pids = new Map<string, number>();
  const inspectors = new Map<number, string>();
  const lines = new Map<string, AccessLine>();
  const words: string[] = [];
  let inspectorAddress: string | undefined;
  let isUp = false;
  for (const stream of [child.stdout, child.stderr]) createInterface(stream as NodeJS.ReadableStream).on('line', read);

  function read(line: string): void {
    if (line.startsWith('{') && line.includes('"tiers":')) {
      const access = JSON.parse(line) as AccessLine;
      if (access.requestId.startsWith('chaos-')) lines.set(access.requestId, access);
      return;
    }
    words.push(line.slice(0, 1000));
    if (words.length > keptWords) words.shift();
    const started = /^understudy: (\S+) is process (\d+)$/.exec(line);
    if (started) pids.set(started[1] as string, Number(started[2]));
    const ended = /^understudy: (\S+) ended /.exec(line);
    if (ended) pids.delete(ended[1] as string);
    inspectorAddress = /^Debugger listening on (ws:\S+)$/.exec(line)?.[1] ?? inspectorAddress;
    if (line.includes('ready, ends with Ctrl-C')) isUp = true;
  }

  const lastWords = () => words.join('\n');
  await until(() => isUp, AbortSignal.timeout(readyWithinMs), child).catch(async (fault: Error) => {
    await stop();
    throw new Error(`Expected a stack that starts but received ${fault.message}:\n${lastWords()}`);
  });
  const runDir = join(folder, readdirSync(folder).find((name) => /^understudy-/.test(name)) ?? '');
  const config = readFileSync(join(runDir, 'nginx.conf'), 'utf8');

  async function stop(): Promise<void> {
    for (const pid of pids.values()) signalProcess(pid, 'SIGCONT');
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      const late = setTimeout(() => {
        for (const pid of [...pids.values(), child.pid as number]) signalProcess(pid, 'SIGKILL');
      }, stopWithinMs);
      child.kill('SIGINT');
      await ended;
      clearTimeout(late);
    }
    rmSync(folder, { recursive: true, force: true });
  }

  async function untilPid(name: ProgramName, signal: AbortSignal): Promise<number> {
    await until(() => pids.has(name), signal, child);
    return pids.get(name) as number;
  }

  function functionPort(name: FunctionName): number {
    return Number(new RegExp(`upstream ${name} \\{[^}]*?server [^;]*?:(\\d+) `, 's').exec(config)?.[1]);
  }

  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    runDir,
    pid: (name) => pids.get(name),
    untilPid,
    nginxWorkers() {
      const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' });
      const rows = table.split('\n').map((row) => row.trim().split(/\s+/));
      // Those that drain after a reload say so.
      const isWorker = (args: string) => args.includes('worker process') && !args.includes('shutting down');
      const isOurs = (row: string[]) => Number(row[1]) === pids.get('nginx') && isWorker(row.join(' '));
      return rows.filter(isOurs).map(([pid]) => Number(pid));
    },
    functionPort,
    isReady: (name) => saysReady(functionPort(name)),
    async inspect(name, signal) {
      const pid = await untilPid(name, signal);
      if (!inspectors.has(pid)) {
        inspectorAddress = undefined;
        process.kill(pid, 'SIGUSR1');
        await until(() => inspectorAddress !== undefined, signal, child);
        inspectors.set(pid, inspectorAddress as unknown as string);
      }
      return connectInspector(inspectors.get(pid) as string, signal);
    },
    serveModels,
    lines,
    lastWords,
    stop,
  };
}

/** Node's fetch keeps connections, which these functions often take with them. */
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
