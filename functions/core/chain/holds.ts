/** Counts who still needs something. */
export interface Holds {
  /** What it returns is called once, when it is needed no longer. */
  take(): () => void;
  /** Settles as soon as nobody needs it. */
  untilNone(): Promise<void>;
}

export function createHolds(): Holds {
  const waiting: (() => void)[] = [];
  let count = 0;
  const settle = () => {
    if (count === 0) for (const resolve of waiting.splice(0)) resolve();
  };
  return {
    take() {
      count += 1;
      return () => {
        count -= 1;
        settle();
      };
    },
    untilNone: () =>
      new Promise((resolve) => {
        waiting.push(resolve);
        settle();
      }),
  };
}
