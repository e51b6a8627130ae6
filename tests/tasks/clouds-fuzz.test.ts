import { rmSync } from 'node:fs';
import { beforeAll, expect, it } from '@jest/globals';
import { problems as common, problemType } from '../../functions/core/problem.ts';
import { imageProblems } from '../../functions/tasks/image/problems.ts';
import { residentMib } from '../../load/proc.ts';
import { createRandom } from '../../models/random.ts';
import { infer, makeCloudsModels } from '../support/clouds.ts';
import type { RunningFunction } from '../support/function.ts';
import { type MutatedPatch, makeSourceFiles, mutatePatch } from '../support/mutate-geotiff.ts';
import { cleanAfterAll } from '../support/served.ts';

const problems = { ...common, ...imageProblems };

/** FUZZ_SEED makes other uploads, FUZZ_FIRST and FUZZ_COUNT repeat some of them: a failure names its number. */
const seed = Number(process.env.FUZZ_SEED ?? 1);
const first = Number(process.env.FUZZ_FIRST ?? 0);
const count = Number(process.env.FUZZ_COUNT ?? 3000);
const concurrency = 8;
const warmUp = 1000;

/**
 * What the process may grow by after the warm-up. In six runs without a leak that came to -10 to 24 MiB, and to no more in 25,000 uploads; one that
 * kept each upload and the planes of the sound ones would come to over 50.
 */
const maxGrowthMiB = 40;

const modelsDir = makeCloudsModels({ clouds: 'weather', 'clouds-index': 'index' });
const { later, startReady } = cleanAfterAll();
later(() => rmSync(modelsDir, { recursive: true }));
let fn: RunningFunction;
beforeAll(async () => {
  // The content is tried, not the speed: no deadline may pass on a slow machine.
  const env = { DEADLINE_MS: '30000', PRIMARY_BUDGET_MS: '29999', LOG_LEVEL: 'info', MALLOC_ARENA_MAX: '2' };
  fn = await startReady('clouds', { MODELS_DIR: modelsDir, WORKERS: '1', ...env });
}, 60_000);

/** The code of a contract answer, `OK` for a 200. @throws Error saying what the contract does not allow */
async function judge(response: Response): Promise<string> {
  const { status, headers } = response;
  const type = headers.get('content-type');
  if (status === 200 && type !== 'application/json') {
    const bytes = new Uint8Array(await response.arrayBuffer());
    const [start, end] = type === 'image/png' ? [0x89, 0x82] : [0x49, undefined];
    const isWhole =
      bytes[0] === start && (end === undefined || bytes.at(-1) === end) && headers.has('x-cloud-fraction');
    if (!isWhole) throw new Error(`${type} of ${bytes.length} bytes`);
    return 'OK';
  }
  const text = await response.text();
  if (status >= 500) throw new Error(`${status} ${text}`);
  const body = JSON.parse(text);
  if (status === 200) {
    const { mask, width, height, cloudFraction } = body;
    const counts: number[] = mask.counts ?? mask.map(({ length }: number[]) => length);
    const isWhole = counts.reduce((sum, count) => sum + count, 0) === width * height;
    if (!isWhole || !(cloudFraction >= 0 && cloudFraction <= 1)) throw new Error(text.slice(0, 300));
    return 'OK';
  }
  const known = problems[body.code as keyof typeof problems];
  const isProblem =
    type === 'application/problem+json' &&
    known?.status === status &&
    body.status === status &&
    body.type === problemType(String(body.code)) &&
    body.instance === headers.get('x-request-id') &&
    /^Expected .+ received/s.test(body.detail) &&
    !/geotiff@|zlib|zstddec|node:|\.[jt]s\b| {4}at /i.test(body.detail);
  if (!isProblem) throw new Error(`${status} ${type} ${text}`);
  return body.code;
}

it(`answers ${count} mutated GeoTIFFs as in the contract, never with 5xx (seed ${seed})`, async () => {
  const files = makeSourceFiles();
  const faults: string[] = [];
  const codes: Record<string, number> = {};
  const sizesMiB: number[] = [];
  let turn = 0;

  async function send(number: number, { query, accept, body, steps }: MutatedPatch): Promise<void> {
    try {
      const code = await judge(await infer(fn, body, { query, headers: { accept } }));
      codes[code] = (codes[code] ?? 0) + 1;
    } catch (fault) {
      faults.push(`FUZZ_SEED=${seed} FUZZ_FIRST=${number} FUZZ_COUNT=1: ${fault} after ${steps.join('; ')}`);
    }
  }
  async function work(): Promise<void> {
    while (turn < count) {
      const number = first + turn;
      turn += 1;
      await send(number, mutatePatch(files, createRandom(seed, number)));
      if (number % 250 === 249) sizesMiB.push(residentMib(Number(fn.process.pid)));
    }
  }
  await Promise.all(Array.from({ length: concurrency }, work));

  if (process.env.FUZZ_REPORT) process.stderr.write(`${JSON.stringify({ codes, sizesMiB })}\n`);
  expect(faults).toEqual([]);
  expect(fn.process.exitCode ?? fn.process.signalCode).toBeNull();
  expect(fn.lines.filter(({ severity }) => severity === 'error')).toEqual([]);
  if (count < 3000) return;
  const expected = ['IMAGE_TOO_MANY_PIXELS', 'IMAGE_UNREADABLE', 'IMAGE_UNSUPPORTED', 'OK', 'PARAMETER_INVALID'];
  expect(Object.keys(codes).sort()).toEqual(expect.arrayContaining(expected));
  const settled = Math.max(...sizesMiB.slice(0, warmUp / 250));
  expect(Math.min(...sizesMiB.slice(-4)) - settled).toBeLessThan(maxGrowthMiB);
}, 300_000);
