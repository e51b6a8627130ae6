import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stack } from './stack.ts';

/** A moment at which the service was changed. */
export interface Mark {
  /** Unix time. */
  readonly atMs: number;
  readonly label: string;
}

/**
 * Kills the primary half-way through the traffic, or stops it for a sixth of the traffic. The first request of k6 starts the
 * clock, since k6 takes seconds to begin.
 */
export async function takePrimary(
  { groups, nextRequest }: Stack,
  fault: 'kill' | 'stop',
  seconds: number,
  over: AbortSignal,
): Promise<readonly Mark[]> {
  const marks: Mark[] = [];
  const mark = (label: string) => void marks.push({ atMs: Date.now(), label });
  try {
    await Promise.race([nextRequest(), once(over, 'abort')]);
    await sleep((seconds / 2) * 1000, undefined, { signal: over });
    const { primary = 0 } = groups();
    process.kill(primary, fault === 'kill' ? 'SIGKILL' : 'SIGSTOP');
    mark(fault === 'kill' ? 'primary killed (SIGKILL)' : 'primary stopped (SIGSTOP)');
    if (fault === 'kill') return marks;
    await sleep((seconds / 6) * 1000, undefined, { signal: over }).finally(() => process.kill(primary, 'SIGCONT'));
    mark('primary continued (SIGCONT)');
  } catch (reason) {
    if (!over.aborted) throw reason; // else k6 ended early and says why
  }
  return marks;
}
