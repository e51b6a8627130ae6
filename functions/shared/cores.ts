import { availableParallelism } from 'node:os';
import { readTextFile } from './files.ts';

/** Whole cores this process may use, at least 1: what the scheduler allows, further limited by the cgroup's CPU quota. */
export function allowedCores(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(quotaCores())));
}

/** `cpu.max` of cgroup v2 reads "QUOTA PERIOD" in microseconds or "max PERIOD"; cgroup v1 has a file for each, -1 for none. */
function quotaCores(): number {
  const [quota, period] = readTextFile('/sys/fs/cgroup/cpu.max')?.trim().split(' ') ?? [
    readTextFile('/sys/fs/cgroup/cpu/cpu.cfs_quota_us')?.trim(),
    readTextFile('/sys/fs/cgroup/cpu/cpu.cfs_period_us')?.trim(),
  ];
  const cores = Number(quota) / Number(period);
  return cores > 0 ? cores : Number.POSITIVE_INFINITY;
}
