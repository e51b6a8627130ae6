import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Answered, createWake, createWakeRule, type WakeOutcome } from '../../functions/core/chain/wake.ts';
import { freePort } from '../../ingress/port.ts';
import { answer, type Behavior, startUpstream, type Upstream } from '../support/upstream.ts';

const degraded: Answered = { status: 200, code: '', reason: 'overload' };
const whole: Answered = { status: 200, code: '', reason: '' };

describe('createWake', () => {
  let fallback: Upstream;
  let nowMs = 0;

  beforeAll(async () => {
    fallback = await startUpstream('fallback');
  });

  beforeEach(() => {
    nowMs = 0;
    fallback.behave(answer(200));
  });

  afterAll(() => fallback.close());

  /** The end of the first request. */
  function wakeOf(url: string) {
    const rule = createWakeRule(() => nowMs);
    let end: (ended: [WakeOutcome, Readonly<Record<string, unknown>>]) => void;
    const ended = new Promise<[WakeOutcome, Readonly<Record<string, unknown>>]>((resolve) => {
      end = resolve;
    });
    return { wake: createWake({ url, rule, onEnd: (...args) => end(args) }), ended };
  }

  it('asks with a GET without a body, on a connection of its own', async () => {
    const { wake, ended } = wakeOf(`http://127.0.0.1:${fallback.port}/readyz?why=1`);

    wake.lost();

    expect(await ended).toEqual(['ready', { cause: 'lost', ms: expect.any(Number), status: 200 }]);
    expect(fallback.received).toMatchObject([{ method: 'GET', url: '/readyz?why=1', bytes: 0 }]);
    expect(fallback.received[0]?.headers.connection).toBe('close');
  });

  it('says that it was refused when the answer is none of a ready fallback', async () => {
    fallback.behave(answer(503));
    const { wake, ended } = wakeOf(`http://127.0.0.1:${fallback.port}/readyz`);

    wake.lost();

    expect(await ended).toEqual(['refused', { cause: 'lost', ms: expect.any(Number), status: 503 }]);
  });

  it('says that it failed when nobody is there', async () => {
    const { wake, ended } = wakeOf(`http://127.0.0.1:${await freePort()}/readyz`);

    wake.lost();

    expect(await ended).toEqual([
      'failed',
      { cause: 'lost', ms: expect.any(Number), error: expect.objectContaining({ code: 'ECONNREFUSED' }) },
    ]);
  });

  it('bears an answer that breaks off', async () => {
    fallback.behave({ kind: 'truncated' });
    const { wake, ended } = wakeOf(`http://127.0.0.1:${fallback.port}/readyz`);

    wake.lost();

    expect((await ended)[0]).toBe('ready');
  });

  describe('after a request that did not wake the fallback', () => {
    const url = () => `http://127.0.0.1:${fallback.port}/readyz`;
    const since = (before: number) => fallback.received.length - before;

    it.each<[WakeOutcome, Behavior]>([
      ['refused', answer(503)],
      ['failed', { kind: 'reset', when: 'before body' }],
    ])('asks again until it is awake, and then no more: %s', async (outcome, behavior) => {
      fallback.behave(behavior);
      const outcomes: WakeOutcome[] = [];
      const wake = createWake({ url: url(), retryMs: 30, onEnd: (one) => outcomes.push(one) });

      wake.lost();
      for (let i = 0; i < 200 && outcomes.length < 3; i += 1) await sleep(10);
      fallback.behave(answer(200));
      for (let i = 0; i < 200 && !outcomes.includes('ready'); i += 1) await sleep(10);
      const before = fallback.received.length;
      await sleep(200);

      expect(outcomes.slice(0, 3)).toEqual([outcome, outcome, outcome]);
      expect(outcomes.at(-1)).toBe('ready');
      expect(since(before)).toBe(0);
    });

    it('asks no more once the leading model answers again', async () => {
      fallback.behave(answer(503));
      let ends = 0;
      const onEnd = () => {
        ends += 1;
        wake.answered(whole);
      };
      const wake = createWake({ url: url(), retryMs: 30, onEnd });

      wake.lost();
      await sleep(300);

      expect(ends).toBe(1);
    });

    it('asks again in a brown-out that goes on, not before the pause is over', async () => {
      fallback.behave(answer(503));
      let ends = 0;
      const onEnd = () => {
        ends += 1;
      };
      const rule = createWakeRule(() => nowMs);
      const wake = createWake({ url: url(), rule, retryMs: 200, onEnd });
      for (nowMs of [0, 1000, 2000]) wake.answered(degraded);
      for (let i = 0; i < 100 && ends < 1; i += 1) await sleep(1);

      wake.answered(degraded);
      await sleep(50);
      const early = ends;
      await sleep(250);
      wake.answered(degraded);
      for (let i = 0; i < 100 && ends < 2; i += 1) await sleep(10);

      expect([early, ends]).toEqual([1, 2]);
    });
  });

  /** Three seconds with one such answer each, beside so many others; tells whether that woke the fallback. */
  async function wakesAfter(answered: Answered, beside: readonly Answered[] = []): Promise<boolean> {
    const { wake, ended } = wakeOf(`http://127.0.0.1:${fallback.port}/readyz`);
    for (nowMs of [0, 1000, 2000]) for (const one of [...beside, answered]) wake.answered(one);
    nowMs = 2500;
    wake.lost(); // asks unless the answers have done so, a moment before
    return (await ended)[1].cause === 'brown-out';
  }

  it.each<[string, Answered]>([
    ['an overload', degraded],
    ['a time-out', { ...degraded, reason: 'timeout' }],
    ['an error', { ...degraded, reason: 'error' }],
    ['BUSY', { status: 503, code: 'BUSY', reason: '' }],
    ['PRIMARY_REQUIRED', { status: 503, code: 'PRIMARY_REQUIRED', reason: '' }],
    ['DEADLINE_EXCEEDED', { status: 504, code: 'DEADLINE_EXCEEDED', reason: '' }],
    ['INTERNAL', { status: 500, code: 'INTERNAL', reason: '' }],
  ])('takes %s for a sign of a brown-out', async (_what, answered) => {
    expect(await wakesAfter(answered)).toBe(true);
  });

  it.each<[string, Answered]>([
    ['an answer of the leading model', whole],
    ['a model that still loads', { ...degraded, reason: 'warming' }],
    ['STARTING', { status: 503, code: 'STARTING', reason: '' }],
    ["a client's mistake", { status: 422, code: 'IMAGE_UNSUPPORTED', reason: '' }],
    ['a client that went away', { status: 499, code: '', reason: '' }],
  ])('takes %s for none', async (_what, answered) => {
    expect(await wakesAfter(answered)).toBe(false);
  });

  it('does not count what says nothing among the answers', async () => {
    const mistakes = Array.from({ length: 10 }, () => ({ status: 400, code: 'UPLOAD_MALFORMED', reason: '' }));

    expect(await wakesAfter(degraded, mistakes)).toBe(true);
    expect(await wakesAfter(degraded, [whole, whole])).toBe(false);
  });

  it('does not keep the process from ending', async () => {
    fallback.behave({ kind: 'silent' });
    const module = new URL('../../functions/core/chain/wake.js', import.meta.url);
    const program = `
      const { createWake } = await import('${module}');
      createWake({ url: 'http://127.0.0.1:${fallback.port}/readyz', onEnd: () => {} }).lost();
      setTimeout(() => {}, 500);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });

    const [code] = await once(child, 'exit');

    expect(code).toBe(0);
    expect(fallback.received).toHaveLength(1);
  });
});
