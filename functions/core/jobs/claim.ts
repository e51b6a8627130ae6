import { hostname } from 'node:os';
import type { Job } from './job.ts';

/** Longer than a run takes that overstays: the number of a process that was killed may be another's by then. */
const longestMs = 60_000;

/** Of this process, in the records of the jobs that it runs. */
export const ownClaim = `${hostname()} ${process.pid}`;

/** Whether another process of this machine runs the job. Of one elsewhere nothing is known: its job is run again, and ends once. */
export function isRunElsewhere({ state, startedAt = 0, claim }: Job, nowAt: number): boolean {
  if (state !== 'running' || claim === undefined || claim === ownClaim) return false;
  const [host, pid] = claim.split(' ');
  return host === hostname() && nowAt - startedAt < longestMs && isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code === 'EPERM'; // it is another user's
  }
}
