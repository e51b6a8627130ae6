import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { functionCommand } from '../../functions/launch.ts';
import { startFunction } from '../support/function.ts';
import { changeCard, makeModelsDir } from '../support/models.ts';
import { post, raw } from '../support/posted.ts';
import { cleanAfterAll } from '../support/served.ts';

const { start } = cleanAfterAll();

describe('strict requests', () => {
  const headers = { prefer: 'handling=strict' };

  it('are answered by the primary model and say so', async () => {
    const fn = await start('primary');
    await fn.ready();

    const response = await post(fn.url, { headers });

    expect(response.headers.get('preference-applied')).toBe('handling=strict');
    expect((await response.json()).model).toBe('wide-resnet');
  });

  it('are refused by the fallback with PRIMARY_REQUIRED', async () => {
    const fn = await start('fallback');
    await fn.ready();

    const response = await post(fn.url, { headers });

    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toMatch(/^[123]$/);
    expect(response.headers.get('x-reason')).toBe('strict');
    expect((await response.json()).code).toBe('PRIMARY_REQUIRED');
  });
});

describe('a primary function whose Wide ResNet is broken', () => {
  const modelsDir = mkdtempSync(join(tmpdir(), 'understudy-models-'));
  cpSync('models/mobilenet', join(modelsDir, 'mobilenet'), { recursive: true });
  afterAll(() => rmSync(modelsDir, { recursive: true }));

  async function expectsUnderstudy(): Promise<void> {
    const fn = await start('primary', { MODELS_DIR: modelsDir });
    await fn.ready('degraded');

    const answer = await (await post(fn.url)).json();
    const ready = await fetch(`${fn.url}/readyz`);

    expect(answer).toMatchObject({ model: 'mobilenet', tier: 'primary', degraded: true, reason: 'error' });
    expect(ready.status).toBe(200);
    expect(await ready.json()).toEqual({ status: 'degraded', missing: ['wide-resnet'] });
  }

  it('answers with MobileNet when its folder is missing', async () => {
    await expectsUnderstudy();
  });

  it('answers with MobileNet when its weights are cut short', async () => {
    cpSync('models/wide-resnet', join(modelsDir, 'wide-resnet'), { recursive: true });
    changeCard(join(modelsDir, 'wide-resnet'), (card) => ({ ...card, variants: [] }));
    writeFileSync(
      join(modelsDir, 'wide-resnet', 'model.onnx'),
      readFileSync('models/wide-resnet/model.onnx').subarray(0, 9999),
    );

    await expectsUnderstudy();
  });

  it('answers with MobileNet when it fails its golden case', async () => {
    const card = JSON.parse(readFileSync('models/wide-resnet/model.json', 'utf8'));
    card.golden.logits[7] += 1;
    card.variants = [];
    cpSync('models/wide-resnet', join(modelsDir, 'wide-resnet'), { recursive: true });
    writeFileSync(join(modelsDir, 'wide-resnet', 'model.json'), JSON.stringify(card));
    const fn = await start('primary', { MODELS_DIR: modelsDir });
    await fn.ready('degraded');
    while (!fn.lines.some(({ message }) => message === 'worker lost')) await sleep(10);

    const answer = await (await post(fn.url)).json();

    expect(answer).toMatchObject({ model: 'mobilenet', degraded: true, reason: 'error' });
    expect(fn.lines.find(({ message }) => message === 'worker lost')?.cause).toMatch(/logit 7 of the golden case/);
  });

  it('does not start when no model is left', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'understudy-models-'));

    const started = startFunction('primary', { MODELS_DIR: empty });

    await expect(started).rejects.toThrow(/exit 1: .*wide-resnet.*\n.*mobilenet/);
    rmSync(empty, { recursive: true });
  });
});

describe('a function that runs', () => {
  it('leaves nothing in the temporary folder, such as usage data of its libraries', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-empty-'));
    const fn = await start('primary', { TMPDIR: folder });
    await fn.ready();
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
    const fn = await start('fallback', { NODE_OPTIONS: `--require ${hook}` });
    await fn.ready();
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
    const fn = await start('fallback', { MODELS_DIR: modelsDir });
    await fn.ready();
    const slow = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#00ff00' } })
      .png()
      .toBuffer();
    const leaving = new AbortController();
    setTimeout(() => leaving.abort(), 100); // the second 102 shows it, 500 ms later: before a run of 0.7 s ends

    await expect(fetch(`${fn.url}/classify`, { method: 'POST', body: slow, signal: leaving.signal })).rejects.toThrow();
    const left = () => fn.lines.find(({ status }) => status === 499);
    for (let i = 0; i < 100 && !left(); i += 1) await sleep(20); // a closed connection shows at the next 102

    expect(left()).toMatchObject({ width: 8, stages: { decodeMs: expect.any(Number) } });
    rmSync(modelsDir, { recursive: true });
  });
});

describe('a connection that speaks no HTTP', () => {
  it('is answered UPLOAD_MALFORMED and closed', async () => {
    const fn = await start('fallback');

    const answer = await raw(fn.port, 'photo please\r\n\r\n');

    expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/);
    expect(answer).toContain('"code":"UPLOAD_MALFORMED"');
  });
});

describe('a primary that was started with a niceness above its own', () => {
  it('loads its lead model all the same, without the right to lower it', async () => {
    const through = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-sys_nice'] : [];
    const fn = await start('primary', {}, [...through, 'nice', '-n', '15']);
    await fn.ready();

    expect((await (await post(fn.url)).json()).model).toBe('wide-resnet');
  });
});

describe('X-Revision', () => {
  const asked = (url: string) => [post(url), post(url, { query: '?top=0' }), fetch(`${url}/readyz`)];

  it.each<[string, NodeJS.ProcessEnv, string | null]>([
    ['names the revision that the platform made', { K_REVISION: 'classify-fallback-00012' }, 'classify-fallback-00012'],
    ['is absent where no platform made one', {}, null],
  ])('%s, in answers, problems and probes', async (_what, env, expected) => {
    const fn = await start('fallback', env);
    await fn.ready();

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

describe('a function whose only model fails its golden case', () => {
  it('says so and exits with 1', async () => {
    const dir = makeModelsDir({ mobilenet: 'moody' });
    changeCard(join(dir, 'mobilenet'), (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } }));
    const fn = await start('fallback', { MODELS_DIR: dir });

    const [code] = fn.process.exitCode === null ? await once(fn.process, 'exit') : [fn.process.exitCode];

    expect(code).toBe(1);
    rmSync(dir, { recursive: true });
  });
});

describe('a function with a faulty environment', () => {
  it('reports all faults at once and exits with 1', async () => {
    const started = startFunction('primary', { WORKERS: 'many', LOG_LEVEL: 'loud' });

    await expect(started).rejects.toThrow(/exit 1: Expected .* WORKERS .*\nExpected .* LOG_LEVEL/);
  });
});
