import { isJobId, type Job, type JobAsk } from './job.ts';

export const eventType = 'io.understudy.job.v1';

/** A claim check: what a queue holds of a job, in the form of CloudEvents 1.0. The upload stays in the store. */
export interface JobEvent {
  readonly specversion: '1.0';
  /** Of the job. */
  readonly id: string;
  readonly source: '/jobs';
  readonly type: typeof eventType;
  /** When the job was accepted, RFC 3339. */
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: JobEventData;
}

export interface JobEventData {
  readonly task: string;
  readonly parameters: JobAsk & { readonly strict: boolean };
  readonly photo: {
    readonly uri: string;
    /** Lowercase hexadecimal. */
    readonly sha256: string;
    readonly bytes: number;
    readonly mediaType: string;
  };
  /** RFC 3339. */
  readonly deadline: string;
  readonly requestId: string;
  /** How often its run has failed before. */
  readonly attempts: number;
}

/** @param uriOf the address of a key of the store */
export function toEvent(job: Job, uriOf: (key: string) => string): JobEvent {
  const { key, ...photo } = job.photo;
  return {
    specversion: '1.0',
    id: job.id,
    source: '/jobs',
    type: eventType,
    time: new Date(job.createdAt).toISOString(),
    datacontenttype: 'application/json',
    data: {
      task: job.task,
      parameters: { ...job.ask, strict: job.strict },
      photo: { uri: uriOf(key), ...photo },
      deadline: new Date(job.deadlineAt).toISOString(),
      requestId: job.requestId,
      attempts: job.attempts,
    },
  };
}

/** What a runner needs of an event: which job, and whether its task is the runner's. Undefined for anything else than a job's event. */
export function readEvent(event: unknown): { readonly id: string; readonly task: string } | undefined {
  const { type, id, data } = (event ?? {}) as { type?: unknown; id?: unknown; data?: { task?: unknown } | null };
  if (type !== eventType || typeof id !== 'string' || !isJobId(id) || typeof data?.task !== 'string') return undefined;
  return { id, task: data.task };
}
