import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Limits {
  /** SIGKILL after this long. */
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
  /** What the signal does: `send` at once, SIGKILL after `killAfterMs`. Without it the program runs to its end. */
  readonly onAbort?: { readonly send?: NodeJS.Signals; readonly killAfterMs: number } | undefined;
  /** A file descriptor for its standard output, which is not returned then. */
  readonly stdout?: number;
}

/** How a program ended; `code` is null after a signal. */
export interface Finished {
  readonly code: number | null;
  readonly isLate: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end, in its own process group: the terminal's Ctrl-C reaches only this process.
 * @throws its start's error; the signal's reason, after the program has ended
 */
export async function runProgram(file: string, args: readonly string[], limits: Limits): Promise<Finished> {
  const { withinMs, signal, onAbort, stdout = 'pipe' } = limits;
  signal?.throwIfAborted();
  const child = spawn(file, args, { stdio: ['ignore', stdout, 'pipe'], detached: true });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      texts[name] += chunk;
    });
  }
  let isLate = false;
  const kill = () => void child.kill('SIGKILL');
  const timers = [
    setTimeout(() => {
      isLate = true;
      kill();
    }, withinMs),
  ];
  const interrupt = () => {
    if (onAbort?.send !== undefined) child.kill(onAbort.send);
    if (onAbort !== undefined) timers.push(setTimeout(kill, onAbort.killAfterMs));
  };
  signal?.addEventListener('abort', interrupt);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    signal?.throwIfAborted();
    return { code, isLate, ...texts };
  } finally {
    timers.forEach(clearTimeout);
    signal?.removeEventListener('abort', interrupt);
  }
}
