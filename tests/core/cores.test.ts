import { availableParallelism } from 'node:os';
import { describe, expect, it } from '@jest/globals';
import { allowedCores, quotaCores } from '../../functions/core/observe/cores.ts';

const read = (files: Readonly<Record<string, string>>) => (path: string) => files[path];
const v2 = (path: string, quotas: Readonly<Record<string, string>>) =>
  quotaCores(read({ '/proc/self/cgroup': `0::${path}\n`, ...quotas }));

describe('quotaCores', () => {
  it.each([
    ['max 100000\n', Number.POSITIVE_INFINITY],
    ['200000 100000\n', 2],
    ['150000 100000\n', 1.5],
    ['50000 100000\n', 0.5],
  ])('reads cpu.max of cgroup v2: %j', (text, cores) => {
    expect(v2('/', { '/sys/fs/cgroup/cpu.max': text })).toBe(cores);
  });

  it('takes the smallest quota on the way to the cgroup of the process', () => {
    const cores = v2('/system.slice/understudy.service', {
      '/sys/fs/cgroup/system.slice/cpu.max': '300000 100000\n',
      '/sys/fs/cgroup/system.slice/understudy.service/cpu.max': '400000 100000\n',
    });

    expect(cores).toBe(3);
  });

  it('reads the quota of a container that sees the path of its host', () => {
    expect(v2('/kubepods/pod1/c1', { '/sys/fs/cgroup/cpu.max': '100000 100000\n' })).toBe(1);
  });

  it.each([
    ['-1\n', Number.POSITIVE_INFINITY],
    ['250000\n', 2.5],
  ])('reads cpu.cfs_quota_us of cgroup v1: %j', (quota, cores) => {
    const files = {
      '/proc/self/cgroup': '5:memory:/\n4:cpu,cpuacct:/group\n',
      '/sys/fs/cgroup/cpu/group/cpu.cfs_quota_us': quota,
      '/sys/fs/cgroup/cpu/group/cpu.cfs_period_us': '100000\n',
    };

    expect(quotaCores(read(files))).toBe(cores);
  });

  it('is unlimited where there are no cgroups', () => {
    expect(quotaCores(() => undefined)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('allowedCores', () => {
  it('is a whole number from 1 to what the scheduler allows', () => {
    expect(allowedCores()).toBeGreaterThanOrEqual(1);
    expect(allowedCores()).toBeLessThanOrEqual(availableParallelism());
    expect(Number.isInteger(allowedCores())).toBe(true);
  });
});
