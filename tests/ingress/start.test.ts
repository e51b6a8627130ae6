import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { functionCommand, memoryVariables } from '../../functions/launch.ts';
import { freePort } from '../../ingress/port.ts';
import { childrenOf, readProc, type Started, startProgram } from '../support/started.ts';

jest.setTimeout(60_000);

const script = fileURLToPath(new URL('../../ingress/start.js', import.meta.url));

interface Stack extends Started {
  readonly port: number;
}

let folder: string;
let stack: Stack | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'start-test-')); // as TMPDIR, so that what is left behind can be seen
  chmodSync(folder, 0o711); // started by root, nginx' workers are someone else
});

afterEach(async () => {
  if (stack !== undefined && stack.child.exitCode === null && stack.child.signalCode === null) {
    stack.child.kill('SIGINT'); // never SIGKILL: only a stack that stops by itself takes its programs along
    await sleep(600);
    stack.child.kill('SIGINT');
    await stack.exited;
  }
  stack = undefined;
  rmSync(folder, { recursive: true });
});

async function start(env: Record<string, string> = {}): Promise<Stack> {
  const port = env.PORT === undefined ? await freePort() : Number(env.PORT);
  const started = startProgram([process.execPath, script], {
    env: { ...process.env, TMPDIR: folder, PORT: String(port), DRAIN_MS: '5000', WORKERS: '1', ...env },
  });
  stack = { ...started, port };
  return stack;
}

function runDirs(): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('understudy-'));
}

/** Process ids of the programs that a stack has started, by what their command line contains. */
function programs(of: Stack, part: string): number[] {
  return childrenOf(of.child.pid, part);
}

async function health(port: number): Promise<number> {
  return fetch(`http://127.0.0.1:${port}/healthz`).then(
    (response) => response.status,
    () => 0,
  );
}

/** Stops the primary before it can answer; its process id, once the fallback has begun. */
async function stopPrimary({ output, says }: Pick<Stack, 'output' | 'says'>): Promise<number> {
  await says(/primary is process \d+/);
  const pid = Number(/primary is process (\d+)/.exec(output())?.[1]);
  process.kill(pid, 'SIGSTOP');
  await says(/fallback is process \d+/);
  return pid;
}

/** Tier of the answer to a picture of one pixel. */
async function classify(port: number): Promise<string | null> {
  const pixel = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64'); // GIF
  const headers = { 'content-type': 'image/gif' };
  const response = await fetch(`http://127.0.0.1:${port}/classify`, { method: 'POST', headers, body: pixel });
  if (!response.ok) throw new Error(await response.text());
  return response.headers.get('x-tier');
}

