/** Often enough to see that the process stands still, and ten wake-ups a second are all that it costs. */
const lookMs = 100;
/** By so much one look is late on a crowded machine; more than both together no step of the clock takes. */
const lateMs = 150;

/**
 * Milliseconds that go on while this process does. Stopped, or on a machine that is suspended, the process works on nothing: what a
 * run took by this clock, other runs will take, too.
 */
export function createWorkingClock(): () => number {
  let spentMs = 0;
  let lookedMs = performance.now();
  const readMs = () => spentMs + Math.min(performance.now() - lookedMs, lookMs + lateMs);
  setInterval(() => {
    spentMs = readMs();
    lookedMs = performance.now();
  }, lookMs).unref();
  return readMs;
}
