import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import { functionCommand, memoryVariables } from '../../functions/launch.ts';
import { isRunning, readProc, type Stack, until, useStack } from '../support/stack.ts';

jest.setTimeout(60_000);

const ready = /ready, ends with Ctrl-C/;

const { folder, stack, start } = useStack();

const runDirs = () => readdirSync(folder()).filter((name) => name.startsWith('understudy-'));

/** Stops the primary before it can answer; its process id, once the fallback has begun. */
async function stopPrimary({ output, says }: Stack): Promise<number> {
  await says(/primary is process \d+/);
  const pid = Number(/primary is process (\d+)/.exec(output())?.[1]);
  process.kill(pid, 'SIGSTOP');
  await says(/fallback is process \d+/);
  return pid;
}

/** Tier of the answer to an image of one pixel. */
async function classify({ port }: Stack): Promise<string | null> {
  const pixel = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64'); // GIF
  const headers = { 'content-type': 'image/gif' };
  const response = await fetch(`http://127.0.0.1:${port}/classify`, { method: 'POST', headers, body: pixel });
  if (!response.ok) throw new Error(await response.text());
  return response.headers.get('x-tier');
}

describe('npm start refuses with one sentence', () => {
  const refused = async (env: Record<string, string>) => {
    const { exited, output } = await start(env);
    const [code] = await exited;
    return { code, text: output(), left: runDirs() };
  };
  const sentence = (text: string) => ({ code: 1, text: `understudy: Expected ${text}\n`, left: [] });

  it.each(['0', '-1', '65536', '80a', ' '])('PORT=%j', async (value) => {
    const fault = `a whole number from 1 to 65535 for PORT but received ${JSON.stringify(value)}`;

    expect(await refused({ PORT: value })).toEqual(sentence(fault));
  });

  it.each(['primary', 'classify,,clouds', 'digits;clouds', ','])('FUNCTIONS=%j', async (value) => {
    const fault = `classify, digits or clouds, or some with commas, for FUNCTIONS but received ${JSON.stringify(value)}`;

    expect(await refused({ FUNCTIONS: value })).toEqual(sentence(fault));
  });

  it('a port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };

    const fault = `a free port for PORT but received ${port}: another program listens there`;
    expect(await refused({ PORT: String(port) })).toEqual(sentence(fault));
    other.close();
  });

  it('a TMPDIR that is closed to others, as root, and works there otherwise', async () => {
    chmodSync(folder(), 0o700);
    if (process.getuid?.() !== 0) return (await start()).says(ready);

    const fault = `a TMPDIR that every user may pass through but received ${folder()}, closed at ${folder()}`;
    expect(await refused({})).toEqual(sentence(fault));
  });

  it.each([
    ['that is missing', () => join(folder(), 'missing'), /ENOENT/],
    ['that is a file', () => join(folder(), 'file'), /ENOTDIR/],
    ['of a kind without files', () => '/proc', /ENOENT/],
  ])('a TMPDIR %s', async (_circumstance, path, why) => {
    writeFileSync(join(folder(), 'file'), '');

    const { code, text } = await refused({ TMPDIR: path() });

    expect(code).toBe(1);
    const start = `understudy: Expected a folder to write to for TMPDIR but received ${JSON.stringify(path())}: `;
    expect(text.slice(0, start.length)).toBe(start);
    expect(text.split('\n')).toEqual([expect.stringMatching(why), '']);
  });

  it('a function that cannot start, after its own complaint', async () => {
    const { code, text, left } = await refused({ MAX_PIXELS: 'many' });

    expect([code, left]).toEqual([1, []]);
    expect(text).toMatch(/for MAX_PIXELS but received/);
    expect(text).toMatch(/understudy: (primary|fallback) could not start \(exit code 1\); it says why above/);
    expect(await stack()?.health()).toBe(0);
  });
});

