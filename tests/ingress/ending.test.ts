import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { isRunning, makeFolder, removeFolder, type Stack, startStack } from '../support/stack.ts';

jest.setTimeout(60_000);

const compiled = fileURLToPath(new URL('../../', import.meta.url));

let folder: string;
let stack: Stack;
let pids: readonly number[] = [];

beforeEach(() => {
  folder = makeFolder();
});

afterEach(async () => {
  for (const pid of pids.filter(isRunning)) process.kill(pid, 'SIGKILL');
  await stack.exited;
  removeFolder(folder);
});

describe('npm start', () => {
  // In its own project: the compiler would write the files that other tests are reading.
  async function npmStart(): Promise<Stack> {
    const project = join(folder, 'project');
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: object };
    mkdirSync(project);
    symlinkSync(compiled, join(project, 'dist'));
    const text = JSON.stringify({ name: 'own', type: 'module', scripts: { ...scripts, build: 'exit 0' } });
    writeFileSync(join(project, 'package.json'), text);
    return startStack(folder, { command: ['npm', 'start'], cwd: project });
  }

  it.each(['SIGTERM', 'SIGINT'] as const)('ends with all its programs when npm gets %s', async (signal) => {
    stack = await npmStart();
    await stack.says(/ready, ends with Ctrl-C/);
    pids = stack.pids();
    expect(pids).toHaveLength(5); // npm, start.js, both functions, nginx

    stack.child.kill(signal);
    await stack.exited;

    expect(pids.filter(isRunning)).toEqual([]);
    expect(stack.output().match(/drain ends/g)).toHaveLength(2);
    expect(readdirSync(folder)).toEqual(['project']);
  });
});

describe('the output of npm start', () => {
  /** Starts the stack with a pipe of 64 KiB for its output; the end to read from, which is never read. */
  async function startUnread(): Promise<number> {
    const path = join(folder, 'output.pipe');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, constants.O_WRONLY);
    stack = await startStack(folder, { stdio: ['ignore', writer, writer] });
    closeSync(writer);
    await stack.healthy();
    pids = stack.pids();
    expect(pids).toHaveLength(4);
    return reader;
  }

  /** The statuses of so many junk uploads, each of which is a line in two logs. */
  async function ask(times: number): Promise<readonly number[]> {
    const statuses = new Set<number>();
    for (let turn = 0; turn < times; turn += 1) {
      const sent = { method: 'POST', body: 'no image', signal: AbortSignal.timeout(5000) };
      const response = await fetch(`http://127.0.0.1:${stack.port}/classify`, sent);
      await response.text();
      statuses.add(response.status);
    }
    return [...statuses];
  }

  async function expectDrain(): Promise<void> {
    stack.child.kill('SIGTERM');
    expect(await stack.exited).toEqual([0, null]);
    expect(pids.filter(isRunning)).toEqual([]);
    expect(readdirSync(folder)).toEqual(['output.pipe']);
  }

  it('delays no answer when its reader stalls', async () => {
    const reader = await startUnread();

    expect(await ask(500)).toEqual([415]);

    await expectDrain();
    closeSync(reader);
  });

  it('may lose its reader: requests are answered, and all programs drain in the end', async () => {
    closeSync(await startUnread());

    expect(await ask(20)).toEqual([415]);
    await sleep(100); // the functions gather their lines
    expect(pids.filter(isRunning)).toEqual(pids);

    await expectDrain();
  });
});
