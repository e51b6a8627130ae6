import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach } from '@jest/globals';
import { freePort } from '../../ingress/port.ts';

/** The compiled start.js. */
export const startCommand = [
  process.execPath,
  fileURLToPath(new URL('../../ingress/start.js', import.meta.url)),
] as const;

/** A running `npm start`. */
export interface Stack {
  readonly child: ChildProcess;
  readonly port: number;
  readonly exited: Promise<[number | null, NodeJS.Signals | null]>;
  output(): string;
  /** Waits until the output matches. @throws Error with the output when it does not within 30 s */
  says(pattern: RegExp): Promise<void>;
  /** Status of /healthz, 0 without an answer. */
  health(): Promise<number>;
  /** Waits for a healthy nginx. */
  healthy(): Promise<void>;
  /** Process ids of the programs that it started, by a part of their command line or environment. */
  programs(part?: string): number[];
  /** All process ids below the program, itself included and nginx's workers not. */
  pids(): readonly number[];
  /** Ends it with all its programs, if it still runs. */
  end(): Promise<void>;
}

export interface StackOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** @default startCommand */
  readonly command?: readonly [string, ...string[]];
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
}

/** A folder for TMPDIR, so that a test sees what is left behind. As root, nginx's workers run as another user: 0711. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'stack-test-'));
  chmodSync(folder, 0o711);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

/** A folder and at most one stack for each test, both gone after it. For a test file's top level. */
export function useStack() {
  let folder = '';
  let stack: Stack | undefined;
  beforeEach(() => {
    folder = makeFolder();
  });
  afterEach(async () => {
    await stack?.end();
    stack = undefined;
    removeFolder(folder);
  });
  return {
    folder: () => folder,
    /** The test's, once it was started. */
    stack: () => stack,
    async start(env: NodeJS.ProcessEnv = {}, command?: StackOptions['command']): Promise<Stack> {
      stack = await startStack(folder, { env, ...(command && { command }) });
      return stack;
    },
  };
}

/** Starts classify on a free port with one worker per function; settles once the process is spawned. */
export async function startStack(folder: string, options: StackOptions = {}): Promise<Stack> {
  const port = await freePort();
  const { env, command = startCommand, ...others } = options;
  const [file, ...args] = command;
  const jobsStore = join(folder, 'jobs');
  const own = { FUNCTIONS: 'classify', TMPDIR: folder, PORT: String(port), JOBS_STORE: jobsStore };
  const variables = { ...own, DRAIN_MS: '5000', WORKERS: '1' };
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...variables, ...env },
    ...others,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const exited = once(child, 'close') as Stack['exited'];
  // A fetch whose connection is closed at once, as by the reserved port, may never settle.
  const health = () =>
    fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(1000) }).then(
      ({ status }) => status,
      () => 0,
    );
  return {
    child,
    port,
    exited,
    output: () => text,
    says: (pattern) =>
      until(
        () => pattern.test(text),
        30_000,
        () => `Expected ${pattern} but received:\n${text}`,
      ),
    health,
    healthy: () =>
      until(
        async () => (await health()) === 200,
        30_000,
        () => `Expected a healthy nginx but received:\n${text}`,
      ),
    programs: (part = '') => childrenOf(child.pid, part),
    pids: () => pidsBelow(child.pid),
    async end() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGINT'); // never SIGKILL: only a stack that stops by itself ends its programs
        await Promise.race([exited, sleep(600)]);
        child.kill('SIGINT');
      }
      await exited;
    },
  };
}

/** Waits until it is true. @throws Error after `withinMs` */
export async function until(
  isTrue: () => boolean | Promise<boolean>,
  withinMs: number,
  complain: string | (() => string),
): Promise<void> {
  for (const end = Date.now() + withinMs; !(await isTrue()); await sleep(20)) {
    if (Date.now() > end) throw new Error(typeof complain === 'string' ? complain : complain());
  }
}

/** Whether a process runs; a zombie does not. */
export function isRunning(pid: number | undefined): boolean {
  return existsSync(`/proc/${pid}/fd/0`);
}

/** A file of /proc; empty once the process has ended. */
export function readProc(pid: number | string | undefined, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function childrenOf(pid: number | undefined, part: string): number[] {
  const parentOf = (name: string) =>
    readProc(name, 'stat')
      .replace(/^.*\) /s, '')
      .split(' ')[1];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === String(pid))
    .filter((name) => (readProc(name, 'cmdline') + readProc(name, 'environ')).includes(part))
    .map(Number);
}

/** Process ids of a program and of all below it, nginx's workers left out. */
export function pidsBelow(pid: number | undefined): number[] {
  const isNginx = readProc(pid, 'cmdline').startsWith('nginx'); // its workers end with it
  return [Number(pid), ...(isNginx ? [] : childrenOf(pid, '').flatMap(pidsBelow))];
}
