/** Counts the holders of something that may end only without them. */
export interface Holds {
  /** What it returns is called once, by the holder, to let go. */
  take(): () => void;
  /** Settles as soon as there is no holder. */
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
