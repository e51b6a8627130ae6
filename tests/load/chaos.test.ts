import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Outcome } from '../chaos/driver.ts';
import type { Fault, Stage } from '../chaos/fault.ts';
import { machineFaults } from '../chaos/faults/machine.ts';
import { modelFaults } from '../chaos/faults/models.ts';
import { networkFaults } from '../chaos/faults/network.ts';
import { processFaults } from '../chaos/faults/processes.ts';
import { perform } from '../chaos/perform.ts';
import { type AccessLine, failuresBeforeSkip, type Row, summarize } from '../chaos/row.ts';
import { closeStage, openStage } from '../chaos/stage.ts';
import { toMarkdown } from '../chaos/table.ts';

jest.setTimeout(120_000);

function outcome(n: number, change: Partial<Outcome> = {}): Outcome {
  const dueMs = n * 100;
  const answer = { kind: 'answer', detail: '', tier: 'primary', model: 'wide-resnet', degraded: false } as const;
  return { requestId: `chaos-${n}`, photo: 'calm 0', dueMs, endedMs: dueMs + 10, ...answer, ...change };
}

const times = { fromMs: 0, endedMs: 500, readyMs: 600, recoveredMs: 700, toMs: 1000 };
const fault = { name: 'a fault' } as const;
const ten = Array.from({ length: 10 }, (_, n) => outcome(n));
const lost = (kind: Outcome['kind']) => ten.with(4, outcome(4, { kind, detail: 'lost' }));

describe('summarize', () => {
  it('lets a row pass in which everything is answered', () => {
    expect(summarize(fault, ten, new Map(), times)).toMatchObject({ requests: 10, nonAnswers: 0, faults: [] });
  });

  it.each([
    ['none', 'problem'],
    ['none', 'cut'],
    ['none', 'wrong'],
    ['problems', 'cut'],
    ['problems', 'wrong'],
    ['cuts', 'problem'],
    ['cuts', 'wrong'],
  ] as const)('where a fault excuses %s, does not excuse one %s', (allows, kind) => {
    const row = summarize({ ...fault, allows }, lost(kind), new Map(), times);

    expect(row.nonAnswers).toBe(1);
    expect(row.faults).toEqual([expect.stringContaining('1 without an answer, such as chaos-4')]);
  });

  it.each([
    ['problems', 'problem'],
    ['cuts', 'cut'],
  ] as const)('where a fault excuses %s, excuses a %s and counts it', (allows, kind) => {
    const row = summarize({ ...fault, allows }, lost(kind), new Map(), times);

    expect(row).toMatchObject({ nonAnswers: 1, [allows]: 1, faults: [] });
  });

  it('takes the longest time without an answer, also at the end', () => {
    const row = summarize(fault, ten.slice(0, 5), new Map(), times);

    expect(row.worstGapMs).toBe(1000 - 410);
  });

  it('does not pass a row in which the Wide ResNet stays away', () => {
    const row = summarize(fault, ten, new Map(), { ...times, recoveredMs: undefined });

    expect(row.faults).toEqual([expect.stringContaining('did not come back')]);
  });

  it('does not pass a primary that is ready more than 10 s before it is asked', () => {
    const outcomes = ten.with(4, outcome(4, { tier: 'fallback', model: 'mobilenet', degraded: true }));

    const row = summarize(fault, outcomes, new Map(), { ...times, recoveredMs: 10_601 });

    expect(row.faults).toEqual([expect.stringContaining('10.0 s before it was asked')]);
  });
});

describe('failuresBeforeSkip', () => {
  const line = (n: number, tiers: string, answers: string): [string, AccessLine] => [
    `chaos-${n}`,
    { requestId: `chaos-${n}`, tiers, answers, times: '0.001 : 0.009' },
  ];
  const moved = (n: number, answers = '502 : 200') => line(n, 'unix:/primary.sock : unix:/fallback.sock', answers);
  const skipped = (n: number) => line(n, 'unix:/fallback.sock', '200');

  it('counts up to the last failure of a primary that was still asked', () => {
    const lines = new Map([moved(0), moved(1), moved(2), skipped(3), skipped(4)]);

    expect(failuresBeforeSkip(ten, lines)).toBe(3);
  });

  it('counts a fourth that a broken breaker lets through', () => {
    const lines = new Map([moved(0), moved(1), moved(2), moved(3), skipped(4)]);

    expect(failuresBeforeSkip(ten, lines)).toBe(4);
    expect(summarize(fault, ten, lines, times).faults).toEqual(['4 failures before the first skip']);
  });

  it('counts nothing that was on its way before the first failure was known', () => {
    const silent = [0, 1, 2, 3, 4].map((n) => outcome(n, { endedMs: 8000 + n }));

    expect(failuresBeforeSkip(silent, new Map([0, 1, 2, 3, 4].map((n) => moved(n))))).toBe(1);
  });

  it('does not take a primary that is full for one that fails', () => {
    expect(failuresBeforeSkip(ten, new Map([moved(0, '404, 200')]))).toBeUndefined();
  });
});

/** Nine of the long form, those that a change of the stack is most likely to break. */
const short: readonly Fault[] = [
  networkFaults.aborted,
  processFaults.reloadedOften,
  processFaults.fallbackKilled,
  modelFaults.allThreadsEnd,
  machineFaults.diskFull,
  processFaults.primaryKilled,
  modelFaults.goldenFails,
  processFaults.rolled,
  processFaults.bothKilled,
];

describe('the stack under faults', () => {
  const ending = new AbortController();
  const rows: Row[] = [];
  let stage: Stage;

  beforeAll(async () => {
    stage = await openStage(15, ending.signal);
  });

  afterAll(async () => {
    ending.abort();
    await closeStage(stage);
    if (process.env.CHAOS_REPORT) process.stderr.write(`${toMarkdown(rows, [])}\n`);
  });

  it.each(short.map((one) => [one.name, one] as const))('answers as it must when: %s', async (_, one) => {
    const why = one.impossible?.();
    if (why !== undefined) {
      process.stderr.write(`not run: ${one.name}: ${why}\n`);
      return;
    }

    const row = await perform(one, stage, { quietMs: 400, shortestMs: 0 });

    rows.push(row);
    expect(row.faults.length === 0 ? [] : [...row.faults, stage.stack.lastWords()]).toEqual([]);
  });

  it('does not pass a row whose fault never ends', async () => {
    const endless: Fault = { ...fault, strike: ({ signal }) => sleep(60_000, undefined, { signal }) };

    const row = await perform(endless, stage, { quietMs: 0, shortestMs: 0, strikeWithinMs: 200 });

    expect(row.faults).toEqual(['Expected the fault to happen but received no end of it within 0.2 s']);
  });
});
