import { describe, expect, it } from '@jest/globals';
import type { Outcome } from '../../load/collapse/connections.ts';
import { failures, ratioFailures, type Sweep } from '../../load/collapse/limits.ts';
import { drawSweeps } from '../../load/collapse/picture.ts';
import { judgeResponse, readResponse } from '../../load/collapse/response.ts';
import { type Step, summarize } from '../../load/collapse/step.ts';
import { sweepTables } from '../../load/collapse/tables.ts';

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

  it('compare memory and recovery with the pass before which there was no overload', () => {
    const grown = step(0.5, { mostMb: { primary: 300 }, answerMs: { p50: 40, p99: 40 } });
    const before = step(0.5, { mostMb: { primary: 150 }, answerMs: { p50: 20, p99: 40 } });

    expect(failures({ ...sweepOf([grown], grown), before })).toEqual([
      'Expected at most 128 MB more of primary for 0.5 x capacity but received 150 MB',
      'Expected answers within 30 ms at p50 for the load after the overload but received 40 ms',
    ]);
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
