import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from '@jest/globals';
import { functionCommand } from '../../functions/launch.ts';
import { freePort } from '../../ingress/port.ts';

/** Together more than a pipe (64 kB), a socket (208 kB) and the log (256 kB) hold. */
const requests = 2500;

/**
 * What `npm start` does to the stdout that all its programs share: starting one program makes it a blocking one for the others.
 * Begins with the function, starts another on each line of stdin.
 */
const starter = `
  const { spawn, spawnSync } = require('node:child_process');
  const stdio = ['ignore', 'inherit', 'inherit'];
  spawn(process.argv[1], process.argv.slice(2), { stdio });
  process.stdin.on('data', () => process.stdout.write(String(spawnSync('true', { stdio }).status) + '\\n'));
`;

const groups: ChildProcess[] = [];

afterAll(() => {
  for (const { pid } of groups) process.kill(-Number(pid), 'SIGKILL');
});

/** Starts a function below the starter, and that by the program `through` where one is named. */
async function start(...through: string[]) {
  const port = await freePort();
  const [program = '', ...args] = [...through, process.execPath, '-e', starter, ...functionCommand('fallback')];
  const env = { PATH: process.env.PATH, FUNCTION_TARGET: 'fallback', PORT: String(port) };
  const child = spawn(program, args, { env, detached: true, stdio: 'pipe' });
  groups.push(child);
  const isReady = () => ask(port, '/readyz').catch(() => 0);
  while ((await isReady()) !== 200) await sleep(20);
  return { port, child };
}

const agent = new Agent({ keepAlive: true });

function ask(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = get({ port, path, agent, timeout: 3000 }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode));
    });
    sent.once('timeout', () => sent.destroy(new Error('no answer'))).once('error', reject);
  });
}

/** The statuses of so many requests, sixteen at a time, each of which writes a line. */
async function askOften(port: number, count: number): Promise<unknown[]> {
  const statuses = new Set<unknown>();
  let left = count;
  async function work(): Promise<void> {
    for (; left > 0; statuses.add(await ask(port, '/nowhere').catch((fault) => fault.message))) left -= 1;
  }
  await Promise.all(Array.from({ length: 16 }, work));
  return [...statuses];
}

describe('a function whose log', () => {
  it('nobody reads answers every request; read at last, it is whole but for lines that it says are dropped', async () => {
    const { port, child } = await start();
    child.stdin?.write('\n');
    await sleep(200);

    const statuses = await askOften(port, requests);
    const lines: string[] = [];
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => lines.push(line));
    await sleep(500);
    const after = await askOften(port, 1);
    await sleep(500);

    expect(statuses).toEqual([404]);
    expect(after).toEqual([404]);
    const parsed = lines.filter((line) => line !== '0').map((line) => JSON.parse(line));
    const [dropped, ...more] = parsed.filter(({ message }) => message === 'log lines dropped');
    const written = parsed.filter(({ status }) => status === 404).length;
    expect(more).toEqual([]);
    expect(dropped?.count).toBeGreaterThan(0);
    expect(written + dropped.count).toBe(requests + 1);
  }, 30_000);

  it('goes into a pipe that nobody reads answers every request', async () => {
    const { port, child } = await start('sh', '-c', '"$@" | sleep 600', 'sh');
    child.stdin?.write('\n');
    await sleep(200);

    expect(await askOften(port, 1000)).toEqual([404]);
  }, 30_000);

  it('goes to a reader that has gone answers every request', async () => {
    const { port, child } = await start();
    child.stdout?.destroy();
    child.stderr?.destroy();
    await once(child.stdout as NodeJS.ReadableStream, 'close');

    expect(await askOften(port, 20)).toEqual([404]);
    await sleep(100);
    expect(await askOften(port, 20)).toEqual([404]);
  }, 30_000);
});
