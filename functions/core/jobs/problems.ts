import type { ProblemTable } from '../problem.ts';

/** The faults of jobs. */
export const jobProblems = {
  JOB_NOT_FOUND: { code: 'JOB_NOT_FOUND', status: 404, title: 'Job not found' },
  JOB_EXPIRED: { code: 'JOB_EXPIRED', status: 410, title: 'Job expired' },
  JOB_NOT_ENDED: { code: 'JOB_NOT_ENDED', status: 409, title: 'Job not ended' },
  JOB_NOT_WAITING: { code: 'JOB_NOT_WAITING', status: 409, title: 'Job not waiting' },
  JOB_CANCELED: { code: 'JOB_CANCELED', status: 409, title: 'Job canceled' },
  JOBS_FULL: { code: 'JOBS_FULL', status: 429, title: 'Too many jobs' },
  JOBS_UNAVAILABLE: { code: 'JOBS_UNAVAILABLE', status: 503, title: 'Jobs unavailable' },
  IDEMPOTENCY_CONFLICT: { code: 'IDEMPOTENCY_CONFLICT', status: 422, title: 'Idempotency-Key in use' },
  UPLOAD_LOST: { code: 'UPLOAD_LOST', status: 500, title: 'Upload lost' },
} as const satisfies ProblemTable & Readonly<Record<string, { readonly code: string }>>;
