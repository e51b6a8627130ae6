import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { problems as common } from '../../functions/core/problem.ts';
import { imageProblems } from '../../functions/tasks/image/problems.ts';
import { type RunningFunction, startFunction } from '../support/function.ts';
import { createRandom, type MutatedUpload, makeSourceImages, mutateUpload } from '../support/mutate.ts';

const problems = { ...common, ...imageProblems };

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

/** The code of a contract answer, `OK` for a 200. @throws Error saying what the contract does not allow */
function judge({ status, type, requestId, text }: Answer): string {
  if (status >= 500) throw new Error(`${status} ${text}`);
  const body = JSON.parse(text);
  if (status === 200) {
    const scores = body.predictions.map(({ score }: { score: number }) => score);
    const isSorted = scores.every((score: number, i: number) => score >= (scores[i + 1] ?? 0) && score <= 1);
    const isWhole = ['model', 'version', 'tier'].every((field) => typeof body[field] === 'string');
    if (type !== 'application/json' || !isSorted || !isWhole || scores.length < 1 || scores.length > 20)
      throw new Error(text);
    return 'OK';
  }
  const known = problems[body.code as keyof typeof problems];
  const isProblem =
    type === 'application/problem+json' &&
    known?.status === status &&
    body.status === status &&
    body.title === known.title &&
    body.type === `urn:understudy:problem:${body.code}` &&
    body.instance === requestId &&
    /^Expected .+ received/.test(body.detail) &&
    !/vips|sharp|busboy|onnx|node:|\.[jt]s\b/i.test(body.detail);
  if (!isProblem) throw new Error(`${status} ${type} ${text}`);
  return body.code;
}

function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

describe.each([
  ['fallback', 9000, 4000], // by then the heap has the size it keeps, on Node 24 as on Node 20
  ['primary', 1000, 0], // strict requests, and both models on one tensor
] as const)('the %s function', (tier, uploads, warmUp) => {
  const count = Number(process.env.FUZZ_COUNT ?? uploads);
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  let fn: RunningFunction;

  beforeAll(async () => {
    // The content is tried, not the speed: no deadline may pass and no queue be too long on a slow machine.
    fn = await startFunction(tier, { DEADLINE_MS: '30000', PRIMARY_BUDGET_MS: '29999', LOG_LEVEL: 'info' });
    await fn.ready();
  }, 60_000);
  afterAll(async () => {
    agent.destroy();
    if (fn.process.exitCode !== null || fn.process.signalCode !== null) return;
    fn.process.kill('SIGKILL');
    await once(fn.process, 'exit');
  });

  it(`answers ${count} mutated uploads as in the contract, never with 5xx (seed ${seed})`, async () => {
    const images = await makeSourceImages();
    const faults: string[] = [];
    const codes: Record<string, number> = {};
    const sizesMiB: number[] = [];
    let turn = 0;

    async function work(): Promise<void> {
      while (turn < count) {
        const number = first + turn;
        turn += 1;
        const upload = mutateUpload(images, createRandom(seed, number), { allowsStrict: tier === 'primary' });
        try {
          const code = judge(await send(fn, agent, upload));
          codes[code] = (codes[code] ?? 0) + 1;
        } catch (fault) {
          faults.push(`FUZZ_SEED=${seed} FUZZ_FIRST=${number} FUZZ_COUNT=1: ${fault} after ${upload.steps.join('; ')}`);
        }
        if (number % 500 === 499) sizesMiB.push(residentMiB(fn.process.pid as number));
      }
    }
    await Promise.all(Array.from({ length: concurrency }, work));

    if (process.env.FUZZ_REPORT) process.stderr.write(`${tier} ${JSON.stringify({ codes, sizesMiB })}\n`);
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
