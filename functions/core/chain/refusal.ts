import { Problem } from '../problem.ts';
import type { Miss } from './decide.ts';

/** The problem in the answer when no model answered: what time or room could mend comes before what is broken. */
export function unanswered(misses: readonly Miss[], after: string): Problem {
  const causeOf = (status: Miss['status']) => misses.find((miss) => miss.status === status)?.cause;
  const [overload, timeout, warming] = [causeOf('overload'), causeOf('timeout'), causeOf('warming')];
  if (misses.at(-1)?.status === 'timeout') return deadlineExceeded(timeout); // the last model had all the time that was left
  if (overload !== undefined) return busy(overload, after);
  if (timeout !== undefined) return deadlineExceeded(timeout);
  if (warming !== undefined) return starting(warming);
  return Problem.internal(misses.at(-1)?.cause);
}

export function primaryRequired(after: string, cause?: string): Problem {
  const detail = 'Expected the primary model for a strict request but received no answer from it in time';
  return new Problem('PRIMARY_REQUIRED', detail, { cause, headers: { 'retry-after': after, 'x-reason': 'strict' } });
}

export function deadlineExceeded(cause?: string): Problem {
  return new Problem('DEADLINE_EXCEEDED', 'Expected an answer within the deadline but received none', { cause });
}

/** This function is full; another may not be. */
export function busy(cause: string, after: string): Problem {
  const detail = 'Expected a free place in the queue but received more requests than can be answered in time';
  return new Problem('BUSY', detail, { cause, headers: { 'retry-after': after, 'x-reason': 'busy' } });
}

export function starting(cause?: string): Problem {
  const detail = 'Expected a loaded model but received the request before any was';
  return new Problem('STARTING', detail, { cause, headers: { 'retry-after': '1', 'x-reason': 'starting' } });
}
