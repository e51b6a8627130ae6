import type { Estimate } from '../pool/estimate.ts';

/** Lets a limited number of tasks run at a time. */
export interface Gate {
  /**
   * Runs a task when there is room for it; the task is told how many milliseconds it waited. Rejects with the signal's
   * reason as soon as it is aborted: a task that waits is never begun then, one that runs keeps its place until it ends.
   */
  enter<T>(task: (waitedMs: number) => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Whether a task would begin at once. */
  isIdle(): boolean;
  /** Whether no task runs or waits. */
  isEmpty(): boolean;
  /** Whether enough tasks have succeeded that what it predicts is more than a guess. */
  isSettled(): boolean;
  /** Milliseconds after which a task that entered after `coming` others would have ended, by the mean of those that succeeded so far. */
  predictMs(coming?: number): number;
}

/**
 * A gate for `limit` tasks at a time, the others wait in order. `estimate` learns how long a task takes, of those that succeed: how
 * fast an upload is found to be no image says nothing about a photo.
 * @param now milliseconds of a clock that stands still with the process
 */
export function createGate(limit: number, estimate: Estimate, now = () => performance.now()): Gate {
  const waiting = new Set<() => void>();
  let running = 0;

  async function hold<T>(task: () => Promise<T>): Promise<T> {
    running += 1;
    const startedMs = now();
    try {
      const result = await task();
      estimate.observe(now() - startedMs);
      return result;
    } finally {
      running -= 1;
      const [next] = waiting;
      next?.();
    }
  }

  return {
    enter: (task, signal) =>
      new Promise((resolve, reject) => {
        const enteredMs = now();
        const begin = () => {
          waiting.delete(begin);
          hold(() => task(now() - enteredMs)).then(resolve, reject);
        };
        const leave = () => {
          waiting.delete(begin);
          reject(signal.reason);
        };
        if (signal.aborted) {
          leave();
          return;
        }
        signal.addEventListener('abort', leave, { once: true });
        if (running < limit) begin();
        else waiting.add(begin);
      }),
    isIdle: () => running < limit,
    isSettled: estimate.isSettled,
    isEmpty: () => running === 0 && waiting.size === 0,
    predictMs(coming = 0) {
      // A place is free after limit - 1 others at the most, on average one comes free each mean / limit.
      const before = Math.max(0, running + waiting.size + coming + 1 - limit);
      return estimate.meanMs() * (1 + before / limit);
    },
  };
}
