import { answer, type Progress, type Result } from '../chain/answer.ts';
import { encodeResult } from '../chain/encode.ts';
import { deadlineExceeded } from '../chain/refusal.ts';
import type { Service } from '../chain/service.ts';
import { asProblem, Problem } from '../problem.ts';
import type { Task } from '../task.ts';
import { isRunElsewhere, ownClaim } from './claim.ts';
import { createEndings, type Endings, type JobRun, type Models, maxAttempts } from './endings.ts';
import { digest } from './identity.ts';
import { hasEnded, type Job } from './job.ts';
import { lastAt } from './patience.ts';
import { jobProblems } from './problems.ts';
import type { Kept, Records } from './records.ts';
import type { Outcome, Runner } from './runner.ts';
import type { Store } from './store.ts';
import type { Turns } from './turns.ts';

export interface WorkOptions {
  readonly task: Task;
  readonly service: Service;
  readonly store: Store;
  readonly records: Records;
  readonly turns: Turns;
  /** Told when a run begins, and when it has ended. */
  readonly onBegin?: (isRunning: boolean) => void;
  /** Told of every run, once the store has what came of it. */
  readonly onRun: (job: Job, run: JobRun) => void;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** The longest that Node.js can wait: after a clock was set back, a deadline may be years away. */
const longestTimerMs = 2 ** 31 - 1;

/** When the lead model is asked for again: it loads, is taken out for some seconds, or works for others. */
const againMs = 1000;

/** Runs jobs through the chain of models: the lead model has nearly all of the time that a job has. */
export function createRunner(options: WorkOptions): Runner {
  const { task, records, onRun, now = Date.now } = options;
  const endings = createEndings({ ...options, now, againMs });
  /** A job that was sent twice may come twice at a time. */
  const running = new Set<string>();

  async function run(id: string, signal: AbortSignal): Promise<Outcome> {
    const kept = await records.read(id);
    if (!kept || kept.record.state === 'gone' || kept.record.task !== task.name) return { status: 'unknown' };
    const waiting = kept as Kept<Job>;
    const { record: job } = waiting;
    if (hasEnded(job)) return endings.outcomeOf(job);
    if (running.has(id) || isRunElsewhere(job, now())) return endings.later(job, againMs, 'it runs already');
    // The last of its runs did not end: the process died of it, or with it.
    if (job.attempts >= maxAttempts) return endings.fail(job, Problem.internal(), true);
    const models = tryTo(() => modelsFor(options, job, now()));
    if (models instanceof Problem) return endings.fail(job, models, false);
    if (!models) return endings.later(job, againMs, 'no model that may answer is ready');
    const leaving = new AbortController();
    const timer = setTimeout(() => leaving.abort(deadlineExceeded()), Math.min(job.deadlineAt - now(), longestTimerMs));
    const leave = () => leaving.abort(deadlineExceeded('the function ends'));
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    running.add(id);
    try {
      return await runNow(options, { waiting, models, leaving: leaving.signal, ending: signal, endings, onRun, now });
    } finally {
      running.delete(id);
      clearTimeout(timer);
      signal.removeEventListener('abort', leave);
    }
  }
  return { run };
}

function tryTo<T>(task: () => T): T | Problem {
  try {
    return task();
  } catch (fault) {
    return asProblem(fault);
  }
}

/** Undefined where none of those that may answer is ready. */
function modelsFor({ service, task }: WorkOptions, job: Job, nowAt: number): Models | undefined {
  const { attempts } = job;
  const { chain } = service;
  const [lead] = chain.models;
  if (!isStrict(task, job)) {
    const isLast = nowAt >= lastAt(job);
    if (isLast || attempts === maxAttempts - 1) return service.canAnswer() ? (isLast ? 'last' : 'any') : undefined;
  }
  return chain.isPrimaryServed && lead.pool.isReady() && lead.breaker.retryInMs() === 0 ? 'lead' : undefined;
}

function isStrict(task: Task, job: Job): boolean {
  return job.strict || (task.needsPrimary?.(readAsk(task, job)) ?? false);
}

function encoderOf(task: Task, { ask }: Job): Pick<Task, 'encode'> {
  return Object.values(task.doors ?? {}).find(({ name }) => name === ask.door) ?? task;
}

/** @throws Problem PARAMETER_INVALID */
function readAsk(task: Task, { ask }: Job): unknown {
  return task.parse(new URLSearchParams(ask.query), ask.headers);
}

interface Course {
  readonly waiting: Kept<Job>;
  readonly models: Models;
  /** Aborted at the deadline and when the function ends. */
  readonly leaving: AbortSignal;
  /** Aborted when the function ends. */
  readonly ending: AbortSignal;
  readonly endings: Endings;
  readonly onRun: WorkOptions['onRun'];
  readonly now: () => number;
}

async function runNow(options: WorkOptions, course: Course): Promise<Outcome> {
  const { service, store, records, turns } = options;
  const { waiting, models, leaving, ending, endings, onRun, now } = course;
  const { record: job } = waiting;
  const isFree = await turns.untilFree(leaving).then(
    () => true,
    () => false,
  );
  if (!isFree) return endings.later(job, 0, 'synchronous requests have all workers'); // the next look sees a deadline
  // A run would have no worker: nothing is written of it each second.
  if (models === 'lead' && !service.chain.models[0].pool.isIdle())
    return endings.later(job, againMs, 'no worker is idle');
  const stored = await store.get(job.photo.key);
  if (!stored || (await digest(stored.bytes)) !== job.photo.sha256) return endings.fail(job, lost(), false);
  const change = { state: 'running', attempts: job.attempts + 1, startedAt: now(), claim: ownClaim } as const;
  const running = await records.change(waiting, change);
  if (!running) return endings.later(job, 0, 'the record has changed');
  options.onBegin?.(true);
  try {
    const run = await ask(options, course, stored.bytes);
    const { outcome, ended } = await endings.settle(running, run, ending);
    onRun(ended, run);
    return outcome;
  } finally {
    options.onBegin?.(false);
  }
}

async function ask({ task, service, turns }: WorkOptions, course: Course, bytes: Uint8Array): Promise<JobRun> {
  const { models, leaving, now } = course;
  const { record: job } = course.waiting;
  let progress: Progress | undefined;
  try {
    const asked = readAsk(task, job);
    const question = {
      bytes,
      ask: asked,
      strict: models === 'lead',
      deadlineMs: performance.now() + job.deadlineAt - now(),
      signal: leaving,
      untilTurn: () => turns.untilFree(leaving),
    };
    const asking = answer(question, service.chain);
    progress = asking.progress;
    const answered = await asking.result;
    if (answered instanceof Problem) return { models, progress, answer: answered };
    if (isStrict(task, job)) task.check?.(asked, answered.spec.details);
    const result = models === 'last' ? asLast(answered) : answered;
    return { models, progress, answer: { result, encoded: await encodeResult(encoderOf(task, job), result, asked) } };
  } catch (fault) {
    return { models, progress, answer: asProblem(fault) };
  }
}

/** Another model answered since there was no time left to wait for the lead model. */
function asLast(result: Result): Result {
  const { answer: given } = result;
  return given.degraded ? { ...result, answer: { ...given, reason: 'timeout' } } : result;
}

function lost(): Problem {
  const detail = 'Expected the upload of the job in the store but received none, or other bytes';
  return new Problem(jobProblems.UPLOAD_LOST, detail);
}
