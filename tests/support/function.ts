import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { functionCommand, memoryVariables } from '../../functions/launch.ts';

export interface RunningFunction {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
  /** Every line the function has logged. */
  readonly lines: Record<string, unknown>[];
  /** Settles once /readyz says `ready` (or also `degraded`). */
  ready(also?: 'degraded'): Promise<void>;
  /** SIGTERM; settles with the exit code, or the signal that ended it. */
  stop(): Promise<number | string>;
}

/**
 * Starts a function in a process of its own on a free port, by the program `through` where one is named; settles when it listens.
 * @throws its stderr when it exits instead
 */
export async function startFunction(
  target: 'primary' | 'fallback',
  env: NodeJS.ProcessEnv = {},
  through: readonly string[] = [],
): Promise<RunningFunction> {
  const [program = '', ...args] = [...through, ...functionCommand(target)];
  const child = spawn(program, args, {
    env: {
      ...memoryVariables(target),
      PATH: process.env.PATH,
      FUNCTION_TARGET: target,
      PORT: '0',
      LOG_LEVEL: 'debug',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  const lines: Record<string, unknown>[] = [];
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const port = await new Promise<number>((resolve, reject) => {
    createInterface(child.stdout).on('line', (text) => {
      const line = JSON.parse(text);
      lines.push(line);
      if (line.message === 'listening') resolve(line.port);
    });
    ended.then((code) => reject(new Error(`exit ${code}: ${errors}`)));
  });
  const url = `http://127.0.0.1:${port}`;

  return {
    url,
    port,
    process: child,
    lines,
    async ready(also) {
      for (;;) {
        const { status } = (await (await fetch(`${url}/readyz`)).json()) as { status: string };
        if (status === 'ready' || status === also) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}
