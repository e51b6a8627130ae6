import type { JobEvent } from './event.ts';

/** Jobs that wait for a run. */
export interface Backlog {
  readonly count: number;
  /** When the oldest of them was accepted, in milliseconds since 1970; undefined where none waits. */
  readonly oldestAt: number | undefined;
}

/**
 * Brings accepted jobs to a runner, each at least once and in no certain order. The record says what became of a job, not the queue, so
 * that a job that is sent or delivered again ends once all the same.
 */
export interface Queue {
  /** Settles once the job is sure to be delivered; rejects where the queue cannot be reached. */
  send(event: JobEvent): Promise<void>;
  /** The jobs of a task that any process has sent and none has run; up to a second old. Rejects where the queue cannot be reached. */
  backlog(task: string): Promise<Backlog>;
  /** Takes no more and lets go of what it holds. */
  close(): Promise<void>;
}
