/** Lets background work begin only while synchronous requests leave a worker. */
export interface Turns {
  /** A synchronous request is in the function until what it returns is called. */
  arrive(): () => void;
  /** Settles when fewer synchronous requests are in the function than it has workers; rejects with the signal's reason. */
  untilFree(signal: AbortSignal): Promise<void>;
}

/**
 * A run cannot be interrupted, so what counts is when it begins: with a worker left for it, a request that comes then waits for what
 * remains of it at the most. Uploads that are still arriving count, since each will want a worker in a moment.
 */
export function createTurns(workers: number): Turns {
  const waiting = new Set<() => void>();
  let present = 0;
  const isFree = () => present < workers;
  return {
    arrive() {
      present += 1;
      return () => {
        present -= 1;
        if (isFree()) for (const begin of waiting) begin();
      };
    },
    untilFree: (signal) =>
      new Promise((resolve, reject) => {
        const leave = () => {
          waiting.delete(begin);
          reject(signal.reason);
        };
        const begin = () => {
          waiting.delete(begin);
          signal.removeEventListener('abort', leave);
          resolve();
        };
        if (signal.aborted) leave();
        else if (isFree()) resolve();
        else {
          signal.addEventListener('abort', leave, { once: true });
          waiting.add(begin);
        }
      }),
  };
}
