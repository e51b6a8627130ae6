import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { freePort } from '../../ingress/port.ts';
import { childrenOf, readProc, type Started, startProgram } from '../support/started.ts';

jest.setTimeout(60_000);

const compiled = fileURLToPath(new URL('../../', import.meta.url));
const script = join(compiled, 'ingress/start.js');
const scripts: Record<string, string> = JSON.parse(readFileSync('package.json', 'utf8')).scripts;

let folder: string;
let port: number;
let started: Started | undefined;
let pids: readonly number[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ending-test-'));
  chmodSync(folder, 0o711); // started by root, nginx' workers are someone else
  port = await freePort();
  pids = [];
});

afterEach(async () => {
  for (const pid of pids.filter(isRunning)) process.kill(pid, 'SIGKILL');
  await started?.exited;
  rmSync(folder, { recursive: true, force: true });
});

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, TMPDIR: folder, PORT: String(port), DRAIN_MS: '5000', WORKERS: '1' };
}

function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}/fd/0`);
}

/** npm where it is in between, `npm start`'s own process, both functions and nginx. */
function allPids({ child }: Started): readonly number[] {
  const below = (pid: number | undefined): number[] => {
    const isNginx = readProc(`${pid}`, 'cmdline').startsWith('nginx'); // its workers end with it
    return [pid as number, ...(isNginx ? [] : childrenOf(pid, '').flatMap(below))];
  };
  return below(child.pid);
}

async function untilHealthy(): Promise<void> {
  for (const end = Date.now() + 30_000; (await status('healthz', 'GET')) !== 200; await sleep(20)) {
    if (Date.now() > end) throw new Error('Expected a stack that is up but received none');
  }
}

/** 0 where there is no answer within 5 s. */
async function status(path: string, method: string): Promise<number> {
  const sent = { method, signal: AbortSignal.timeout(5000), ...(method === 'POST' && { body: 'no image' }) };
  return fetch(`http://127.0.0.1:${port}/${path}`, sent).then(
    async (response) => {
      await response.text();
      return response.status;
    },
    () => 0,
  );
}

/** The statuses of so many junk uploads, each of which is a line in two logs. */
async function ask(times: number): Promise<readonly number[]> {
  const statuses = new Set<number>();
  for (let turn = 0; turn < times; turn += 1) statuses.add(await status('classify', 'POST'));
  return [...statuses];
}

describe('npm start', () => {
  // A project of its own: the compiler would write the files that other tests are reading.
  function npmStart(): Started {
    const own = join(folder, 'project');
    execFileSync('mkdir', [own]);
    symlinkSync(compiled, join(own, 'dist'));
    const text = JSON.stringify({ name: 'own', type: 'module', scripts: { ...scripts, build: 'exit 0' } });
    writeFileSync(join(own, 'package.json'), text);
    return startProgram(['npm', 'start'], { env: environment(), cwd: own });
  }

  it.each(['SIGTERM', 'SIGINT'] as const)('ends with all that it has started when npm gets %s', async (signal) => {
    started = npmStart();
    await started.says(/ready, ends with Ctrl-C/);
    pids = allPids(started);
    expect(pids).toHaveLength(5);

    started.child.kill(signal);
    await started.exited;

    expect(pids.filter(isRunning)).toEqual([]);
    expect(started.output().match(/drain ends/g)).toHaveLength(2);
    expect(readdirSync(folder)).toEqual(['project']);
  });
});

describe('the output of npm start', () => {
  /** A pipe of 64 KiB. */
  function openPipe(): { readonly reader: number; readonly writer: number } {
    const path = join(folder, 'output.pipe');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return { reader, writer: openSync(path, constants.O_WRONLY) };
  }

  async function startInto(writer: number): Promise<Started> {
    const running = startProgram([process.execPath, script], { env: environment(), stdio: ['ignore', writer, writer] });
    closeSync(writer);
    await untilHealthy();
    pids = allPids(running);
    expect(pids).toHaveLength(4);
    return running;
  }

  it('holds nobody up when its reader stalls', async () => {
    const { reader, writer } = openPipe();
    started = await startInto(writer);

    expect(await ask(500)).toEqual([415]);

    started.child.kill('SIGTERM');
    expect(await started.exited).toEqual([0, null]);
    expect(pids.filter(isRunning)).toEqual([]);
    closeSync(reader);
  });

  it('may lose its reader: who asks is answered, and all drain in the end', async () => {
    const { reader, writer } = openPipe();
    started = await startInto(writer);

    closeSync(reader);
    expect(await ask(20)).toEqual([415]);
    await sleep(100); // the functions gather their lines
    expect(pids.filter(isRunning)).toEqual(pids);

    started.child.kill('SIGTERM');
    expect(await started.exited).toEqual([0, null]);
    expect(pids.filter(isRunning)).toEqual([]);
    expect(readdirSync(folder)).toEqual(['output.pipe']);
  });
});
