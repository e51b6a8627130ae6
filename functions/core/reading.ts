import type { ReadInteger } from './task.ts';

/** Notes a fault of a variable where what is expected of it is not met. */
export type Expect = (met: boolean, what: string, name: string, received: unknown) => void;

/** Reads the variables of an environment, and notes all that is wrong with them. An empty variable counts as absent. */
export interface Reading {
  readonly integer: ReadInteger;
  readonly expect: Expect;
  /** A line for each fault so far. */
  readonly faults: readonly string[];
}

export function openReading(env: NodeJS.ProcessEnv): Reading {
  const faults: string[] = [];
  const expect: Expect = (met, what, name, received) => {
    if (!met) faults.push(`Expected ${what} for ${name} but received ${JSON.stringify(received)}`);
  };
  const integer: ReadInteger = (name, { fallback, min, max }) => {
    const text = env[name] || String(fallback);
    const value = Number(text);
    const isRight = /^\d+$/.test(text) && value >= min && value <= max;
    expect(isRight, `a whole number from ${min} to ${max}`, name, text);
    return isRight ? value : fallback;
  };
  return { integer, expect, faults };
}
