import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, expect } from '@jest/globals';
import sharp from 'sharp';
import { problems as common, problemType } from '../../functions/core/problem.ts';
import { imageProblems } from '../../functions/tasks/image/problems.ts';
import type { Answer } from './client.ts';
import { type RunningFunction, startFunction } from './function.ts';
import { makeModelsDir } from './models.ts';

/** What starts a function whose files have no permissions: root reads them all the same, unless it gives that privilege up. */
export const through = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : [];

export const problems = { ...common, ...imageProblems };

/** A PNG of one color. */
export function plain(color: string): Promise<Buffer> {
  return sharp({ create: { width: 8, height: 8, channels: 3, background: color } })
    .png()
    .toBuffer();
}

/** A PNG that the test model answers at once. */
const black = await plain('black');

/** The answer to a picture sent to /classify, or the problem. */
export async function ask({ url }: RunningFunction, picture: Buffer = black): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/octet-stream' };
  const response = await fetch(`${url}/classify`, { method: 'POST', headers, body: new Uint8Array(picture) });
  return (await response.json()) as Record<string, unknown>;
}

export function expectProblem(answer: Answer, code: keyof typeof problems): void {
  expect(JSON.parse(answer.text)).toEqual({
    type: problemType(code),
    title: problems[code].title,
    status: problems[code].status,
    detail: expect.any(String),
    instance: answer.headers['x-request-id'],
    code,
  });
  expect(answer.status).toBe(problems[code].status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  if ([429, 503].includes(answer.status)) expect(answer.headers['retry-after']).toMatch(/^\d+$/);
}

/** What every function answers a fault with. */
export async function expectFault(response: Response, code: string, status: number): Promise<void> {
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(await response.json()).toMatchObject({
    type: problemType(code),
    status,
    code,
    detail: expect.stringMatching(/^Expected .+ received/),
    instance: response.headers.get('x-request-id'),
  });
}

/** The lines with this message, probes' left out, as soon as there are as many. */
export async function linesOf({ lines }: RunningFunction, message: string, count: number) {
  const found = () => lines.filter((line) => line.message === message && line.severity !== 'debug');
  for (let i = 0; i < 1000 && found().length < count; i += 1) await sleep(10);
  return found();
}

/** Makes and starts things that are gone after each test; what came last goes first. For a test file's top level. */
export function cleanAfterEach() {
  return cleanAfter(afterEach);
}

/** The same for things that serve every test of a file. */
export function cleanAfterAll() {
  return cleanAfter(afterAll);
}

function cleanAfter(hook: typeof afterEach) {
  const cleanups: (() => unknown)[] = [];
  hook(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  const start = async (...args: Parameters<typeof startFunction>): Promise<RunningFunction> => {
    const fn = await startFunction(...args);
    cleanups.push(async () => {
      fn.process.kill('SIGKILL');
      await (fn.process.exitCode ?? fn.process.signalCode ?? once(fn.process, 'exit'));
    });
    return fn;
  };
  return {
    start,
    /** The same once it is ready. */
    async startReady(...args: Parameters<typeof startFunction>): Promise<RunningFunction> {
      const fn = await start(...args);
      await fn.ready();
      return fn;
    },
    /** A primary with one worker, whose files may lack permissions. */
    startPrimary: (dir: string) => start('primary', { MODELS_DIR: dir, WORKERS: '1' }, through),
    /** Whatever else there is to do in the end. */
    later(cleanup: () => unknown): void {
      cleanups.push(cleanup);
    },
    modelsDir(...folders: Parameters<typeof makeModelsDir>): string {
      const dir = makeModelsDir(...folders);
      cleanups.push(() => rmSync(dir, { recursive: true }));
      return dir;
    },
  };
}