describe('npm start', () => {
  it.each([
    ['characters that nginx would interpret', ` a b\tü;$x{y}'q"#\\z`],
    ['more of them than the path of a socket may have', 'long'.repeat(40)],
  ])('works in a TMPDIR with %s', async (_circumstance, name) => {
    mkdirSync(join(folder(), name));
    chmodSync(join(folder(), name), 0o711);

    const running = await start({ TMPDIR: join(folder(), name) });
    await running.says(ready);
    await classify(running);

    running.child.kill('SIGTERM');
    expect(await running.exited).toEqual([0, null]);
    expect(readdirSync(join(folder(), name))).toEqual([]);
  });

  (existsSync('/proc/self/autogroup') ? it : it.skip)(
    'has nginx come first where it may, after a restart, too',
    async () => {
      const running = await start();
      await running.says(ready);
      const pids = (name: string) =>
        [...running.output().matchAll(new RegExp(`${name} is process (\\d+)`, 'g'))].map(([, pid]) => pid);
      const niceness = (name: string) => / nice (.*)/.exec(readProc(pids(name).at(-1), 'autogroup'))?.[1];
      const expected = [process.getuid?.() === 0 ? '-12' : '0', '0', '0'].join();
      const all = () => ['nginx', 'primary', 'fallback'].map(niceness).join();
      const untilSet = () =>
        until(
          () => all() === expected,
          5000,
          () => `Expected ${expected} but received ${all()}`,
        );

      await untilSet();
      process.kill(Number(pids('nginx')[0]), 'SIGKILL');
      await until(() => pids('nginx').length === 2, 5000, 'Expected nginx to start again');
      await untilSet();
    },
  );

  it('opens nginx once the primary can answer, so that its breaker does not skip it at first', async () => {
    const running = await start();

    await running.healthy();
    await classify(running);

    await running.says(/"answers":"200","times":"[^"]*","model":"[^"]*","tier":"primary"/);
  });

  it('lets the fallback answer when the primary takes longer', async () => {
    const running = await start();
    const primary = await stopPrimary(running);

    await running.healthy();

    expect(await classify(running)).toBe('fallback');
    expect(running.output()).not.toMatch(ready);
    process.kill(primary, 'SIGCONT');
    await running.says(ready);
  });

  it('stops before it is ready, and reserves its port until then', async () => {
    const running = await start({ DRAIN_MS: '1000' });
    const primary = await stopPrimary(running);
    const other = createServer().listen(running.port, '127.0.0.1');
    expect((await once(other, 'error'))[0]).toMatchObject({ code: 'EADDRINUSE' });

    running.child.kill('SIGTERM');
    await running.says(/stops; once more/);
    await sleep(1500); // longer than the drain
    process.kill(primary, 'SIGCONT');

    expect(await running.exited).toEqual([0, null]);
    expect(running.output()).not.toMatch(/nginx is process/);
    expect(runDirs()).toEqual([]);
  });

  it('answers, restarts what dies, and stops without a trace', async () => {
    const running = await start();
    const { port, says, programs } = running;

    await says(new RegExp(`curl -F image=@tests/images/test_image_1\\.jpg http://localhost:${port}/classify`));
    expect(await classify(running)).toBe('primary');
    await says(/"answers":"200"/);

    for (const target of ['primary', 'fallback'] as const) {
      const [pid] = programs(`FUNCTION_TARGET=${target}`);
      expect(readProc(pid, 'cmdline').split('\0')).toEqual([...functionCommand(target), '']);
      const variables = Object.entries(memoryVariables(target)).map(([name, value]) => `${name}=${value}`);
      expect(readProc(pid, 'environ').split('\0')).toEqual(expect.arrayContaining(variables));
    }

    process.kill(programs('FUNCTION_TARGET=primary')[0] as number, 'SIGKILL');
    expect(await classify(running)).toMatch(/primary|fallback/);
    await says(/primary ended \(SIGKILL\), starts again in 250 ms/);
    await says(/starts again[\s\S]*"message":"worker ready"/);
    expect(programs('serve.js')).toHaveLength(2);

    process.kill(programs('nginx.conf')[0] as number, 'SIGKILL');
    await says(/nginx ended \(SIGKILL\), starts again in 250 ms/);
    await running.healthy();
    expect(await classify(running)).toMatch(/primary|fallback/);

    const pids = running.pids();
    running.child.kill('SIGINT');
    running.child.kill('SIGINT'); // as npm does: the same Ctrl-C
    expect(await running.exited).toEqual([0, null]);
    expect([runDirs(), pids.filter(isRunning), await running.health()]).toEqual([[], [], 0]);
    expect(running.output()).toMatch(/drain ends/);
  });

  it('stops at once on the second Ctrl-C', async () => {
    const running = await start();
    await running.says(ready);
    const [primary] = running.programs('FUNCTION_TARGET=primary') as [number];
    process.kill(primary, 'SIGSTOP'); // will not drain

    running.child.kill('SIGINT');
    await sleep(700); // within 500 ms it would be the same Ctrl-C
    running.child.kill('SIGINT');

    expect(await running.exited).toEqual([130, null]);
    expect(runDirs()).toEqual([]);
    await until(() => !isRunning(primary), 2000, 'Expected the end of the primary but received none');
    expect(await running.health()).toBe(0);
  });
});
