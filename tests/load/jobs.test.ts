import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it, jest } from '@jest/globals';
import { judgeDelays } from '../../load/delays.ts';
import type { Sample } from '../../load/samples.ts';
import { listen } from '../support/listen.ts';
import { answerBody, answerHeaders, k6, run, startRun } from './run.ts';

jest.setTimeout(120_000);

describe('judgeDelays', () => {
  const sampled = (side: string, ms: number, reason = ''): Sample => ({
    ...{ atMs: 0, ms, status: 200, scenario: 'jobs', side, tier: 'primary', model: '', version: '', reason, fault: '' },
  });
  /** Hundred answers from 1 to 100 ms, each later by `laterMs`, of which some are degraded. */
  const side = (name: string, laterMs = 0, degraded = 0) =>
    Array.from({ length: 100 }, (_, n) => sampled(name, n + 1 + laterMs, n < degraded ? 'overload' : ''));
  const trend = (count: number, med: number, p95: number) => ({
    contains: 'time',
    values: { count, med, 'p(95)': p95, 'p(99)': p95 },
  });
  const jobs = { metrics: { run_ms: trend(270, 10, 20), order_ms: trend(271, 3, 4), job_ms: trend(270, 5, 6) } };
  const without = side('without', 0, 1);

  it('tells times with and without jobs, one run, and jobs a second', () => {
    const { isOver, text } = judgeDelays([...without, ...side('with', 8.5, 2), ...side('after', 500)], jobs, 60);

    expect(isOver).toBe(false);
    expect(text.split('\n').slice(2)).toEqual([
      '| answers without jobs | 100 | 1.00 % | 51.0 | 96.0 | 100.0 |',
      '| answers with jobs | 100 | 2.00 % | 59.5 | 104.5 | 108.5 |',
      '| later by |  | 1.00 points | 8.5 | 8.5 | 8.5 |',
      '| one run of a job | 270 |  | 10.0 | 20.0 | 20.0 |',
      '| order to 202 | 271 |  | 3.0 | 4.0 | 4.0 |',
      '| 202 to result | 270 |  | 5.0 | 6.0 | 6.0 |',
      '',
      '10.0 jobs a second. Synchronous answers were in time beside them.',
      '',
    ]);
  });

  const latest = (ms: number) => side('with').map((one) => (one.ms > 90 ? { ...one, ms: one.ms + ms } : one));
  it.each([
    ['a median later by a run', side('with', 10), jobs, false],
    ['a median later by more than a run', side('with', 10.1), jobs, true],
    ['a 95th percentile later by a run', latest(20), jobs, false],
    ['a 95th percentile later by more than a run', latest(20.1), jobs, true],
    ['a point more of degraded answers', side('with', 0, 2), jobs, false],
    ['two points more of degraded answers', side('with', 0, 3), jobs, true],
    ['no answer beside jobs', [], jobs, true],
    ['no job', side('with'), { metrics: { run_ms: trend(0, 0, 0) } }, true],
  ])('judges %s', (_, beside, summary, isOver) => {
    expect(judgeDelays([...without, ...beside], summary, 60).isOver).toBe(isOver);
  });
});

(k6 === undefined ? describe.skip : describe)('npm run load -- jobs', () => {
  const folder = mkdtempSync(join(tmpdir(), 'load-jobs-test-'));
  let server: Server | undefined;

  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    server = undefined;
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  const short = ['jobs', '--duration', '15', '--capacity']; // k6 takes no scenario of less than 1 s
  const failed = (out: string) => {
    const { metrics } = JSON.parse(readFileSync(join(out, 'jobs.json'), 'utf8'));
    return ['accepted', 'succeeded', 'non_answers'].filter((name) =>
      Object.values<{ ok: boolean }>(metrics[name].thresholds).some(({ ok }) => !ok),
    );
  };

  it('runs jobs beside synchronous requests to the real stack and leaves no store behind', async () => {
    const out = join(folder, 'stack');
    const results = fileURLToPath(new URL('../../../load/results/', import.meta.url));
    const { child, ended } = startRun([...short, '20', '--out', out]);
    const stores = () => readdirSync(results).filter((name) => name.startsWith(`store-${child.pid}-`));
    let isUsed = false;
    const looking = setInterval(() => {
      isUsed ||= stores().some((name) => existsSync(join(results, name, 'records')));
    }, 200);

    const { stdout } = await ended;
    clearInterval(looking);

    expect(failed(out)).toEqual([]);
    expect(stdout).toMatch(/^\| 202 to result \| [1-9]\d* \|/m);
    expect(readFileSync(join(out, 'report.md'), 'utf8')).toMatch(/^\d+\.\d jobs a second\. /m);
    expect([isUsed, stores()]).toEqual([true, []]);
  });

  /** An address that answers 60 ms later within 300 ms of an order, and says that the run of a job took `runMs`. */
  async function startServer(runMs: number, isFaulty: boolean): Promise<string> {
    let orders = 0;
    let orderedMs = Number.NEGATIVE_INFINITY;
    server = createServer((request, response) => {
      request.resume().on('end', async () => {
        const timing = { 'server-timing': `decode;dur=1.0, queue;dur=0.0, model;dur=${runMs}` };
        if (request.headers.prefer === 'respond-async') {
          orderedMs = performance.now();
          orders += 1;
          response.writeHead(isFaulty && orders % 2 === 0 ? 503 : 202, { location: '/jobs/1' }).end();
        } else if (request.method === 'GET') {
          await sleep(50);
          const isResult = request.url === '/jobs/1/result';
          response.writeHead(isResult && isFaulty ? 500 : 200, { ...answerHeaders, ...timing });
          response.end(JSON.stringify(answerBody));
        } else {
          await sleep(performance.now() - orderedMs < 300 ? 60 : 0);
          response.writeHead(200, answerHeaders).end(JSON.stringify(answerBody));
        }
      });
    });
    return listen(server);
  }

  it.each([
    ['passes answers that are later by less than a run', 200, 0, []],
    ['fails answers that are later by more than a run', 5, 99, []],
    ['fails orders that are not accepted and jobs that do not succeed', 200, 99, ['accepted', 'succeeded']],
  ])('%s', async (what, runMs, exit, fails) => {
    const out = join(folder, what);
    const target = await startServer(runMs, fails.length > 0);

    const { code } = await run([...short, '100', '--target', target, '--out', out]);

    expect([code, failed(out)]).toEqual([exit, fails]);
  });
});
