import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type FunctionName, functionCommand, memoryVariables } from '../../functions/launch.ts';
import { freePort } from '../../ingress/port.ts';

const compiled = fileURLToPath(new URL('../../', import.meta.url));

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
  target: FunctionName,
  env: NodeJS.ProcessEnv = {},
  through: readonly string[] = [],
): Promise<RunningFunction> {
  const [program = '', ...args] = [...through, ...functionCommand(target)];
  const child = spawn(program, args, { env: environmentOf(target, '0', env), stdio: ['ignore', 'pipe', 'pipe'] });
  return watch(child);
}

/** The same by the server of Google's framework, as `npx functions-framework` starts it. */
export async function startUnderFramework(target: FunctionName): Promise<RunningFunction> {
  const bin = 'node_modules/@google-cloud/functions-framework/build/src/main.js';
  const port = await freePort();
  const args = [bin, `--target=${target}`, `--port=${port}`, `--source=${compiled}functions/${target}.js`];
  const env = environmentOf(target, String(port), {});
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  return watch(child, (line) => (line.message === 'worker ready' ? port : undefined));
}

function environmentOf(target: FunctionName, port: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = { PATH: process.env.PATH, FUNCTION_TARGET: target, PORT: port, LOG_LEVEL: 'debug' };
  return { ...memoryVariables(target), ...own, ...env };
}

/** Settles when a line of the log tells the port. @throws its stderr when it exits instead */
export async function watch(
  child: ChildProcess,
  portOf = (line: Record<string, unknown>) => (line.message === 'listening' ? Number(line.port) : undefined),
): Promise<RunningFunction> {
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  const lines: Record<string, unknown>[] = [];
  let errors = '';
  child.stderr?.on('data', (chunk) => {
    errors += chunk;
  });
  const port = await new Promise<number>((resolve, reject) => {
    createInterface(child.stdout as Readable).on('line', (text) => {
      if (!text.startsWith('{')) return; // the framework's own
      const line = JSON.parse(text);
      lines.push(line);
      const port = portOf(line);
      if (port !== undefined) resolve(port);
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
