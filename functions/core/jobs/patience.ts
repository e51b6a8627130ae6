import type { Job } from './job.ts';

type Patience = Pick<Job, 'createdAt' | 'deadlineAt'>;

/** Until that much of its patience is left, a job waits for the lead model. */
const lastShare = 0.1;

/** So often a job is looked at in the end. */
const shortestMs = 100;

/** Of the patience of a job, other models than the lead model have what comes then. */
export function lastAt({ createdAt, deadlineAt }: Patience): number {
  return deadlineAt - (deadlineAt - createdAt) * lastShare;
}

/** Milliseconds after which a job must be looked at again: as soon as other models may answer, and more than once after that. */
export function withinMs(job: Patience, nowAt: number): number {
  const leftMs = lastAt(job) - nowAt;
  return Math.max(shortestMs, Math.ceil(leftMs > 0 ? leftMs : (job.deadlineAt - nowAt) / 2));
}
