import { describe, expect, it } from '@jest/globals';
import { createBreaker } from '../functions/shared/breaker.ts';

function makeBreaker() {
  let nowMs = 0;
  const changes: boolean[] = [];
  const onChange = (isClosed: boolean) => changes.push(isClosed);
  const breaker = createBreaker({ failures: 3, openMs: 5000, onChange, now: () => nowMs });
  const end = (verdict: 'success' | 'failure' | 'unknown') => {
    const admitted = breaker.admits();
    if (admitted) breaker.record(verdict);
    return admitted;
  };
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { breaker, changes, end, pass };
}

function openBreaker() {
  const made = makeBreaker();
  for (let i = 0; i < 3; i += 1) made.end('failure');
  return made;
}

describe('createBreaker', () => {
  it.each([
    ['below', 2, true],
    ['at', 3, false],
    ['above', 4, false],
  ])('%s the limit of three failures in a row: closed is %s %s', (_where, failures, isClosed) => {
    const { breaker, end } = makeBreaker();

    for (let i = 0; i < failures; i += 1) end('failure');

    expect(breaker.isClosed()).toBe(isClosed);
    expect(breaker.admits()).toBe(isClosed);
  });

  it('starts to count again after a success', () => {
    const { breaker, end } = makeBreaker();

    for (const verdict of ['failure', 'failure', 'success', 'failure', 'failure'] as const) end(verdict);

    expect(breaker.isClosed()).toBe(true);
  });

  it('does not count runs that say nothing', () => {
    const { breaker, end } = makeBreaker();

    for (const verdict of ['failure', 'unknown', 'failure', 'unknown'] as const) end(verdict);
    expect(breaker.isClosed()).toBe(true);
    end('failure');

    expect(breaker.isClosed()).toBe(false);
  });

  it.each([
    ['below', 4999, false, 1],
    ['at', 5000, true, 0],
    ['above', 5001, true, 0],
  ])('%s the time for which it is open, a run is admitted: %d ms, %s', (_where, ms, admitted, leftMs) => {
    const { breaker, pass } = openBreaker();

    pass(ms);

    expect(breaker.retryInMs()).toBe(leftMs);
    expect(breaker.admits()).toBe(admitted);
  });

  it('admits one run at a time while half-open', () => {
    const { breaker, pass } = openBreaker();

    pass(5000);

    expect([breaker.admits(), breaker.admits()]).toEqual([true, false]);
  });

  it('closes when the run succeeds that it tried', () => {
    const { breaker, end, pass, changes } = openBreaker();

    pass(5000);
    end('success');

    expect(breaker.isClosed()).toBe(true);
    expect([breaker.admits(), breaker.admits()]).toEqual([true, true]);
    expect(changes).toEqual([false, true]);
  });

  it('is open for the whole time again when that run fails', () => {
    const { breaker, end, pass } = openBreaker();

    pass(5000);
    end('failure');

    expect(breaker.retryInMs()).toBe(5000);
  });

  it('tries another run when the one that it tried says nothing', () => {
    const { breaker, end, pass } = openBreaker();

    pass(5000);
    end('unknown');

    expect(breaker.isClosed()).toBe(false);
    expect(breaker.admits()).toBe(true);
  });
});
