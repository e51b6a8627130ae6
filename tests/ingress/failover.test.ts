import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { freePort } from '../../ingress/port.ts';
import { send } from '../support/client.ts';

jest.setTimeout(120_000);

const script = fileURLToPath(new URL('../../ingress/start.js', import.meta.url));
const photo = readFileSync('tests/images/test_image_1.jpg');

/** Ten requests a second, whatever becomes of those before: a client that waits for answers would hide an outage. */
const intervalMs = 100;

/** What one request of the driver met; `tier` and `model` are empty where nothing classified. */
interface Outcome {
  readonly atMs: number;
  readonly status: number | string;
  readonly tier: string;
  readonly model: string;
  readonly ms: number;
}

let folder: string;
let stack: ChildProcess;
let output = '';
let port: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'failover-test-'));
  chmodSync(folder, 0o711); // started by root, nginx' workers are someone else
  port = await freePort();
  stack = spawn(process.execPath, [script], {
    env: { ...process.env, TMPDIR: folder, PORT: String(port), DRAIN_MS: '5000' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [stack.stdout, stack.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  }
  await until(() => output.includes('ready, ends with Ctrl-C'), 30_000);
});

afterAll(async () => {
  if (stack.exitCode === null) {
    const ended = once(stack, 'exit');
    stack.kill('SIGINT');
    await ended;
  }
  rmSync(folder, { recursive: true });
});

async function until(isTrue: () => boolean | Promise<boolean>, withinMs: number): Promise<void> {
  for (const end = Date.now() + withinMs; !(await isTrue()); await sleep(20)) {
    if (Date.now() > end || stack.exitCode !== null)
      throw new Error(`Expected more of the stack but received:\n${output}`);
  }
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it ended meanwhile
  }
}

/** Process id of the stack's program whose command line or environment holds `part`. */
function pidOf(part: string): number {
  const pid = readdirSync('/proc').find((name) => {
    const parent = readProc(name, 'stat')
      .replace(/^.*\) /s, '')
      .split(' ')[1];
    return parent === String(stack.pid) && (readProc(name, 'cmdline') + readProc(name, 'environ')).includes(part);
  });
  if (pid === undefined) throw new Error(`Expected a process with ${part} but received none`);
  return Number(pid);
}

function post(headers: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const startedMs = performance.now();
  const patience = AbortSignal.timeout(45_000); // above all that nginx grants both tiers, 39 s
  const lost = new Promise<never>((_, reject) => {
    patience.addEventListener('abort', () => reject(new Error('no answer')));
  });
  return Promise.race([
    send(`http://127.0.0.1:${port}`, { headers: { 'content-type': 'image/jpeg', ...headers }, body: photo }),
    lost,
  ])
    .then(({ status, headers }) => ({
      status,
      tier: String(headers['x-tier'] ?? ''),
      model: String(headers['x-model'] ?? ''),
    }))
    .catch((fault: Error) => ({ status: String(fault), tier: '', model: '' }))
    .then((outcome) => ({ ...outcome, atMs: Math.round(startedMs), ms: Math.round(performance.now() - startedMs) }));
}

/** Posts ten times a second while `happening` takes its course; every outcome, once all are known. */
async function drive(
  happening: () => Promise<void>,
  headers: Readonly<Record<string, string>> = {},
): Promise<readonly Outcome[]> {
  const outcomes: Promise<Outcome>[] = [];
  const timer = setInterval(() => outcomes.push(post(headers)), intervalMs);
  try {
    await happening();
  } finally {
    clearInterval(timer);
  }
  return Promise.all(outcomes);
}

function report(what: string, outcomes: readonly Outcome[]): void {
  if (!process.env.FAILOVER_REPORT) return;
  const count = (tier: string) => outcomes.filter((outcome) => outcome.tier === tier).length;
  const times = outcomes.map(({ ms }) => ms).sort((one, other) => one - other);
  const figures = { requests: times.length, primary: count('primary'), fallback: count('fallback') };
  const [median, worst] = [times[times.length >> 1], times.at(-1)];
  process.stderr.write(`${what}: ${JSON.stringify({ ...figures, medianMs: median, worstMs: worst })}\n`);
}

const failures = (outcomes: readonly Outcome[]) => outcomes.filter(({ status }) => status !== 200);
const primaryAnswers = async () => (await post()).model === 'wide-resnet';

describe('the stack under 10 requests a second', () => {
  it('answers nothing but 200 when the primary is killed, and moves back to it', async () => {
    const outcomes = await drive(async () => {
      await sleep(1000);
      process.kill(pidOf('FUNCTION_TARGET=primary'), 'SIGKILL');
      await sleep(500);
      await until(primaryAnswers, 20_000);
      await sleep(1000);
    });

    report('kill -9 of the primary', outcomes);
    expect(failures(outcomes)).toEqual([]);
    expect(outcomes.map(({ tier }) => tier)).toEqual(expect.arrayContaining(['primary', 'fallback']));
    expect(outcomes.at(-1)?.model).toBe('wide-resnet');
  });

  it('answers nothing but 200 when the primary hangs, late ones included, and moves back to it', async () => {
    const primary = pidOf('FUNCTION_TARGET=primary');

    const outcomes = await drive(async () => {
      await sleep(500);
      process.kill(primary, 'SIGSTOP');
      await sleep(11_000); // 8 s until nginx gives the first ones up, 3 s with the breaker open
      process.kill(primary, 'SIGCONT');
      await until(primaryAnswers, 20_000);
      await sleep(1000);
    });

    report('SIGSTOP of the primary for 11 s', outcomes);
    expect(failures(outcomes)).toEqual([]);
    expect(outcomes.map(({ tier }) => tier)).toEqual(expect.arrayContaining(['primary', 'fallback']));
    expect(outcomes.at(-1)?.model).toBe('wide-resnet');
    expect(pidOf('FUNCTION_TARGET=primary')).toBe(primary);
  });

  it('answers clients that wait 2 s within these when the primary hangs', async () => {
    const primary = pidOf('FUNCTION_TARGET=primary');

    const outcomes = await drive(
      async () => {
        await sleep(500);
        process.kill(primary, 'SIGSTOP');
        await sleep(3000).finally(() => process.kill(primary, 'SIGCONT'));
        await sleep(500);
      },
      { 'x-deadline-ms': '2000' },
    );

    report('SIGSTOP of the primary for 3 s, clients that wait 2 s', outcomes);
    expect(failures(outcomes)).toEqual([]);
    expect(outcomes.filter(({ ms }) => ms > 2000)).toEqual([]);
    expect(outcomes.filter(({ tier }) => tier === 'fallback').length).toBeGreaterThan(10);
  });

  it('answers nothing but 200 when the fallback is killed', async () => {
    const outcomes = await drive(async () => {
      await sleep(300);
      process.kill(pidOf('FUNCTION_TARGET=fallback'), 'SIGKILL');
      await sleep(2000);
    });

    report('kill -9 of the fallback', outcomes);
    expect(failures(outcomes)).toEqual([]);
  });

  it('answers again within 5 s when nginx is killed', async () => {
    process.kill(pidOf('nginx.conf'), 'SIGKILL');

    await until(async () => (await post()).status === 200, 5000);
    const outcomes = await drive(() => sleep(1000));

    expect(failures(outcomes)).toEqual([]);
  });
});
