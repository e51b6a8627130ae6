import { randomBytes } from 'node:crypto';
import { Problem } from '../problem.ts';
import type { Due } from './due.ts';
import { toEvent } from './event.ts';
import { digest, fingerprintOf, idOf, readSecret } from './identity.ts';
import type { Job, JobAsk, Tombstone } from './job.ts';
import { jobProblems } from './problems.ts';
import type { Queue } from './queue.ts';
import type { Kept, Records } from './records.ts';
import type { Store } from './store.ts';

/** A request for a job, its upload judged and whole. */
export interface Order {
  readonly task: string;
  readonly ask: JobAsk;
  readonly strict: boolean;
  readonly requestId: string;
  /** The client's patience. */
  readonly deadlineMs: number;
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  /** The name of the client's API key, where the ingress asks for one: clients do not meet each other's jobs. */
  readonly owner: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly callbackUrl: string | undefined;
}

export interface Desk {
  /**
   * Takes a job; once this settles, upload and job are durable. A repeat gets the job that there is, also when both come at once.
   * @param retryAfter seconds until some of so many waiting jobs are done
   * @throws Problem JOBS_FULL | IDEMPOTENCY_CONFLICT | JOBS_UNAVAILABLE
   */
  accept(order: Order, retryAfter: (waiting: number) => string): Promise<Kept<Job>>;
}

export interface DeskOptions {
  readonly store: Store;
  readonly queue: Queue;
  readonly records: Records;
  readonly due: Due;
  /** Most jobs of a task that wait. */
  readonly max: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/**
 * Upload first, then the record, then the queue: what is not finished when the process is killed was never accepted, can be repeated,
 * and goes by itself at the deadline.
 */
export function createDesk({ store, queue, records, due, max, now = Date.now }: DeskOptions): Desk {
  let secret: Promise<Uint8Array> | undefined;
  let taking = 0;

  async function identify(order: Order) {
    secret ??= readSecret(store).catch((fault) => {
      secret = undefined;
      throw fault;
    });
    const sha256 = await digest(order.bytes);
    const fingerprint = await fingerprintOf({ ...order, sha256 });
    return { sha256, fingerprint, id: idOf(await secret, order, fingerprint) };
  }

  async function take(order: Order, retryAfter: (waiting: number) => string): Promise<Kept<Job>> {
    const job = jobOf(order, await identify(order), now());
    for (let isStored = false; ; isStored = true) {
      const known = await records.read(job.id);
      if (known && known.record.state !== 'gone') {
        if (isStored) await store.delete(job.photo.key);
        return repeat(known as Kept<Job>, job);
      }
      const { count } = await queue.backlog(order.task);
      if (count + taking > max) throw full(max, retryAfter(count));
      await due.open(job);
      await store.put(job.photo.key, order.bytes);
      if (await records.create(job, known as Kept<Tombstone> | undefined)) return send(await find(job.id));
      // Another request was faster: its job is there now, or what was gone has been removed.
    }
  }

  async function find(id: string): Promise<Kept<Job>> {
    const kept = await records.read(id);
    if (kept && kept.record.state !== 'gone') return kept as Kept<Job>;
    throw new Error('Expected the record that was just written but received none');
  }

  /** What a repeat is answered with: the job that there is, sent once more where the first request may not have come to that. */
  async function repeat(known: Kept<Job>, job: Job): Promise<Kept<Job>> {
    if (known.record.fingerprint === job.fingerprint) return send(known);
    const detail = 'Expected the same request for this Idempotency-Key but received another upload or other parameters';
    throw new Problem(jobProblems.IDEMPOTENCY_CONFLICT, detail);
  }

  async function send(kept: Kept<Job>): Promise<Kept<Job>> {
    if (kept.record.state === 'waiting') await queue.send(toEvent(kept.record, store.uri));
    return kept;
  }

  return {
    async accept(order, retryAfter) {
      taking += 1;
      try {
        return await take(order, retryAfter);
      } catch (fault) {
        throw fault instanceof Problem ? fault : unavailable(fault);
      } finally {
        taking -= 1;
      }
    },
  };
}

function jobOf(order: Order, identity: { sha256: string; fingerprint: string; id: string }, createdAt: number): Job {
  const { task, ask, strict, requestId, deadlineMs, bytes, mediaType, callbackUrl } = order;
  const { sha256, fingerprint, id } = identity;
  // Of this request alone: what is to be erased of another one with the same id is not this.
  const key = `photos/${id}.${randomBytes(8).toString('hex')}`;
  return {
    id,
    task,
    state: 'waiting',
    attempts: 0,
    createdAt,
    deadlineAt: createdAt + deadlineMs,
    ask,
    strict,
    photo: { key, sha256, bytes: bytes.length, mediaType },
    fingerprint,
    requestId,
    ...(callbackUrl !== undefined && { callbackUrl }),
  };
}

function full(max: number, after: string): Problem {
  const detail = `Expected at most ${max} waiting jobs but received another one`;
  return new Problem(jobProblems.JOBS_FULL, detail, { headers: { 'retry-after': after } });
}

/** Long enough for a broker or a disk to come back, or for an operator to see to it. */
const unavailableS = '5';

/** The store or the queue does not answer, or is full; `busy`, so that the ingress does not take the function for broken. */
export function unavailable(cause: unknown): Problem {
  const detail = 'Expected a store and a queue for the job but received no answer from them';
  const headers = { 'retry-after': unavailableS, 'x-reason': 'busy' };
  return new Problem(jobProblems.JOBS_UNAVAILABLE, detail, { cause, headers });
}
