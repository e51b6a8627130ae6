import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { send } from '../support/client.ts';
import { makeFolder, removeFolder, type Stack, startStack, until } from '../support/stack.ts';

jest.setTimeout(120_000);

const photo = readFileSync('tests/images/test_image_1.jpg');

/** Ten requests a second, whether or not earlier ones are answered: a client that waits would hide an outage. */
const intervalMs = 100;

/** The result of one request; `tier` and `model` are empty without a classification. */
interface Outcome {
  readonly status: number | string;
  readonly tier: string;
  readonly model: string;
  readonly ms: number;
}

let folder: string;
let stack: Stack;

beforeAll(async () => {
  folder = makeFolder();
  stack = await startStack(folder, { env: { WORKERS: undefined } });
  await stack.says(/ready, ends with Ctrl-C/);
});

afterAll(async () => {
  await stack.end();
  removeFolder(folder);
});

/** Signals a program of the stack; its process id. */
function signal(part: string, name: NodeJS.Signals): number {
  const [pid] = stack.programs(part);
  if (pid === undefined) throw new Error(`Expected a process with ${part} but received none`);
  process.kill(pid, name);
  return pid;
}
const primary = 'FUNCTION_TARGET=primary';

async function post(headers: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const startedMs = performance.now();
  const sent = send(`http://127.0.0.1:${stack.port}`, {
    headers: { 'content-type': 'image/jpeg', ...headers },
    body: photo,
  });
  const lost = sleep(45_000, undefined, { ref: false }).then(() => Promise.reject(new Error('no answer'))); // nginx grants 39 s
  const outcome = await Promise.race([sent, lost]).then(
    ({ status, headers }) => ({
      status,
      tier: String(headers['x-tier'] ?? ''),
      model: String(headers['x-model'] ?? ''),
    }),
    (fault: Error) => ({ status: String(fault), tier: '', model: '' }),
  );
  return { ...outcome, ms: Math.round(performance.now() - startedMs) };
}

/** Posts ten times a second during `happening`; all outcomes. */
async function drive(
  happening: () => Promise<void>,
  headers: Readonly<Record<string, string>> = {},
): Promise<readonly Outcome[]> {
  const requests: Promise<Outcome>[] = [];
  const timer = setInterval(() => requests.push(post(headers)), intervalMs);
  try {
    await happening();
  } finally {
    clearInterval(timer);
  }
  return await Promise.all(requests);
}

const failures = (outcomes: readonly Outcome[]) => outcomes.filter(({ status }) => status !== 200);
const untilPrimaryAnswers = () =>
  until(
    async () => (await post()).model === 'wide-resnet',
    20_000,
    () => `Expected the primary:\n${stack.output()}`,
  );

/** All answered, by both tiers, and by the primary in the end. */
function expectFailover(outcomes: readonly Outcome[]): void {
  expect(failures(outcomes)).toEqual([]);
  expect(outcomes.map(({ tier }) => tier)).toEqual(expect.arrayContaining(['primary', 'fallback']));
  expect(outcomes.at(-1)?.model).toBe('wide-resnet');
}

describe('the stack under 10 requests a second', () => {
  it('answers only 200 when the primary is killed, and returns to it', async () => {
    const outcomes = await drive(async () => {
      await sleep(1000);
      signal(primary, 'SIGKILL');
      await sleep(500);
      await untilPrimaryAnswers();
      await sleep(1000);
    });

    expectFailover(outcomes);
  });

  it('answers only 200 when the primary hangs, late ones included, and returns to it', async () => {
    let pid = 0;

    const outcomes = await drive(async () => {
      await sleep(500);
      pid = signal(primary, 'SIGSTOP');
      await sleep(11_000); // 8 s until nginx leaves the first ones, 3 s with the breaker open
      process.kill(pid, 'SIGCONT');
      await untilPrimaryAnswers();
      await sleep(1000);
    });

    expectFailover(outcomes);
    expect(stack.programs(primary)).toEqual([pid]); // not restarted
  });

  it('answers clients with a deadline of 2 s in time when the primary hangs', async () => {
    const hang = async () => {
      await sleep(500);
      const pid = signal(primary, 'SIGSTOP');
      await sleep(3000).finally(() => process.kill(pid, 'SIGCONT'));
      await sleep(500);
    };

    const outcomes = await drive(hang, { 'x-deadline-ms': '2000' });

    expect(failures(outcomes)).toEqual([]);
    expect(outcomes.filter(({ ms }) => ms > 2000)).toEqual([]);
    expect(outcomes.filter(({ tier }) => tier === 'fallback').length).toBeGreaterThan(10);
  });

  it('answers only 200 when the fallback is killed', async () => {
    const outcomes = await drive(async () => {
      await sleep(300);
      signal('FUNCTION_TARGET=fallback', 'SIGKILL');
      await sleep(2000);
    });

    expect(failures(outcomes)).toEqual([]);
  });

  it('answers again within 5 s when nginx is killed', async () => {
    signal('nginx.conf', 'SIGKILL');

    await until(
      async () => (await post()).status === 200,
      5000,
      () => `Expected nginx:\n${stack.output()}`,
    );

    expect(failures(await drive(() => sleep(1000)))).toEqual([]);
  });
});
