import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Limits of a process: share of one core, memory. */
export interface Limit {
  readonly coreShare?: number;
  readonly memoryBytes?: number;
}

/** Period of the share of a core in microseconds, the kernel's default. */
const periodUs = 100_000;

const root = '/sys/fs/cgroup';

interface Hierarchy {
  /** Parent of new groups. */
  readonly folder: string;
  /** Line of /proc/PID/cgroup with the group of a process. */
  readonly line: RegExp;
  readonly files: (limit: Limit) => Readonly<Record<string, string>>;
}

/** Version 2 of control groups has one tree with cpu.max and memory.max; version 1 has a tree for each controller. */
function hierarchyFor(limit: Limit): Hierarchy {
  if (existsSync(join(root, 'cgroup.controllers'))) {
    return {
      folder: root,
      line: /^0::(.*)$/m,
      files: ({ coreShare, memoryBytes }) => ({
        ...(coreShare !== undefined && { 'cpu.max': `${coreShare * periodUs} ${periodUs}` }),
        ...(memoryBytes !== undefined && { 'memory.max': String(memoryBytes) }),
      }),
    };
  }
  const controller = limit.coreShare === undefined ? 'memory' : 'cpu';
  return {
    folder: join(root, controller),
    line: new RegExp(`^\\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(.*)$`, 'm'),
    files: ({ coreShare, memoryBytes }) => ({
      ...(coreShare !== undefined && { 'cpu.cfs_quota_us': String(coreShare * periodUs) }),
      ...(memoryBytes !== undefined && { 'memory.limit_in_bytes': String(memoryBytes) }),
    }),
  };
}

/** A control group of its own for a process. */
export interface Group {
  add(pid: number): void;
  /** Moves living processes back to their old groups and removes the group. */
  remove(): Promise<void>;
}

/** Makes a control group with a limit. @throws the system's error where that is not allowed */
export function makeGroup(limit: Limit): Group {
  const { folder, line, files } = hierarchyFor(limit);
  const path = join(folder, `understudy-chaos-${process.pid}`);
  mkdirSync(path);
  try {
    for (const [file, value] of Object.entries(files(limit))) writeFileSync(join(path, file), value);
  } catch (fault) {
    rmdirSync(path);
    throw fault;
  }
  const homes = new Map<number, string>();
  return {
    add(pid) {
      homes.set(pid, line.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '/');
      writeFileSync(join(path, 'cgroup.procs'), String(pid));
    },
    async remove() {
      for (const [pid, home] of homes) {
        try {
          writeFileSync(join(folder, home, 'cgroup.procs'), String(pid));
        } catch {
          // it ended meanwhile
        }
      }
      for (let tries = 50; existsSync(path) && tries > 0; tries -= 1) {
        try {
          rmdirSync(path);
        } catch {
          await sleep(20); // the kernel still removes a killed process
        }
      }
    },
  };
}

/** What control groups lack on this machine. */
export function groupsMissing(limit: Limit): string | undefined {
  try {
    const { folder } = hierarchyFor(limit);
    const path = join(folder, `understudy-chaos-try-${process.pid}`);
    mkdirSync(path);
    const hasFiles = Object.keys(hierarchyFor(limit).files(limit)).every((file) => existsSync(join(path, file)));
    rmdirSync(path);
    return hasFiles ? undefined : 'needs the cpu and memory controllers of a control group';
  } catch {
    return 'needs root and a writable control group';
  }
}

/** Sets the soft limit of a running process, such as `--nofile=20:`. */
export function setLimit(pid: number, option: string): void {
  execFileSync('prlimit', ['--pid', String(pid), option]);
}

/** What `setLimit` lacks on this machine. */
export function prlimitMissing(): string | undefined {
  try {
    execFileSync('prlimit', ['--version']);
    return undefined;
  } catch {
    return 'needs prlimit (util-linux)';
  }
}

/** Mounts a file system of 64 kB over a folder; the returned function unmounts it. */
export function coverWithTinyDisk(folder: string): () => void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0777', 'understudy-chaos', folder], { stdio: 'pipe' });
  return () => void execFileSync('umount', ['-l', folder]); // lazily: a file in it may be open
}
