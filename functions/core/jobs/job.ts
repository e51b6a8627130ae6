/** A job has one of the last four states in the end, and keeps it. */
export type JobState = 'waiting' | 'running' | EndState;

export type EndState = 'succeeded' | 'failed' | 'expired' | 'canceled';

/** What a client asked for beside the upload: as much of the request as its task reads. */
export interface JobAsk {
  /** The query string, without the question mark. */
  readonly query: string;
  /** By name in lower case; those of `askHeaders` that were sent. */
  readonly headers: Readonly<Record<string, string>>;
  /** The name of the door by which it came, whose form the answer has. @default none: the task's own path */
  readonly door?: string;
  /** Whether clients of that door look for a problem's detail in `error`, too. */
  readonly tellsError?: true;
}

/** Headers that tasks read: Task.parse gets no others of a job. */
export const askHeaders = ['accept', 'accept-language'] as const;

/** The upload as it lies in the store. */
export interface JobPhoto {
  readonly key: string;
  /** Lowercase hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
  readonly mediaType: string;
}

/** An answer as it lies in the store: its body under `key`, the rest here. */
export interface JobResult {
  readonly key: string;
  readonly contentType: string;
  /** Further headers of the synchronous answer. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The body of the problem document that a synchronous request would have been answered with. */
export type JobProblem = Readonly<Record<string, string | number>>;

/** A job as its record says; every time is in milliseconds since 1970. */
export interface Job {
  /** 26 characters of a to z and 2 to 7, which cannot be guessed. */
  readonly id: string;
  /** The name of its task. */
  readonly task: string;
  readonly state: JobState;
  /** Runs that have begun and did not end in order, the present one included. */
  readonly attempts: number;
  readonly createdAt: number;
  /** From then on the job is `expired`. */
  readonly deadlineAt: number;
  readonly startedAt?: number;
  /** The process that began its last run. */
  readonly claim?: string;
  readonly endedAt?: number;
  readonly ask: JobAsk;
  /** Whether only the lead model will do, at the deadline as well. */
  readonly strict: boolean;
  readonly photo: JobPhoto;
  /** Of the upload and all that was asked: a repeat under the same Idempotency-Key must have the same. */
  readonly fingerprint: string;
  /** Of the request that was answered with 202; goes on to the log line of the result. */
  readonly requestId: string;
  readonly callbackUrl?: string;
  /** Of a job that succeeded. */
  readonly result?: JobResult;
  /** Of a job that failed. */
  readonly problem?: JobProblem;
  /** Failed as often as it may, for no fault of the upload: an operator may have it run again. */
  readonly isDead?: boolean;
}

/** What is left of a job whose retention has passed: so long a client is told that it was there. */
export interface Tombstone {
  readonly id: string;
  readonly task: string;
  readonly state: 'gone';
  readonly goneAt: number;
}

export type JobRecord = Job | Tombstone;

export function hasEnded({ state }: JobRecord): boolean {
  return state !== 'waiting' && state !== 'running';
}

/** Where a job's record lies in the store: the one file that says what has become of it. */
export function recordKey(id: string): string {
  return `records/${id}`;
}

/** Where the results of a job's runs lie; the record says which one counts. */
export function resultsPrefix(id: string): string {
  return `results/${id}/`;
}

/** There is a marker for each job that is dead. */
export function deadPrefix(task: string): string {
  return `dead/${task}/`;
}

export function deadKey({ task, id }: Pick<Job, 'task' | 'id'>): string {
  return `${deadPrefix(task)}${id}`;
}

/** Whether a text may be the id of a job. */
export function isJobId(text: string): boolean {
  return /^[a-z2-7]{26}$/.test(text);
}

export function encodeRecord(record: JobRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

export function decodeRecord(bytes: Uint8Array): JobRecord {
  return JSON.parse(Buffer.from(bytes).toString());
}
