/** Runs a task when there is room for it; the task is told how many milliseconds it waited. */
export type Gate = <T>(task: (waitedMs: number) => Promise<T>, signal: AbortSignal) => Promise<T>;

/**
 * Lets `limit` tasks run at a time; the others wait in order. Rejects with the signal's reason as soon as it is aborted: a
 * task that waits is never begun then, one that runs keeps its place until it ends.
 */
export function createGate(limit: number): Gate {
  const waiting = new Set<() => void>();
  let running = 0;

  async function hold<T>(task: () => Promise<T>): Promise<T> {
    running += 1;
    try {
      return await task();
    } finally {
      running -= 1;
      const [next] = waiting;
      next?.();
    }
  }

  return (task, signal) =>
    new Promise((resolve, reject) => {
      const enteredMs = performance.now();
      const begin = () => {
        waiting.delete(begin);
        hold(() => task(performance.now() - enteredMs)).then(resolve, reject);
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
    });
}
