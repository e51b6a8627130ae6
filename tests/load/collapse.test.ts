import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { Outcome } from '../../load/collapse/connections.ts';
import type { Fired, Traffic } from '../../load/collapse/generator.ts';
import { failures, ratioFailures, type Sweep } from '../../load/collapse/judge.ts';
import { drawSweeps } from '../../load/collapse/picture.ts';
import { judgeResponse, readResponse } from '../../load/collapse/response.ts';
import { type Step, summarize } from '../../load/collapse/step.ts';
import { sweepTables } from '../../load/collapse/tables.ts';

jest.setTimeout(60_000);

const run = fileURLToPath(new URL('../../load/run.js', import.meta.url));
const generator = fileURLToPath(new URL('../../load/collapse/generator.js', import.meta.url));
const photo = fileURLToPath(new URL('../../../tests/images/test_image_1.jpg', import.meta.url));

const answer = { predictions: [{ class: 'n0' }], tier: 'primary', degraded: false };
const head = (fields: string) => `HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=x\r\n${fields}\r\n\r\n`;

describe('readResponse', () => {
  it('waits for the body that Content-Length announces', () => {
    expect(readResponse('HTTP/1.1 200 OK\r\nContent-Le')).toBeUndefined();
    expect(readResponse(`${head('content-length: 3')}ab`)).toBeUndefined();
    expect(readResponse(`${head('content-length: 3')}abc`)).toEqual({
      status: 200,
      type: 'text/plain',
      retryAfter: undefined,
      body: 'abc',
      closes: false,
    });
  });

  it('joins chunks, up to the last one', () => {
    const chunks = `${head('Transfer-Encoding: chunked\r\nRetry-After: 7')}3\r\nabc\r\n2\r\nde\r\n`;

    expect(readResponse(chunks)).toBeUndefined();
    expect(readResponse(`${chunks}0\r\n`)).toBeUndefined();
    expect(readResponse(`${chunks}0\r\n\r\n`)).toMatchObject({ body: 'abcde', retryAfter: '7' });
  });

  it('takes what came until the end where no length was named, but not a body that was cut short', () => {
    expect(readResponse(`${head('Connection: close')}abc`)).toBeUndefined();
    expect(readResponse(`${head('Connection: close')}abc`, true)).toMatchObject({ body: 'abc', closes: true });
    expect(readResponse(`${head('content-length: 3')}ab`, true)).toBeUndefined();
  });
});

describe('judgeResponse', () => {
  const judged = (status: number, type: string, body: unknown) =>
    judgeResponse({ status, type, retryAfter: undefined, body: JSON.stringify(body), closes: false });

  it('tells who answered', () => {
    expect(judged(200, 'application/json', answer)).toEqual({ kind: 'answer', by: 'lead' });
    expect(judged(200, 'application/json', { ...answer, degraded: true })).toMatchObject({ by: 'standby' });
    expect(judged(200, 'application/json', { ...answer, tier: 'fallback' })).toMatchObject({ by: 'fallback' });
  });

  it('takes nothing for a problem document but one with its type and a code', () => {
    expect(judged(503, 'application/problem+json', { code: 'BUSY' })).toMatchObject({ kind: 'problem', code: 'BUSY' });
    expect(judged(503, 'application/json', { code: 'BUSY' }).kind).toBe('broken');
    expect(judged(503, 'application/problem+json', {}).kind).toBe('broken');
    expect(judged(502, 'text/html', '')).toEqual({ kind: 'broken', fault: '502 text/html', status: 502 });
    expect(judged(200, 'application/json', { predictions: [] }).kind).toBe('broken');
  });
});

describe('summarize', () => {
  const outcome = (ms: number, verdict: Outcome['verdict'], lateMs: number | undefined = 0): Outcome => ({
    ms,
    lateMs,
    verdict,
  });
  const lead = { kind: 'answer', by: 'lead' } as const;
  const html = { kind: 'broken', fault: '503 text/html', status: 503 } as const;

  it('counts an answer as good up to a second, and what left late or never', () => {
    const counts = summarize(
      [outcome(1000, lead, 50), outcome(1001, lead, 51), { ms: 9, lateMs: undefined, verdict: html }],
      false,
    );

    expect(counts).toMatchObject({
      offered: 3,
      sent: 2,
      onTime: 1,
      good: 1,
      late: 1,
      busy: 0,
      broken: { '503 text/html': 1 },
    });
  });

  it('takes a foreign 503 for a refusal and another status for a problem, but not a reset', () => {
    const reset = { kind: 'broken', fault: 'ECONNRESET', status: 0 } as const;
    const counts = summarize(
      [html, { ...html, status: 500 }, reset].map((verdict) => outcome(5, verdict)),
      true,
    );

    expect(counts).toMatchObject({ busy: 1, problems: { 500: 1 }, broken: { ECONNRESET: 1 }, refusalMs: { p50: 5 } });
  });

  it('keeps what the refusals say of coming back', () => {
    const busy = (retryAfter: string | undefined) => outcome(5, { kind: 'problem', code: 'BUSY', retryAfter });

    expect(summarize([busy('2'), busy('1'), busy('2'), busy(undefined)], false).retryAfter).toEqual(['', '1', '2']);
  });
});

