import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { setSessionNiceness } from './session.ts';

// The first restart is quick, the next ones back off.
const firstDelayMs = 250;
const longestDelayMs = 10_000;
// A program that ran this long was healthy: its next restart is quick again.
const healthyAfterMs = 10_000;
// Its last output is read within this time; an orphaned child may keep the pipe open for ever.
const lastWordsMs = 500;

export interface Program {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env: NodeJS.ProcessEnv;
  /** Its working folder. @default this process's own */
  readonly cwd?: string;
  /** Of its session: how far all of the program gives way to others, -20 to 19. @default 0 */
  readonly niceness?: number;
  /** Runs before every start, for example to remove sockets of a killed process. */
  readonly prepare?: () => void;
}

/** Receives a program's output and the messages about it. */
export interface Audience {
  say(text: string): void;
  /** The program ended by itself before it was trusted. */
  giveUp(text: string): void;
  /** Must read all of it: a program blocks on a full pipe, and its clients with it. */
  readOutput(stdout: Readable, stderr: Readable): void;
}

/** A program that is restarted whenever it ends. */
export interface Supervised {
  /** From now on it is restarted even when it ends by itself; before that, it counts as unable to start. */
  trust(): void;
  /** Sends `signal`, and SIGKILL after `graceMs`. */
  stop(signal: NodeJS.Signals, graceMs: number): Promise<void>;
  /** Sends a signal that does not end it; nothing comes of it between two runs. */
  signal(signal: NodeJS.Signals): void;
  /** SIGKILL, at once. */
  kill(): void;
}

/** Starts a program in its own process group (the terminal's Ctrl-C reaches only this process) and restarts it with growing delays. */
export function supervise(program: Program, { say, giveUp, readOutput }: Audience): Supervised {
  const [file, ...args] = program.command;
  const { env, cwd, niceness = 0 } = program;
  let child: ChildProcess | undefined;
  let isTrusted = false;
  let isStopping = false;
  let delayMs = firstDelayMs;

  function start(): void {
    program.prepare?.();
    const startedAt = Date.now();
    const started = spawn(file, args, { detached: true, env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    child = started;
    readOutput(started.stdout, started.stderr);
    started.once('spawn', () => {
      say(`${program.name} is process ${started.pid}`);
      if (niceness !== 0) void setSessionNiceness(started.pid as number, niceness);
    });
    started.once('error', (fault) => giveUp(`${program.name} could not be started: ${fault.message}`));
    started.once('exit', async (code, signal) => {
      if (isStopping) return;
      killGroup(started); // nginx's workers survive a killed master and would keep its port
      await untilRead(started);
      if (isStopping) return;
      const how = signal ?? `exit code ${code}`;
      if (!isTrusted && signal === null) return giveUp(`${program.name} could not start (${how}); it says why above`);
      if (Date.now() - startedAt >= healthyAfterMs) delayMs = firstDelayMs;
      say(`${program.name} ended (${how}), starts again in ${delayMs} ms`);
      setTimeout(() => isStopping || start(), delayMs);
      delayMs = Math.min(delayMs * 2, longestDelayMs);
    });
  }

  start();
  return {
    trust: () => {
      isTrusted = true;
    },
    stop: async (signal, graceMs) => {
      isStopping = true;
      if (child === undefined || !isRunning(child)) return;
      const ended = once(child, 'exit');
      child.kill(signal);
      const cancel = new AbortController();
      const grace = sleep(graceMs, 'late', { signal: cancel.signal }).catch(() => 'canceled');
      if ((await Promise.race([ended, grace])) === 'late') {
        say(`${program.name} did not end within ${graceMs} ms and is killed`);
        killGroup(child);
        await ended;
      }
      cancel.abort();
      await untilRead(child);
    },
    signal: (signal) => {
      if (child !== undefined && isRunning(child)) child.kill(signal);
    },
    kill: () => {
      isStopping = true;
      if (child !== undefined && isRunning(child)) killGroup(child);
    },
  };
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

async function untilRead({ stdout, stderr }: ChildProcess): Promise<void> {
  const isOpen = () => [stdout, stderr].some((stream) => stream?.readableEnded === false && !stream.destroyed);
  for (const end = Date.now() + lastWordsMs; isOpen() && Date.now() < end; ) await sleep(5);
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'ESRCH') throw fault; // the group is already gone
  }
}
