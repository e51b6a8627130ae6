import type { EndState } from './job.ts';

/** What a delivery of a job led to. */
export type Outcome =
  /** The job has ended, now or before: the delivery is done with. A job that is `dead` failed for no fault of the upload. */
  | { readonly status: 'ended'; readonly state: EndState; readonly isDead: boolean }
  /** The job is to be delivered again, not sooner than this: no model can answer now, or its run failed. */
  | {
      readonly status: 'later';
      readonly afterMs: number;
      /** Not later than this: other models may answer then. */
      readonly withinMs: number;
      readonly deadlineAt: number;
      readonly attempts: number;
      readonly cause: string;
    }
  /** The store has no such job of this task, or no more: the delivery is done with. */
  | { readonly status: 'unknown' };

/** Runs the jobs of one task, one at a time. */
export interface Runner {
  /**
   * Runs a job, or finds that it needs no run any more. Waits until no synchronous request needs the workers.
   * @param signal aborted when the process ends: the job is put back then
   * Rejects where the store cannot be reached; the job is to be delivered again then.
   */
  run(id: string, signal: AbortSignal): Promise<Outcome>;
}
