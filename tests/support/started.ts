import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A program that runs, such as `npm start`, and what it has said so far. */
export interface Started {
  readonly child: ChildProcess;
  readonly exited: Promise<[number | null, NodeJS.Signals | null]>;
  output(): string;
  /** Waits until the output matches. @throws Error with the output when it does not within 30 s */
  says(pattern: RegExp): Promise<void>;
}

export function startProgram(
  [file, ...args]: readonly [string, ...string[]],
  options: { readonly env: NodeJS.ProcessEnv; readonly cwd?: string; readonly stdio?: StdioOptions },
): Started {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  return {
    child,
    exited: once(child, 'close') as Started['exited'],
    output: () => text,
    says: async (pattern) => {
      for (const end = Date.now() + 30_000; !pattern.test(text); await sleep(20)) {
        if (Date.now() > end) throw new Error(`Expected ${pattern} but received:\n${text}`);
      }
    },
  };
}

/** Process ids of what a program has started itself, by what their command line contains. */
export function childrenOf(pid: number | undefined, part: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter(
      (name) =>
        readProc(name, 'stat')
          .replace(/^.*\) /s, '')
          .split(' ')[1] === String(pid),
    )
    .filter((name) => readProc(name, 'cmdline').includes(part))
    .map(Number);
}

/** Empty once the process has ended. */
export function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