/** A step of 10 s on 2 cores at a capacity of 100 a second, all well. */
function step(factor: number, changes: Partial<Step> = {}): Step {
  const offered = factor * 1000;
  const good = Math.min(offered, 2000);
  return {
    ...{ factor, seconds: 10, offered, sent: offered, onTime: offered, good, late: 0, busy: offered - good },
    ...{ retryAfter: ['1', '2'], problems: {}, broken: {}, by: { lead: good / 2, standby: good / 2, fallback: 0 } },
    ...{ answerMs: { p50: 20, p99: 1000 }, refusalMs: { p50: 50, p99: 300 }, loadCpuSeconds: 2 },
    ...{ cpuSeconds: { primary: 15 }, mostMb: { primary: 200 }, probeMs: { '/readyz': 50 } },
    ...changes,
  };
}

function sweepOf(steps: readonly Step[], after?: Step): Sweep {
  const texts = { label: 'Understudy', measuredAt: '2026-01-01T00:00:00.000Z', machine: 'm', photos: 'three' };
  return { ...texts, cores: 2, capacity: 100, steps, ...(after && { after }) };
}

describe('failures', () => {
  it('are none at the limits', () => {
    const steps = [
      step(0.5),
      step(1.5, { good: 1498.5 }),
      step(3),
      step(5, { good: 1800, problems: { UNAVAILABLE: 5 }, onTime: 4950 }),
      step(10, { good: 1601, mostMb: { primary: 328 } }),
    ];

    expect(failures(sweepOf(steps, step(0.5, { answerMs: { p50: 30, p99: 2050 } })))).toEqual([]);
  });

  it.each<[string, Partial<Step>, number]>([
    ['99.9 % answered within 1 s for 1.5 x capacity but received 99.8 %', { good: 1497 }, 1.5],
    ['90.0 % of the best goodput for 5 x capacity but received 89.9 %', { good: 1798 }, 5],
    ['80.0 % of the best goodput for 7 x capacity but received 79.9 %', { good: 1598 }, 7],
    ['90.0 % of the best goodput for 1.8 x capacity but received 89.9 %', { good: 1619 }, 1.8],
    [
      '200 or a problem document as every answer for 5 x capacity but received 1 times ECONNRESET',
      { broken: { ECONNRESET: 1 } },
      5,
    ],
    ['99.0 % of the requests sent on time for 5 x capacity but received 99.0 %', { onTime: 4949 }, 5],
    ['answers within 1000 ms at p99 for 5 x capacity but received 1001 ms', { answerMs: { p50: 1, p99: 1001 } }, 5],
    ['BUSY as the only refusal for 5 x capacity but received 6 times UNAVAILABLE', { problems: { UNAVAILABLE: 6 } }, 5],
    ['Retry-After with every refusal for 5 x capacity but received some without', { retryAfter: ['', '1'] }, 5],
    ['refusals within 50 ms at the median for 5 x capacity but received 51 ms', { refusalMs: { p50: 51, p99: 51 } }, 5],
    ['refusals within 300 ms at p99 for 5 x capacity but received 301 ms', { refusalMs: { p50: 1, p99: 301 } }, 5],
    ['GET /readyz within 50 ms at p99 for 5 x capacity but received 51 ms', { probeMs: { '/readyz': 51 } }, 5],
    ['GET /readyz within 50 ms at p99 for 5 x capacity but received no answer', { probeMs: { '/readyz': null } }, 5],
    ['at most 128 MB more of primary for 5 x capacity but received 129 MB', { mostMb: { primary: 329 } }, 5],
  ])('say: Expected %s', (sentence, changes, factor) => {
    expect(failures(sweepOf([step(0.5), step(3), step(factor, changes)]))).toEqual([`Expected ${sentence}`]);
  });

  it.each<[string, Partial<Step>]>([
    [
      'answers within 30 ms at p50 for the load after the overload but received 31 ms',
      { answerMs: { p50: 31, p99: 40 } },
    ],
    [
      'answers within 2050 ms at p99 for the load after the overload but received 2051 ms',
      { answerMs: { p50: 20, p99: 2051 } },
    ],
    [
      '48.0 % by the lead model for the load after the overload but received 47.8 %',
      { by: { lead: 239, standby: 261, fallback: 0 } },
    ],
    [
      '200 or a problem document as every answer for the load after the overload but received 1 times time-out',
      { broken: { 'time-out': 1 } },
    ],
  ])('say of the recovery: Expected %s', (sentence, changes) => {
    expect(failures(sweepOf([step(0.5)], step(0.5, changes)))).toEqual([`Expected ${sentence}`]);
  });

  it('count each second of the processor that the load generator took', () => {
    // Half as many good ones in half of what was left: as good as before.
    const busyGenerator = step(4, { good: 1000, loadCpuSeconds: 11 });

    expect(failures(sweepOf([step(2), busyGenerator]))).toEqual([]);
  });

  it('as a ratio are only what was not answered and what is left of the best', () => {
    const slow = { answerMs: { p50: 9, p99: 3000 }, probeMs: {}, onTime: 1 };

    expect(
      ratioFailures(sweepOf([step(1, { ...slow, good: 900 }), step(3), step(4, { ...slow, good: 1601 })])),
    ).toEqual([]);
    expect(ratioFailures(sweepOf([step(3), step(4, { good: 1598, broken: { '502 text/html': 3 } })]))).toEqual([
      'Expected 200 or a problem document as every answer for 4 x capacity but received 3 times 502 text/html',
      'Expected 80.0 % of the best goodput for 4 x capacity but received 79.9 %',
    ]);
  });
});

