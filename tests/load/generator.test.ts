import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { Fired, Traffic } from '../../load/collapse/generator.ts';
import { summarize } from '../../load/collapse/step.ts';
import { listen } from '../support/listen.ts';

jest.setTimeout(60_000);

const run = fileURLToPath(new URL('../../load/run.js', import.meta.url));
const generator = fileURLToPath(new URL('../../load/collapse/generator.js', import.meta.url));
const photo = fileURLToPath(new URL('../../../tests/images/test_image_1.jpg', import.meta.url));

const answer = { predictions: [{ class: 'n0' }], tier: 'primary', degraded: false };

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
  return listen(server);
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
  const short = ['--steps', '1,4', '--seconds', '3', '--capacity', '20', '--ratio'];

  it('passes a server that answers, and shows what it measured', async () => {
    const { code, stdout, stderr } = await collapse('--target', await serve(answers), ...short);

    expect(stdout).toMatch(/\| 4 \| 80 \| \d+ \| [\d.]+ % \| \d+ \|/);
    expect(stderr).not.toContain('Expected');
    expect(code).toBe(0);
  });

  it('fails one that collapses, with a sentence for each limit', async () => {
    // Of each of the three passes a second at 20 requests and one at 80.
    const isOverloaded = (turn: number) => turn % 100 >= 20 && turn % 8 > 0;
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
