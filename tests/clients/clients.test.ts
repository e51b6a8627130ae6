import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { makeFolder, removeFolder, type Stack, startStack, until } from '../support/stack.ts';

jest.setTimeout(120_000);

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'understudy/clients');
const photo = 'tests/images/test_image_1.jpg';
const text = 'tests/images/test_image_4.jpg'; // no picture, whatever its name says

const run = promisify(execFile);
const isInstalled = (name: string) => existsSync(join(cache, `${name}.list`));
const withPython = isInstalled('python') ? it : it.skip;
const withJavaScript = isInstalled('javascript') ? it : it.skip;

let folder: string;
let stack: Stack;
let origin: string;

async function json(command: string, ...args: string[]) {
  const { stdout } = await run(command, args);
  return JSON.parse(stdout);
}
const python = (client: string, file = photo) =>
  json(join(cache, 'python/bin/python'), 'tests/clients/ask.py', client, origin, file);
const javascript = (file: string) =>
  json(process.execPath, 'tests/clients/ask.mjs', join(cache, 'javascript'), origin, file);

interface Prediction {
  readonly index: number;
  readonly class: string;
  readonly label: string;
  readonly score: number;
}

/** What /classify says of the photo. */
async function classified() {
  const answer = await json('curl', '--silent', '--show-error', '-F', `image=@${photo}`, `${origin}/classify`);
  return answer as {
    readonly tier: string;
    readonly model: string;
    readonly degraded: boolean;
    readonly predictions: readonly Prediction[];
  };
}
const named = (predictions: readonly Prediction[]) => predictions.map(({ label, score }) => ({ label, score }));

beforeAll(async () => {
  folder = makeFolder();
  stack = await startStack(folder);
  await stack.says(/ready, ends with Ctrl-C/);
  origin = `http://127.0.0.1:${stack.port}`;
  // The first answers of a start may be the standby model's.
  await until(async () => !(await classified()).degraded, 30_000, 'Expected the lead model to answer');
});

afterAll(async () => {
  await stack.end();
  removeFolder(folder);
});

describe.each(['primary', 'fallback'])('answered by the %s', (tier) => {
  let predictions: readonly Prediction[];

  beforeAll(async () => {
    if (tier === 'fallback') for (const pid of stack.programs('FUNCTION_TARGET=primary')) process.kill(pid, 'SIGSTOP');
    const answer = await classified();
    expect(answer.tier).toBe(tier);
    ({ predictions } = answer);
  });

  afterAll(() => {
    for (const pid of stack.programs('FUNCTION_TARGET=primary')) process.kill(pid, 'SIGCONT');
  });

  it('curl -T uploads a file', async () => {
    const answer = await json('curl', '--silent', '--show-error', '-T', photo, `${origin}/classify`);

    expect(answer).toMatchObject({ tier, predictions });
  });

  withPython('huggingface_hub classifies a file, and with top_k', async () => {
    expect(await python('hub')).toEqual({ raw: named(predictions), three: named(predictions.slice(0, 3)) });
  });

  withJavaScript('@huggingface/inference classifies a Blob', async () => {
    expect(await javascript(photo)).toEqual(named(predictions));
  });

  withPython('tritonclient infers, and finds what it asks about the model', async () => {
    const told = await python('triton');

    expect(told).toMatchObject({
      live: true,
      ready: true,
      server: { name: `understudy-${tier}` },
      metadata: { name: 'classify', inputs: [{ name: 'image', datatype: 'BYTES', shape: [1] }] },
      response: { id: 'mine', parameters: { tier, degraded: tier === 'fallback' } },
      label: predictions.map(({ label }) => label),
      class: predictions.map((prediction) => prediction.class),
      classes: predictions.slice(0, 2).map(({ score, index, label }) => `${score}:${index}:${label}`),
      labels: predictions.slice(0, 2).map(({ label }) => label),
    });
    for (const [i, { score }] of predictions.entries()) expect(told.score[i]).toBeCloseTo(score, 6);
  });

  withPython('requests uploads to the path of TorchServe, as PUT and as a form', async () => {
    const pairs = Object.fromEntries(predictions.map(({ label, score }) => [label, score]));

    expect(await python('requests')).toEqual({
      put: pairs,
      form: pairs,
      degraded: tier === 'fallback' ? 'failover' : null,
    });
  });
});

describe('a problem', () => {
  const detail = expect.stringMatching(/^Expected a JPEG, PNG, WebP, GIF or AVIF image/);

  withPython('reaches the user of huggingface_hub', async () => {
    expect(await python('hub_fault', text)).toEqual({ status: 422, message: detail });
  });

  withJavaScript('reaches the user of @huggingface/inference', async () => {
    const message = expect.stringMatching(/Expected a JPEG, PNG, WebP, GIF or AVIF image/);

    expect(await javascript(text)).toEqual({ status: 422, message });
  });

  withPython('reaches the user of tritonclient', async () => {
    expect(await python('triton_fault', text)).toEqual({ status: '422', message: detail });
  });
});
