import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress, Result } from '../chain/answer.ts';
import { serverTiming, sumStages } from '../chain/encode.ts';
import { Problem, toProblemJson } from '../problem.ts';
import type { Encoded } from '../task.ts';
import { type EndState, type Job, resultsPrefix } from './job.ts';
import { withinMs } from './patience.ts';
import type { Ending, Kept, Records } from './records.ts';
import type { Outcome } from './runner.ts';
import type { Store } from './store.ts';

/** Which models may answer: the lead model alone while there is time to wait for it. */
export type Models = 'lead' | 'last' | 'any';

/** What came of a run. */
export interface JobRun {
  readonly models: Models;
  readonly progress: Progress | undefined;
  /** What answered and how, or why nothing did. */
  readonly answer: { readonly result: Result; readonly encoded: Required<Encoded> } | Problem;
}

type Given = Exclude<JobRun['answer'], Problem>;

/** So many runs may fail or never end, as when the process dies of the upload. */
export const maxAttempts = 4;

/** Writes down what came of a run. */
export interface Endings {
  /** Of a job that has ended. */
  outcomeOf(job: Job): Outcome;
  later(job: Job, afterMs: number, cause: string): Outcome;
  fail(job: Job, problem: Problem, isDead: boolean): Promise<Outcome>;
  /** @param ending aborted when the function ends: the job is put back then, as if it had not run */
  settle(
    running: Kept<Job>,
    run: JobRun,
    ending: AbortSignal,
  ): Promise<{ readonly outcome: Outcome; readonly ended: Job }>;
}

export interface EndingsOptions {
  readonly store: Store;
  readonly records: Records;
  readonly now: () => number;
  /** Pause after a run that did not come to the model. */
  readonly againMs: number;
}

/** After the first failed run, the second and the third: 1 s, 5 s, 25 s. What is broken for longer is no accident. */
const failedMs = (attempts: number) => 1000 * 5 ** (attempts - 1);

/** While the store takes no result: it is held in memory, and other jobs could not be written either. */
const storePauseMs = { first: 250, longest: 10_000 };

export function createEndings({ store, records, now, againMs }: EndingsOptions): Endings {
  const outcomeOf = (job: Job): Outcome => ({
    status: 'ended',
    state: job.state as EndState,
    isDead: job.isDead ?? false,
  });
  const later = (job: Job, afterMs: number, cause: string): Outcome => {
    const mostMs = withinMs(job, now());
    const { deadlineAt, attempts } = job;
    return { status: 'later', afterMs: Math.min(afterMs, mostMs), withinMs: mostMs, deadlineAt, attempts, cause };
  };

  async function end(job: Job, ending: Ending): Promise<{ readonly outcome: Outcome; readonly ended: Job }> {
    const kept = await records.end(job.id, ending);
    if (!kept) return { outcome: { status: 'unknown' }, ended: job };
    return { outcome: outcomeOf(kept.record), ended: kept.record };
  }

  function endFailed(job: Job, problem: Problem, isDead: boolean) {
    const body = toProblemJson(problem, job.requestId) as Job['problem'];
    return end(job, { state: 'failed', ...(body && { problem: body }), ...(isDead && { isDead }) });
  }

  async function putBack({ record, etag }: Kept<Job>, { afterMs = 0, attempts = record.attempts - 1, cause = '' }) {
    const kept = await records.change({ record, etag }, { state: 'waiting', attempts });
    const job = kept?.record ?? record;
    return { outcome: later(job, afterMs, cause), ended: job };
  }

  async function settleProblem(running: Kept<Job>, problem: Problem, run: JobRun, isEnding: boolean) {
    const { record: job } = running;
    if (problem.status < 500) return endFailed(job, problem, false);
    if (isEnding) return putBack(running, { cause: 'the function ends' });
    if (job.deadlineAt <= now()) return end(job, { state: 'expired' });
    const cause = String(problem.cause ?? problem.code);
    if (!hasFailed(problem, run)) return putBack(running, { afterMs: againMs, cause });
    const { attempts } = job;
    if (attempts >= maxAttempts) return endFailed(job, Problem.internal(problem.cause), true);
    return putBack(running, { afterMs: failedMs(attempts), attempts, cause });
  }

  /** @param key one for all tries, so that none leaves another result behind */
  async function settleResult({ record: job }: Kept<Job>, given: Given, run: JobRun, key: string) {
    const { contentType, body, headers } = given.encoded;
    const stages = sumStages(run.progress?.steps ?? []);
    await store.put(key, Buffer.from(body));
    const settled = await end(job, {
      state: 'succeeded',
      result: { key, contentType, headers: { ...headers, 'server-timing': serverTiming(stages) } },
    });
    const isCounted = settled.ended.result?.key === key;
    if (!isCounted)
      await store.delete(key); // another runner was faster
    else if (job.attempts > 1) await eraseOthers(job.id, key);
    return settled;
  }

  /** What runs have left that were killed once they had written their result. */
  async function eraseOthers(id: string, kept: string): Promise<void> {
    for await (const key of store.list(resultsPrefix(id))) if (key !== kept) await store.delete(key);
  }

  return {
    outcomeOf,
    later,
    fail: async (job, problem, isDead) => (await endFailed(job, problem, isDead)).outcome,
    settle(running, run, ending) {
      const { id, attempts } = running.record;
      const key = `${resultsPrefix(id)}${attempts}-${randomBytes(4).toString('hex')}`;
      const { answer } = run;
      return persist(
        () =>
          answer instanceof Problem
            ? settleProblem(running, answer, run, ending.aborted)
            : settleResult(running, answer, run, key),
        ending,
      );
    },
  };
}

/** Whether the upload got as far as a model, or to a fault of ours: each such run counts. */
function hasFailed({ code }: Problem, { progress }: JobRun): boolean {
  return (
    code === 'INTERNAL' || (progress?.misses.some(({ status }) => status === 'error' || status === 'timeout') ?? false)
  );
}

/** Until the store takes it, so that no run is done again for a disk that is full. Rejects when the function ends before. */
async function persist<T>(write: () => Promise<T>, ending: AbortSignal): Promise<T> {
  for (let pauseMs = storePauseMs.first; ; pauseMs = Math.min(2 * pauseMs, storePauseMs.longest)) {
    try {
      return await write();
    } catch (fault) {
      if (ending.aborted) throw fault;
      await sleep(pauseMs, undefined, { signal: ending }).catch(() => {});
    }
  }
}
