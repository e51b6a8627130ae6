import { sumStages } from '../chain/encode.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { Problem } from '../problem.ts';
import type { JobRun } from './endings.ts';
import { hasEnded, type Job } from './job.ts';

/** Writes a line for each run of a job and for each end without one, and counts them. */
export function createJournal(log: Log, metrics: Metrics) {
  return {
    onRun(job: Job, { progress, answer }: JobRun): void {
      metrics.countJobRun(job.task);
      const isProblem = answer instanceof Problem;
      const isFault = isProblem && answer.status >= 500;
      log(isFault ? 'warn' : 'info', 'job run', {
        ...progress?.facts,
        ...describe(job),
        model: isProblem ? undefined : answer.result.answer.model,
        version: isProblem ? undefined : answer.result.answer.version,
        reason: isProblem ? undefined : (answer.result.answer.reason ?? undefined),
        code: isProblem ? answer.code : undefined,
        bytes: job.photo.bytes,
        stages: Object.fromEntries(
          sumStages(progress?.steps ?? []).map(([stage, ms]) => [`${stage}Ms`, Math.round(ms * 10) / 10]),
        ),
        misses: progress?.misses.length ? progress.misses : undefined,
        error: isFault ? answer.cause : undefined,
      });
    },
    onEnd(job: Job): void {
      metrics.countJob({ task: job.task, state: job.state, code: String(job.problem?.code ?? '') });
      log(job.isDead ? 'error' : 'info', 'job ended', { ...describe(job), code: job.problem?.code });
    },
  };
}

function describe(job: Job): Readonly<Record<string, unknown>> {
  const { id, task, state, attempts, requestId, createdAt, endedAt } = job;
  const totalMs = hasEnded(job) && endedAt !== undefined ? endedAt - createdAt : undefined;
  return { job: id, task, state, attempts, requestId, totalMs };
}
