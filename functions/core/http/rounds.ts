/**
 * Lets one at a time go on in each round of the event loop, in the order in which they ask: of a burst each takes a millisecond, and
 * without a pause in between probes and what the workers have done would wait for all of them.
 */
export function createRounds(): () => Promise<void> {
  const waiting: (() => void)[] = [];
  function letOneGoOn(): void {
    waiting.shift()?.();
    if (waiting.length > 0) setImmediate(letOneGoOn);
  }
  return () =>
    new Promise((resolve) => {
      if (waiting.push(resolve) === 1) setImmediate(letOneGoOn);
    });
}
