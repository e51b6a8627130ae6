import { availableParallelism } from 'node:os';
import { readTextFile } from '../files.ts';

type Read = (path: string) => string | undefined;

/** Whole cores this process may use, at least 1: what the scheduler allows, further limited by the cgroups' CPU quota. */
export function allowedCores(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(quotaCores(readTextFile))));
}

/**
 * Cores by the smallest CPU quota of the process' cgroup and of those above it, Infinity without any; v2 and v1. A container
 * sees its own cgroup at the root of the mount, where its path may not exist: that root always counts.
 */
export function quotaCores(read: Read): number {
  const lines = (read('/proc/self/cgroup') ?? '').split('\n').map((line) => line.split(':'));
  const pathOf = (has: (controllers: string) => boolean) =>
    lines.find(([, controllers]) => has(controllers ?? '-'))?.[2];
  const unified = folders(
    '/sys/fs/cgroup',
    pathOf((controllers) => controllers === ''),
  );
  const cpu = folders(
    '/sys/fs/cgroup/cpu',
    pathOf((controllers) => controllers.split(',').includes('cpu')),
  );
  return Math.min(...unified.map((folder) => quotaOfV2(folder, read)), ...cpu.map((folder) => quotaOfV1(folder, read)));
}

/** The mount and every folder on the way down to `path`. */
function folders(mount: string, path = '/'): string[] {
  const steps = path.split('/').filter((step) => step !== '');
  return [mount, ...steps.map((_, depth) => `${mount}/${steps.slice(0, depth + 1).join('/')}`)];
}

/** `cpu.max` reads "QUOTA PERIOD" in microseconds, or "max PERIOD". */
function quotaOfV2(folder: string, read: Read): number {
  const [quota, period] = (read(`${folder}/cpu.max`) ?? 'max').trim().split(' ');
  return coresOf(quota, period);
}

/** A file for each, in microseconds; a quota of -1 is none. */
function quotaOfV1(folder: string, read: Read): number {
  return coresOf(read(`${folder}/cpu.cfs_quota_us`), read(`${folder}/cpu.cfs_period_us`));
}

function coresOf(quota: string | undefined, period: string | undefined): number {
  const cores = Number(quota) / Number(period);
  return cores > 0 ? cores : Number.POSITIVE_INFINITY;
}