describe('npm start', () => {
  it.each(['0', '-1', '65536', '80a', ' '])('refuses PORT=%j with one sentence', async (value) => {
    const { exited, output } = await start({ PORT: value });

    expect((await exited)[0]).toBe(1);
    expect(output()).toBe(
      `understudy: Expected a whole number from 1 to 65535 for PORT but received ${JSON.stringify(value)}\n`,
    );
    expect(runDirs()).toEqual([]);
  });

  it('refuses a port that is taken with one sentence', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const port = (other.address() as { port: number }).port;

    const { exited, output } = await start({ PORT: String(port) });

    expect((await exited)[0]).toBe(1);
    expect(output()).toBe(
      `understudy: Expected a free port for PORT but received ${port}: another program listens there\n`,
    );
    expect(runDirs()).toEqual([]);
    other.close();
  });

  it('refuses a TMPDIR that is closed to others, as root, and needs no more than that otherwise', async () => {
    chmodSync(folder, 0o700);

    const { exited, output, says } = await start();

    if (process.getuid?.() !== 0) return says(/ready, ends with Ctrl-C/);
    expect((await exited)[0]).toBe(1);
    expect(output()).toBe(
      `understudy: Expected a TMPDIR that every user may pass through but received ${folder}, closed at ${folder}\n`,
    );
  });

  it.each([
    ['that is missing', () => join(folder, 'missing'), /ENOENT/],
    ['that is a file', () => join(folder, 'file'), /ENOTDIR/],
    ['of a kind without files', () => '/proc', /ENOENT/],
  ])('refuses a TMPDIR %s with one sentence', async (_circumstance, path, why) => {
    writeFileSync(join(folder, 'file'), '');

    const { exited, output } = await start({ TMPDIR: path() });

    expect((await exited)[0]).toBe(1);
    const sentence = `understudy: Expected a folder to write to for TMPDIR but received ${JSON.stringify(path())}: `;
    expect(output().slice(0, sentence.length)).toBe(sentence);
    expect(output().split('\n')).toEqual([expect.stringMatching(why), '']);
  });

  it.each([
    ['characters that nginx would take for its own', ` a b\tü;$x{y}'q"#\\z`],
    ['more of them than the path of a socket may have', 'long'.repeat(40)],
  ])('works in a TMPDIR with %s', async (_circumstance, name) => {
    mkdirSync(join(folder, name));
    chmodSync(join(folder, name), 0o711);

    const { child, exited, port, says } = await start({ TMPDIR: join(folder, name) });
    await says(/ready, ends with Ctrl-C/);
    await classify(port);

    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(readdirSync(join(folder, name))).toEqual([]);
  });

  it('tells which function cannot start and leaves nothing behind', async () => {
    const { exited, output, port } = await start({ MAX_PIXELS: 'many' });

    expect((await exited)[0]).toBe(1);
    expect(output()).toMatch(/for MAX_PIXELS but received/);
    expect(output()).toMatch(/understudy: (primary|fallback) could not start \(exit code 1\); it says why above/);
    expect(runDirs()).toEqual([]);
    expect(await health(port)).toBe(0);
  });

  it('lets nobody in before the primary can answer, so that its breaker does not skip it at first', async () => {
    const { port, says } = await start();

    while ((await health(port)) !== 200) await sleep(5);
    await classify(port);

    await says(/"answers":"200","times":"[^"]*","model":"[^"]*","tier":"primary"/);
  });

  it('lets the fallback answer when the primary takes longer', async () => {
    const { port, output, says } = await start();
    const primary = await stopPrimary({ output, says });

    while ((await health(port)) !== 200) await sleep(5);

    expect(await classify(port)).toBe('fallback');
    expect(output()).not.toMatch(/ready, ends with Ctrl-C/);
    process.kill(primary, 'SIGCONT');
    await says(/ready, ends with Ctrl-C/);
  });

  it('stops before it is ready, and holds its port until then', async () => {
    const { child, exited, output, port, says } = await start({ DRAIN_MS: '1000' });
    const primary = await stopPrimary({ output, says });
    const other = createServer().listen(port, '127.0.0.1');
    expect((await once(other, 'error'))[0]).toMatchObject({ code: 'EADDRINUSE' });

    child.kill('SIGTERM');
    await says(/stops; once more/);
    await sleep(1500);
    process.kill(primary, 'SIGCONT');

    expect(await exited).toEqual([0, null]);
    expect(output()).not.toMatch(/nginx is process/);
    expect(runDirs()).toEqual([]);
  });

  it('answers, starts what dies again, and stops without a trace', async () => {
    const running = await start();
    const { port, says } = running;

    await says(new RegExp(`curl -F image=@tests/images/test_image_1\\.jpg http://localhost:${port}/classify`));
    expect(await health(port)).toBe(200);
    expect(await classify(port)).toBe('primary');
    await says(/"answers":"200"/);

    const [primary, fallback] = programs(running, 'serve.js');
    expect(readProc(`${primary}`, 'cmdline').split('\0')).toEqual([...functionCommand('primary'), '']);
    expect(readProc(`${fallback}`, 'cmdline').split('\0')).toEqual([...functionCommand('fallback'), '']);
    const variablesOf = (target: 'primary' | 'fallback') =>
      expect.arrayContaining(Object.entries(memoryVariables(target)).map(([name, value]) => `${name}=${value}`));
    expect(readProc(`${primary}`, 'environ').split('\0')).toEqual(variablesOf('primary'));
    expect(readProc(`${fallback}`, 'environ').split('\0')).toEqual(variablesOf('fallback'));
    process.kill(primary as number, 'SIGKILL');
    expect(await classify(port)).toMatch(/primary|fallback/);
    await says(/primary ended \(SIGKILL\), starts again in 250 ms/);
    await says(/starts again[\s\S]*"message":"worker ready"/);
    expect(programs(running, 'serve.js')).toHaveLength(2);

    const others = programs(running, 'serve.js');
    process.kill(programs(running, '').find((pid) => !others.includes(pid)) as number, 'SIGKILL');
    await says(/nginx ended \(SIGKILL\), starts again in 250 ms/);
    while ((await health(port)) !== 200) await sleep(20);
    expect(await classify(port)).toMatch(/primary|fallback/);

    running.child.kill('SIGINT');
    running.child.kill('SIGINT'); // as npm does: the same Ctrl-C
    expect(await running.exited).toEqual([0, null]);
    expect(runDirs()).toEqual([]);
    expect(existsSync(`/proc/${fallback}`)).toBe(false);
    expect(await health(port)).toBe(0);
    expect(running.output()).toMatch(/drain ends/);
  });

  it('stops at once on the second Ctrl-C', async () => {
    const running = await start();
    await running.says(/ready, ends with Ctrl-C/);
    const [primary] = programs(running, 'serve.js') as [number, number];
    process.kill(primary, 'SIGSTOP'); // will not drain

    running.child.kill('SIGINT');
    await sleep(700);
    running.child.kill('SIGINT');

    expect(await running.exited).toEqual([130, null]);
    expect(runDirs()).toEqual([]);
    for (let i = 0; i < 100 && existsSync(`/proc/${primary}`); i += 1) await sleep(20);
    expect(existsSync(`/proc/${primary}/fd/0`)).toBe(false);
    expect(await health(running.port)).toBe(0);
  });
});
