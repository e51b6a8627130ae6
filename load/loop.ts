import { readFileSync, writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

/**
 * Preloaded into a function (`NODE_OPTIONS=--import=…/loop.js`), it looks at every turn of the event loop how long the
 * main thread ran and how long it waited for a core since the last look, and says so on stderr at the exit. A stall of
 * the loop is one or the other: only the first is the function's own doing.
 */
export interface LoopReport {
  readonly message: 'event loop';
  readonly function: string;
  /** Longest time between two looks. */
  readonly longestStallMs: number;
  /** How many stalls were longer than 20 ms, within which a probe is to be answered. */
  readonly longStalls: number;
  /** Most that the main thread ran between two looks; no single callback can have taken longer. */
  readonly longestWorkMs: number;
  /** Most that it waited for a core between two looks. */
  readonly longestWaitMs: number;
  readonly looks: number;
}

/** Often enough that what lies between two looks is a few callbacks; a look takes 0.04 ms. */
const intervalMs = 5;
const longStallMs = 20;
/** Loading the modules is one long turn, and nobody is answered meanwhile. */
const startMs = 5000;

/** Milliseconds for which the main thread ran and waited for a core, by the kernel's count in nanoseconds. */
function readTimes(): { readonly workMs: number; readonly waitMs: number } {
  const [workNs, waitNs] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ').map(Number);
  return { workMs: Number(workNs) / 1e6, waitMs: Number(waitNs) / 1e6 };
}

function watch(name: string): void {
  let last = { ...readTimes(), atMs: performance.now() };
  const longest = { longestStallMs: 0, longStalls: 0, longestWorkMs: 0, longestWaitMs: 0, looks: 0 };
  const timer = setInterval(() => {
    const now = { ...readTimes(), atMs: performance.now() };
    if (now.atMs > startMs) {
      const stallMs = now.atMs - last.atMs - intervalMs;
      longest.longestStallMs = Math.max(longest.longestStallMs, stallMs);
      if (stallMs > longStallMs) longest.longStalls += 1;
      longest.longestWorkMs = Math.max(longest.longestWorkMs, now.workMs - last.workMs);
      longest.longestWaitMs = Math.max(longest.longestWaitMs, now.waitMs - last.waitMs);
      longest.looks += 1;
    }
    last = now;
  }, intervalMs);
  timer.unref();
  process.once('exit', () => {
    const report: LoopReport = { message: 'event loop', function: name, ...longest };
    writeSync(2, `${JSON.stringify(report)}\n`);
  });
}

// The stack's own process and the worker threads are given the same options; clients wait for neither's loop.
const { FUNCTION_TARGET } = process.env;
if (FUNCTION_TARGET && isMainThread) watch(FUNCTION_TARGET);
