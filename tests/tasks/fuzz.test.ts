import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { problems as common, problemType } from '../../functions/core/problem.ts';
import { digitProblems } from '../../functions/tasks/digits/problems.ts';
import { imageProblems } from '../../functions/tasks/image/problems.ts';
import { residentMib } from '../../load/proc.ts';
import { createRandom } from '../../models/random.ts';
import { drawDigit } from '../support/drawn.ts';
import { encodeAll, makeSourceImages } from '../support/encoded.ts';
import type { RunningFunction } from '../support/function.ts';
import { type MutatedUpload, mutateUpload } from '../support/mutate.ts';
import { cleanAfterAll } from '../support/served.ts';

const { startReady } = cleanAfterAll();

const problems = { ...common, ...imageProblems, ...digitProblems };

/** FUZZ_SEED makes other uploads, FUZZ_FIRST and FUZZ_COUNT repeat some of them: a failure names its number. */
const seed = Number(process.env.FUZZ_SEED ?? 1);
const first = Number(process.env.FUZZ_FIRST ?? 0);

/** Enough to keep two cores busy, fewer than the 17 runs that a function with a single worker takes on. */
const concurrency = 16;

/**
 * What the process may grow by after the warm-up. Its size is not constant: V8 collects its heap when it likes, and
 * malloc keeps an arena a thread. In runs without a leak that came to 30 MiB; one that kept the pixels of every decoded
 * image, 120 kB on average, would come to over 100.
 */
const maxGrowthMiB = 64;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly requestId: string;
  readonly text: string;
}

async function send(fn: RunningFunction, agent: Agent, upload: MutatedUpload): Promise<Answer> {
  const length = upload.chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': upload.body.length };
  const sent = httpRequest(fn.url + upload.path, {
    agent,
    method: 'POST',
    headers: { ...upload.headers, ...length },
    timeout: 40_000, // above the longest deadline
  });
  sent.once('timeout', () => sent.destroy(new Error('no answer')));
  sent.end(upload.body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const text = (await response.setEncoding('utf8').toArray()).join('');
  const { 'content-type': type = '', 'x-request-id': requestId = '' } = response.headers;
  return { status: response.statusCode ?? 0, type, requestId: String(requestId), text };
}

/** Whether the answer of a 200 is whole, beside the fields that all have. */
type IsWhole = (body: Body) => boolean;

interface Body {
  readonly predictions: readonly { readonly score: number }[];
  readonly digit: number;
  readonly probabilities: readonly number[];
}

const hasPredictions: IsWhole = ({ predictions }) => {
  const scores = predictions.map(({ score }) => score);
  const isSorted = scores.every((score, i) => score >= (scores[i + 1] ?? 0) && score <= 1);
  return isSorted && scores.length >= 1 && scores.length <= 20;
};

const hasDigit: IsWhole = ({ digit, probabilities }) => {
  const sum = probabilities.reduce((total, share) => total + share, 0);
  return probabilities.length === 10 && Math.abs(sum - 1) < 1e-9 && probabilities[digit] === Math.max(...probabilities);
};

/** The code of a contract answer, `OK` for a 200. @throws Error saying what the contract does not allow */
function judge({ status, type, requestId, text }: Answer, isWhole: IsWhole): string {
  if (status >= 500) throw new Error(`${status} ${text}`);
  const body = JSON.parse(text);
  if (status === 200) {
    const isNamed = ['model', 'version', 'tier'].every((field) => typeof body[field] === 'string');
    if (type !== 'application/json' || !isNamed || !isWhole(body)) throw new Error(text);
    return 'OK';
  }
  const known = problems[body.code as keyof typeof problems];
  const isProblem =
    type === 'application/problem+json' &&
    known?.status === status &&
    body.status === status &&
    body.title === known.title &&
    body.type === problemType(String(body.code)) &&
    body.instance === requestId &&
    /^Expected .+ received/.test(body.detail) &&
    !/vips|sharp|busboy|onnx|node:|\.[jt]s\b/i.test(body.detail);
  if (!isProblem) throw new Error(`${status} ${type} ${text}`);
  return body.code;
}

const makeDigits = () => encodeAll([0, 4, 7].map((digit) => drawDigit(digit)));

describe.each([
  ['fallback', '/classify', 9000, 4000, makeSourceImages, hasPredictions], // by then the heap has the size it keeps, on Node 24 as on Node 20
  ['primary', '/classify', 1000, 0, makeSourceImages, hasPredictions], // strict requests, and both models on one tensor
  ['digits', '/predict', 3000, 1500, makeDigits, hasDigit],
] as const)('the %s function', (target, path, uploads, warmUp, makeImages, isWhole) => {
  const count = Number(process.env.FUZZ_COUNT ?? uploads);
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  let fn: RunningFunction;

  beforeAll(async () => {
    // The content is tried, not the speed: no deadline may pass and no queue be too long on a slow machine.
    fn = await startReady(target, { DEADLINE_MS: '30000', PRIMARY_BUDGET_MS: '29999', LOG_LEVEL: 'info' });
  }, 60_000);
  afterAll(() => agent.destroy());

  it(`answers ${count} mutated uploads as in the contract, never with 5xx (seed ${seed})`, async () => {
    const images = await makeImages();
    const faults: string[] = [];
    const codes: Record<string, number> = {};
    const sizesMiB: number[] = [];
    let turn = 0;

    async function work(): Promise<void> {
      while (turn < count) {
        const number = first + turn;
        turn += 1;
        const upload = mutateUpload(images, createRandom(seed, number), { path, allowsStrict: target === 'primary' });
        try {
          const code = judge(await send(fn, agent, upload), isWhole);
          codes[code] = (codes[code] ?? 0) + 1;
        } catch (fault) {
          faults.push(`FUZZ_SEED=${seed} FUZZ_FIRST=${number} FUZZ_COUNT=1: ${fault} after ${upload.steps.join('; ')}`);
        }
        if (number % 500 === 499) sizesMiB.push(residentMib(fn.process.pid as number));
      }
    }
    await Promise.all(Array.from({ length: concurrency }, work));

    if (process.env.FUZZ_REPORT) process.stderr.write(`${target} ${JSON.stringify({ codes, sizesMiB })}\n`);
    expect(faults).toEqual([]);
    expect(fn.process.exitCode ?? fn.process.signalCode).toBeNull();
    expect(fn.lines.filter(({ severity }) => severity === 'error')).toEqual([]);
    if (count < uploads) return;
    expect(Object.keys(codes).sort()).toEqual(expect.arrayContaining(['IMAGE_UNREADABLE', 'OK', 'UPLOAD_MALFORMED']));
    if (warmUp > 0) {
      const settled = Math.max(...sizesMiB.slice(0, warmUp / 500));
      expect(Math.min(...sizesMiB.slice(-4)) - settled).toBeLessThan(maxGrowthMiB);
    }
  }, 300_000);
});
