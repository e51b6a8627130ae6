import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { processIds, readProc, statFields, ticksPerSecond } from '../proc.ts';

/** How long a server may take over SIGTERM when nobody measures it. */
const graceMs = 3_000;
const markName = 'PEERS_RUN';

/** A program with all processes that came from it, wherever they have gone since. */
export interface ProcessTree {
  readonly child: ChildProcess;
  /** Processes that are alive now. */
  members(): readonly number[];
  /** Processor seconds of all of them since their start. */
  cpuSeconds(): number;
  /** Memory of all of them in MB, pages that they share counted once. */
  proportionalMb(): number;
  /** Ends all of them: SIGTERM to the first, then SIGKILL to whoever is left. */
  stop(): Promise<void>;
}

/**
 * Starts a program whose output goes to a file. Its processes are known by their ancestry and by a mark in their environment,
 * so those that outlive their parent are found, too.
 */
export function startTree(
  command: readonly [string, ...string[]],
  { env, cwd, logPath }: { env: Readonly<Record<string, string>>; cwd: string; logPath: string },
): ProcessTree {
  const mark = `${markName}=${randomUUID()}`;
  const [file, ...args] = command;
  const log = openSync(logPath, 'a');
  const child = spawn(file, args, {
    cwd,
    env: { ...process.env, ...env, [markName]: mark.slice(markName.length + 1) },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  child.once('error', () => {}); // seen by who waits for its first answer, as no process is left
  /** Start time by process id: an id that is given to another process later is not ours. */
  const known = new Map<number, string>();
  /** The same of others, whose environment need not be read again. */
  const strangers = new Map<number, string>();

  function members(): readonly number[] {
    const stats = new Map(processIds().map((pid) => [pid, readStat(pid)]));
    for (const [pid, startedAt] of known) if (stats.get(pid)?.startedAt !== startedAt) known.delete(pid);
    for (let found = true; found; ) {
      found = false;
      for (const [pid, stat] of stats) {
        if (stat === undefined || known.has(pid)) continue;
        const isKin = pid === child.pid || known.has(stat.parent);
        if (!isKin && strangers.get(pid) === stat.startedAt) continue;
        if (isKin || readProc(`${pid}/environ`).includes(mark)) {
          known.set(pid, stat.startedAt);
          found = true;
        } else {
          strangers.set(pid, stat.startedAt);
        }
      }
    }
    return [...known.keys()].filter((pid) => stats.get(pid)?.state !== 'Z');
  }

  function signal(pid: number, name: NodeJS.Signals): void {
    try {
      process.kill(pid, name);
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== 'ESRCH') throw fault; // it has ended
    }
  }

  return {
    child,
    members,
    cpuSeconds: () => members().reduce((sum, pid) => sum + (readStat(pid)?.cpuSeconds ?? 0), 0),
    proportionalMb: () => members().reduce((sum, pid) => sum + readPssMb(pid), 0),
    stop: async () => {
      const running = members();
      if (child.pid !== undefined && running.includes(child.pid)) signal(child.pid, 'SIGTERM');
      for (let waitedMs = 0; waitedMs < graceMs && members().length > 0; waitedMs += 50) await sleep(50);
      for (let left = members(); left.length > 0; left = members()) {
        for (const pid of left) signal(pid, 'SIGKILL');
        await sleep(50);
      }
    },
  };
}

/** Processor seconds that a running process has used, its ended children included; 0 when it has ended. */
export function cpuSecondsOf(pid: number): number {
  return readStat(pid)?.cpuSeconds ?? 0;
}

interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly startedAt: string;
  readonly cpuSeconds: number;
}

function readStat(pid: number): Stat | undefined {
  const fields = statFields(pid);
  if (fields.length === 0) return undefined;
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0); // own and ended children's
  return {
    state: fields[0] ?? '',
    parent: Number(fields[1]),
    startedAt: fields[19] ?? '',
    cpuSeconds: ticks / ticksPerSecond,
  };
}

function readPssMb(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(readProc(`${pid}/smaps_rollup`))?.[1] ?? 0) / 1024;
}
