import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { textsOf } from '../support/program.ts';

const script = fileURLToPath(new URL('../../knative/revisions/revision.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

export interface Begun {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Settles when its output matches. @throws Error with the output when it ends before that */
  says(pattern: RegExp): Promise<void>;
}

/** Starts `npm run revision` with these arguments and variables besides this process's. */
export function beginRevision(args: readonly string[], env: Readonly<Record<string, string>>): Begun {
  const startedMs = performance.now();
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = textsOf(child);
  const ended = once(child, 'close').then(([code]) => ({
    code: code as number | null,
    ...texts,
    seconds: (performance.now() - startedMs) / 1000,
  }));
  const says = async (pattern: RegExp) => {
    while (!pattern.test(texts.stderr)) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(texts.stderr);
      await sleep(50);
    }
  };
  return { child, ended, says };
}

/** The last line of a good release gives the candidate all traffic. */
export function expectReleased({ code, stderr }: Ended): void {
  const last = stderr.trimEnd().split('\n').at(-1);
  expect([code, last]).toEqual([0, expect.stringMatching(/^revision: kn .* --traffic \S+=100 /)]);
}
