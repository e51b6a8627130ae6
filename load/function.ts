import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FunctionName, functionCommand, memoryVariables } from '../functions/launch.ts';
import { freePort } from '../ingress/port.ts';

/** A function alone, started as its container starts it. */
export interface StartedFunction {
  readonly origin: string;
  readonly process: ChildProcess;
  /** When its process was spawned, on the clock of `performance.now()`. */
  readonly startedMs: number;
  /** Resolves when all of its models are loaded. @throws Error when it ends before that */
  untilReady(): Promise<void>;
  kill(): Promise<void>;
}

/** Milliseconds between two questions: the error of a measured start time. */
export const pollMs = 5;

/** Starts a function on a free port. `server` replaces the script that serves it. */
export async function startFunction(
  target: FunctionName,
  { variables = {}, server = [] }: { variables?: NodeJS.ProcessEnv; server?: readonly string[] } = {},
): Promise<StartedFunction> {
  const port = String(await freePort());
  const [program, ...args] = functionCommand(target);
  const used = server.length === 0 ? args : [...args.slice(0, -1), ...server, `--port=${port}`];
  const named = { FUNCTION_TARGET: target, PORT: port, LOG_LEVEL: 'silent' };
  const env = { ...memoryVariables(target), ...process.env, ...named, ...variables };
  const startedMs = performance.now();
  const child = spawn(program, used, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const origin = `http://127.0.0.1:${port}`;
  return {
    origin,
    process: child,
    startedMs,
    untilReady: async () => {
      while (!(await isReady(origin))) {
        if (child.exitCode !== null) throw new Error(`Expected a function that starts but it ended: ${child.exitCode}`);
        await sleep(pollMs);
      }
    },
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function isReady(origin: string): Promise<boolean> {
  const response = await fetch(`${origin}/readyz`).catch(() => undefined);
  return response !== undefined && ((await response.json()) as { status: string }).status === 'ready';
}