describe('the tables and the picture', () => {
  const sweep = sweepOf([step(0.5), step(4, { broken: { '502 text/html': 3 } })], step(0.5));

  it('have a row for each step, one for the load after it, and a line for what went wrong', () => {
    const text = sweepTables(sweep);

    expect(text).toContain(
      '| 4 | 400 | 400 | 0.0 % | 200 | 50.0 % | 0 | 2000 | 50, 300 | 0 | 3 | 20, 1000 | 50.0 %, 50.0 %, 0.0 % |',
    );
    expect(text).toContain('| then 0.5 | 27.8 | 2.0 | 15.0 | 200 | 50 |');
    expect(text).toContain('4: 3 502 text/html; Retry-After 1, 2');
    expect(text).not.toContain('NaN');
  });

  it('names each system', async () => {
    const svg = await drawSweeps([sweep, { ...sweep, label: 'FastAPI, tuned' }]);

    expect(svg).toContain('>Understudy</text>');
    expect(svg).toContain('>FastAPI, tuned</text>');
    expect(svg).not.toContain('NaN');
  });
});

let server: Server | undefined;
let child: ChildProcess | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  if (child?.connected) child.disconnect();
  [server, child] = [undefined, undefined];
});

type Behavior = (turn: number, request: IncomingMessage, response: ServerResponse) => void;

