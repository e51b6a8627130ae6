import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server on loopback that can be killed and started again with what it has on its disk. */
export interface Server {
  /** HOST:PORT, the same after each start. */
  readonly address: string;
  /** Starts it; settles when it accepts connections. @throws Error with its output when it does not */
  start(): Promise<void>;
  /** SIGKILL; settles when it has ended. Nothing where it does not run. */
  kill(): Promise<void>;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly port: number;
  /** Where its output goes. */
  readonly logFile: string;
  /** Started anew, a broker of a busy machine takes half a minute. @default 60 s */
  readonly withinMs?: number;
}

/** A server made of one process. The caller kills it. */
export function createServer({ file, args, env, port, logFile, withinMs = 60_000 }: Command): Server {
  let child: ChildProcess | undefined;
  return {
    address: `127.0.0.1:${port}`,
    async start() {
      const output = openSync(logFile, 'a');
      const started = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['ignore', output, output] });
      closeSync(output);
      child = started;
      for (const end = Date.now() + withinMs; !(await accepts(port)); await sleep(50)) {
        if (started.exitCode !== null || Date.now() > end) {
          throw new Error(`Expected ${file} to listen but received:\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
        }
      }
    },
    async kill() {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
