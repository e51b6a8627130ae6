import { describe, expect, it } from '@jest/globals';
import { createBreaker, type Verdict } from '../../functions/core/chain/breaker.ts';

function makeBreaker() {
  let nowMs = 0;
  const changes: boolean[] = [];
  const onChange = (isClosed: boolean) => changes.push(isClosed);
  const breaker = createBreaker({ failures: () => 3, openMs: 5000, onChange, now: () => nowMs });
  const admits = () => breaker.admit() !== undefined;
  const end = (verdict: Verdict) => breaker.admit()?.record(verdict);
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { breaker, changes, admits, end, pass };
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
    const { breaker, admits, end } = makeBreaker();

    for (let i = 0; i < failures; i += 1) end('failure');

    expect(breaker.isClosed()).toBe(isClosed);
    expect(admits()).toBe(isClosed);
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
    const { breaker, admits, pass } = openBreaker();

    pass(ms);

    expect(breaker.retryInMs()).toBe(leftMs);
    expect(admits()).toBe(admitted);
  });

  it('admits one run at a time while half-open', () => {
    const { admits, pass } = openBreaker();

    pass(5000);

    expect([admits(), admits()]).toEqual([true, false]);
  });

  it('closes when the run succeeds that it tried', () => {
    const { breaker, admits, end, pass, changes } = openBreaker();

    pass(5000);
    end('success');

    expect(breaker.isClosed()).toBe(true);
    expect([admits(), admits()]).toEqual([true, true]);
    expect(changes).toEqual([false, true]);
  });

  it('is open for the whole time again when that run fails', () => {
    const { breaker, end, pass } = openBreaker();

    pass(5000);
    end('failure');

    expect(breaker.retryInMs()).toBe(5000);
  });

  it('tries another run when the one that it tried says nothing', () => {
    const { breaker, admits, end, pass } = openBreaker();

    pass(5000);
    end('unknown');

    expect(breaker.isClosed()).toBe(false);
    expect(admits()).toBe(true);
  });

  describe('with runs that were admitted before it opened', () => {
    function openBeside() {
      const made = makeBreaker();
      const late = made.breaker.admit();
      for (let i = 0; i < 3; i += 1) made.end('failure');
      return { ...made, late };
    }

    it('stays open when one of them succeeds', () => {
      const { breaker, changes, late } = openBeside();

      late?.record('success');

      expect([breaker.isClosed(), breaker.retryInMs()]).toEqual([false, 5000]);
      expect(changes).toEqual([false]);
    });

    it('is not open for longer when one of them fails', () => {
      const { breaker, pass, late } = openBeside();

      pass(4000);
      late?.record('failure');

      expect(breaker.retryInMs()).toBe(1000);
    });

    it.each<Verdict>(['success', 'failure', 'unknown'])(
      'waits for its own run when one of them ends meanwhile: %s',
      (verdict) => {
        const { breaker, admits, pass, late } = openBeside();
        pass(5000);
        const own = breaker.admit();

        late?.record(verdict);
        const second = admits();
        own?.record('success');

        expect([second, breaker.isClosed()]).toEqual([false, true]);
      },
    );

    it('counts none of them after it has closed again', () => {
      const { breaker, end, pass, late } = openBeside();
      pass(5000);
      end('success');

      for (let i = 0; i < 3; i += 1) late?.record('failure');

      expect(breaker.isClosed()).toBe(true);
    });
  });

  it('counts a run once, however often it is told how it ended', () => {
    const { breaker } = makeBreaker();
    const ticket = breaker.admit();

    for (let i = 0; i < 3; i += 1) ticket?.record('failure');

    expect(breaker.isClosed()).toBe(true);
  });
});