/** A server whose behavior depends on how many requests came before; resolves to its address. */
async function serve(behave: Behavior): Promise<string> {
  let turn = 0;
  server = createServer((request, response) => {
    turn += 1;
    behave(turn - 1, request.resume(), response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function respond(response: ServerResponse, status: number, type: string, body: unknown): void {
  response.writeHead(status, { 'content-type': type, 'retry-after': '1' }).end(JSON.stringify(body));
}

const answers: Behavior = (_, request, response) =>
  void request.once('end', () => respond(response, 200, 'application/json', answer));

async function fire(traffic: Omit<Traffic, 'photos' | 'headers'>): Promise<Fired> {
  child ??= fork(generator, { serialization: 'advanced' });
  child.send({ photos: [photo], headers: {}, ...traffic });
  const [fired] = await once(child, 'message');
  return fired as Fired;
}

describe('the load generator', () => {
  it('sends at its rate, whatever comes back, and tells what came back', async () => {
    const html: Behavior = (_, __, response) =>
      void response.writeHead(502, { 'content-type': 'text/html' }).end('<p>');
    const busy: Behavior = (_, __, response) => respond(response, 503, 'application/problem+json', { code: 'BUSY' });
    const reset: Behavior = (_, { socket }) => void socket.resetAndDestroy();
    const cut: Behavior = (_, { socket }) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{');
    const behaviors = [answers, html, busy, reset, cut];
    const origin = await serve((turn, ...rest) => behaviors[turn % behaviors.length]?.(turn, ...rest));

    const { outcomes, cpuSeconds } = await fire({ origin, perSecond: 50, seconds: 2 });

    const counts = summarize(outcomes, false);
    expect(counts).toMatchObject({ offered: 100, sent: 100, by: { lead: 20 }, busy: 20, problems: {} });
    expect(counts.broken).toEqual({ '502 text/html': 20, ECONNRESET: 20, 'connection closed': 20 });
    expect(cpuSeconds).toBeGreaterThan(0);
  });

  it('counts the time from when a request was due, also when it could not send it then', async () => {
    const origin = await serve(answers);
    await fire({ origin, perSecond: 20, seconds: 0.5 });

    const fired = fire({ origin, perSecond: 50, seconds: 1.5 });
    await sleep(500);
    child?.kill('SIGSTOP');
    await sleep(600);
    child?.kill('SIGCONT');
    const { outcomes } = await fired;

    const { offered, onTime, sent } = summarize(outcomes, false);
    expect([offered, sent]).toEqual([75, 75]);
    expect(onTime).toBeLessThan(60);
    expect(Math.max(...outcomes.map(({ ms }) => ms))).toBeGreaterThan(400);
  });

  it('has each of its clients wait for an answer in a closed loop', async () => {
    let [open, most] = [0, 0];
    const origin = await serve((_, request, response) => {
      open += 1;
      most = Math.max(most, open);
      request.once('end', () =>
        setTimeout(() => {
          open -= 1;
          respond(response, 200, 'application/json', answer);
        }, 20),
      );
    });

    const { outcomes } = await fire({ origin, clients: 3, seconds: 1 });

    expect(most).toBe(3);
    expect(outcomes.length).toBeGreaterThan(30);
    expect(outcomes.length).toBeLessThanOrEqual(153);
  });

  it('gives up after ten seconds', async () => {
    const origin = await serve(() => {});

    const { outcomes } = await fire({ origin, perSecond: 10, seconds: 0.5 });

    expect(summarize(outcomes, false).broken).toEqual({ 'time-out': 5 });
    for (const { ms } of outcomes) expect(ms).toBeLessThan(11_000);
  });
});

async function collapse(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const ended = promisify(execFile)(process.execPath, [run, 'collapse', ...args]);
  return ended.then(
    (texts) => ({ code: 0, ...texts }),
    (fault) => fault,
  );
}

describe('npm run load -- collapse', () => {
  const short = ['--steps', '1,4', '--seconds', '2', '--capacity', '20', '--ratio'];

  it('passes a server that answers, and shows what it measured', async () => {
    const { code, stdout, stderr } = await collapse('--target', await serve(answers), ...short);

    expect(stdout).toMatch(/\| 4 \| 80 \| \d+ \| [\d.]+ % \| \d+ \|/);
    expect(stderr).not.toContain('Expected');
    expect(code).toBe(0);
  });

  it('fails one that collapses, with a sentence for each limit', async () => {
    const isOverloaded = (turn: number) => turn >= 40 && turn % 8 > 0;
    const html: Behavior = (_, __, response) =>
      void response.writeHead(502, { 'content-type': 'text/html' }).end('<p>');
    const origin = await serve((turn, ...rest) => (isOverloaded(turn) ? html : answers)(turn, ...rest));

    const { code, stderr } = await collapse('--target', origin, ...short);

    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^Expected 200 or a problem document as every answer for 4 x capacity but received \d+ times 502 text\/html$/m,
    );
    expect(stderr).toMatch(/^Expected 80.0 % of the best goodput for 4 x capacity but received 5\d.\d %$/m);
  });

  it.each([
    [['--steps', '1,x'], 'Expected a number above 0 for --steps but received "x"'],
    [['--seconds', '0'], 'Expected a number above 0 for --seconds but received "0"'],
    [['--dead', 'nginx'], 'Expected primary or fallback for --dead but received "nginx"'],
    [['--target', 'here'], 'Expected an http address for --target but received "here"'],
    [
      ['--peer', 'nobody'],
      'Expected one of fastapi-tuned, litserve-tuned, bentoml-tuned, ray-tuned for --peer but received "nobody"',
    ],
    [
      ['--dead', 'primary', '--target', 'http://here'],
      'Expected one of --dead, --target and --peer but received --target, too',
    ],
    [
      ['--photos', '/proc/self/task'],
      'Expected JPEGs of 20 kB and more for --photos but received none in /proc/self/task',
    ],
    [['--bogus'], "Unknown option '--bogus'"],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await collapse(...args);

    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, '']);
  });

  it('tells its options', async () => {
    const { code, stdout } = await collapse('--help');

    expect(stdout).toMatch(/^Usage: npm run load -- collapse \[options\]$/m);
    expect(code).toBe(0);
  });
});
