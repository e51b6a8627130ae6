import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { processIds, readProc, statFields, ticksPerSecond } from '../proc.ts';

/** How long a server may take to end after SIGTERM. */
const graceMs = 3_000;

/** A program with every process that descends from it. */
export interface ProcessTree {
  /** Ids of its processes that are alive. */
  members(): readonly number[];
  /** Processor seconds of those processes since their start, with those of their ended children. */
  cpuSeconds(): number;
  /** Their memory in MB (proportional set size: a shared page counts once). */
  proportionalMb(): number;
  /** Sends SIGTERM to the program, then SIGKILL to the processes that are left. */
  stop(): Promise<void>;
}

/**
 * Starts a program whose output goes to a file. A process belongs to the tree by its parent or by a mark in its environment:
 * some outlive their parent, and some overwrite their environment with a title.
 */
export function startTree([file, ...args]: readonly [string, ...string[]], logPath: string): ProcessTree {
  const mark = randomUUID();
  const log = openSync(logPath, 'a');
  const env = { ...process.env, UNDERSTUDY_TREE: mark };
  const child = spawn(file, args, { env, stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  child.once('error', () => {}); // the caller notices that no process is left
  /** Start time by process id: the kernel gives the id of an ended process to another one. */
  const known = new Map<number, string>();

  function members(): readonly number[] {
    const stats = new Map(processIds().map((pid) => [pid, statFields(pid)]));
    for (const [pid, startedAt] of known) if (stats.get(pid)?.[startTime] !== startedAt) known.delete(pid);
    for (let found = -1; found !== known.size; ) {
      found = known.size;
      for (const [pid, fields] of stats) {
        if (known.has(pid) || fields.length === 0) continue;
        const isOurs =
          pid === child.pid || known.has(Number(fields[parent])) || readProc(`${pid}/environ`).includes(mark);
        if (isOurs) known.set(pid, fields[startTime] ?? '');
      }
    }
    return [...known.keys()].filter((pid) => stats.get(pid)?.[state] !== 'Z');
  }

  function signal(pid: number, name: NodeJS.Signals): void {
    try {
      process.kill(pid, name);
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== 'ESRCH') throw fault; // it has ended
    }
  }

  return {
    members,
    cpuSeconds: () => members().reduce((sum, pid) => sum + cpuSecondsOf(pid), 0),
    proportionalMb: () => members().reduce((sum, pid) => sum + proportionalMb(pid), 0),
    async stop() {
      if (child.pid !== undefined && members().includes(child.pid)) signal(child.pid, 'SIGTERM');
      for (let waitedMs = 0; waitedMs < graceMs && members().length > 0; waitedMs += 50) await sleep(50);
      for (let left = members(); left.length > 0; left = members()) {
        for (const pid of left) signal(pid, 'SIGKILL');
        await sleep(50);
      }
    },
  };
}

/** Places in what `statFields` returns. */
const [state, parent, startTime] = [0, 1, 19];

function cpuSecondsOf(pid: number): number {
  const ticks = statFields(pid).slice(11, 15); // user and system, of the process and of its ended children
  return ticks.reduce((sum, field) => sum + Number(field), 0) / ticksPerSecond;
}

function proportionalMb(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(readProc(`${pid}/smaps_rollup`))?.[1] ?? 0) / 1024;
}
