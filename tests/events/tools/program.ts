import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** A program that is started again whenever it ends, as a platform does, until it is held down. */
export interface Program {
  readonly name: string;
  /** Every line that it has logged, in all of its lives. */
  readonly lines: readonly Record<string, unknown>[];
  /** SIGKILL; it is started again at once. */
  kill(): Promise<void>;
  /** SIGKILL, or SIGTERM, and no start until it is released. */
  hold(signal?: NodeJS.Signals): Promise<void>;
  release(): void;
}

/** As `npm start` and Kubernetes at first. */
const againMs = 250;

export function keep(name: string, command: readonly string[], env: NodeJS.ProcessEnv): Program {
  const [file = '', ...args] = command;
  const lines: Record<string, unknown>[] = [];
  let child: ChildProcess | undefined;
  let isHeld = false;

  function start(): void {
    if (isHeld) return;
    const started = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
    child = started;
    createInterface({ input: started.stdout }).on(
      'line',
      (text) => text.startsWith('{') && lines.push(JSON.parse(text)),
    );
    started.once('exit', () => sleep(againMs).then(() => child === started && start()));
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ended = child;
    if (!ended || ended.exitCode !== null || ended.signalCode !== null) return;
    const exit = once(ended, 'exit');
    ended.kill(signal);
    await exit;
  }

  start();
  return {
    name,
    lines,
    kill: () => end('SIGKILL'),
    async hold(signal = 'SIGKILL') {
      isHeld = true;
      await end(signal);
      child = undefined;
    },
    release() {
      if (!isHeld) return;
      isHeld = false;
      start();
    },
  };
}
