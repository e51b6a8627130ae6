import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { functionCommand } from '../../functions/launch.ts';
import { startFunction } from '../support/function.ts';
import { makeModelsDir } from '../support/models.ts';
import { post } from '../support/posted.ts';
import { cleanAfterAll, plain } from '../support/served.ts';

const { start, startReady } = cleanAfterAll();

describe('a primary function without models', () => {
  it('does not start, and names both', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'understudy-models-'));

    const started = startFunction('primary', { MODELS_DIR: empty });

    await expect(started).rejects.toThrow(/exit 1: .*wide-resnet.*\n.*mobilenet/);
    rmSync(empty, { recursive: true });
  });
});

describe('a function that runs', () => {
  it('leaves nothing in the temporary folder, such as usage data of its libraries', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-empty-'));
    const fn = await startReady('primary', { TMPDIR: folder });
    await post(fn.url);

    expect(readdirSync(folder)).toEqual([]);
    await fn.stop();
    rmSync(folder, { recursive: true });
  });
});

describe('the threads that decode', () => {
  /** How many threads a process has that is started as a function is and has read files. */
  function threadsOf(env: NodeJS.ProcessEnv): number {
    const [program, ...args] = functionCommand('fallback').slice(0, -1) as [string, ...string[]];
    const count = `import fs from 'node:fs';
      await fs.promises.stat('.');
      console.log(fs.readdirSync('/proc/self/task').length);`;
    const { stdout } = spawnSync(program, [...args, '--input-type=module', '-e', count], { env, encoding: 'utf8' });
    return Number(stdout);
  }

  it.each([
    ['below', '3', 4],
    ['at', '4', 4],
    ['above', '5', 5],
    ['unset beside', '', Math.max(4, Math.min(64, availableParallelism()))],
    ['beside four for a disk and', '3', 7, '/jobs'],
  ])('are as many as WORKERS, %s the four of libuv: %s, %d', (_where, WORKERS, threads, JOBS_STORE = '') => {
    const [usual, told] = [{}, { UV_THREADPOOL_SIZE: '1' }].map((size) => threadsOf({ WORKERS, JOBS_STORE, ...size }));

    expect(Number(usual) - Number(told)).toBe(threads - 1);
  });
});

describe('a function with a defect that nothing catches', () => {
  it('ends with a stack trace and lets its platform start another', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-defect-'));
    const hook = join(folder, 'defect.cjs');
    const defect = "setTimeout(() => { throw new Error('a defect'); }, 5)";
    writeFileSync(
      hook,
      `globalThis.AbortController = class extends AbortController { constructor() { super(); ${defect}; } };`,
    );
    const fn = await startReady('fallback', { NODE_OPTIONS: `--require ${hook}` });
    const ended = once(fn.process, 'exit');

    const answer = await post(fn.url).catch(() => undefined);

    const [code, signal] = await ended;
    expect(['1', 'SIGABRT']).toContain(String(code ?? signal)); // an exit amid a run of the model aborts
    expect(answer?.headers.get('content-type') ?? '').not.toContain('html');
    rmSync(folder, { recursive: true });
  });
});

describe('a client that leaves', () => {
  it('is logged as 499 with the stages that its request went through', async () => {
    const modelsDir = makeModelsDir({ mobilenet: 'moody' });
    const fn = await startReady('fallback', { MODELS_DIR: modelsDir });
    const slow = new Uint8Array(await plain('lime'));
    const leaving = new AbortController();
    setTimeout(() => leaving.abort(), 100); // the second 102 shows it, 500 ms later: before a run of 0.7 s ends

    await expect(fetch(`${fn.url}/classify`, { method: 'POST', body: slow, signal: leaving.signal })).rejects.toThrow();
    const left = () => fn.lines.find(({ status }) => status === 499);
    for (let i = 0; i < 100 && !left(); i += 1) await sleep(20); // a closed connection shows at the next 102

    expect(left()).toMatchObject({ width: 8, stages: { decodeMs: expect.any(Number) } });
    rmSync(modelsDir, { recursive: true });
  });
});

describe('the threads of a primary', () => {
  (existsSync('/proc/self/task') ? it : it.skip)(
    'give way to its event loop, standby models to decoders, and lead models to those',
    async () => {
      const fn = await startReady('primary', { WORKERS: '2' });
      await post(fn.url);
      const { pid } = fn.process;

      const threads = readdirSync(`/proc/${pid}/task`).map(Number);
      const niceness = (chosen: readonly number[]) => chosen.map((thread) => getPriority(thread));
      const others = niceness(threads.filter((thread) => thread !== pid));

      expect(niceness([Number(pid)])).toEqual([0]);
      expect([...new Set(others)].sort((a, b) => a - b)).toEqual([5, 10, 15]);
      expect([10, 15].map((value) => others.filter((one) => one === value).length)).toEqual([2, 2]);
    },
  );
});

describe('a primary that was started with a niceness above its own', () => {
  it('loads its lead model all the same, without the right to lower it', async () => {
    const through = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-sys_nice'] : [];
    const fn = await startReady('primary', {}, [...through, 'nice', '-n', '17']);

    expect((await (await post(fn.url)).json()).model).toBe('wide-resnet');
  });
});

describe('X-Revision', () => {
  const asked = (url: string) => [post(url), post(url, { query: '?top=0' }), fetch(`${url}/readyz`)];

  it.each<[string, NodeJS.ProcessEnv, string | null]>([
    ['names the revision that the platform made', { K_REVISION: 'classify-fallback-00012' }, 'classify-fallback-00012'],
    ['is absent where no platform made one', {}, null],
  ])('%s, in answers, problems and probes', async (_what, env, expected) => {
    const fn = await startReady('fallback', env);

    const responses = await Promise.all(asked(fn.url));

    expect(responses.map(({ status }) => status)).toEqual([200, 400, 200]);
    expect(responses.map(({ headers }) => headers.get('x-revision'))).toEqual(Array(3).fill(expected));
  });
});

describe('a function whose port is taken', () => {
  it('says so in one sentence and exits with 1', async () => {
    const fn = await start('fallback');

    const second = startFunction('fallback', { PORT: String(fn.port) });

    await expect(second).rejects.toThrow(
      `exit 1: Expected a free port for PORT but received ${fn.port}: another program listens there`,
    );
  });
});

describe('a function with a faulty environment', () => {
  it('reports all faults at once and exits with 1', async () => {
    const started = startFunction('primary', { WORKERS: 'many', LOG_LEVEL: 'loud' });

    await expect(started).rejects.toThrow(/exit 1: Expected .* WORKERS .*\nExpected .* LOG_LEVEL/);
  });
});
