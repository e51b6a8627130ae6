import { getPriority, setPriority } from 'node:os';
import { readPoolThreadIds, readThreadId } from './files.ts';

/**
 * By how much a thread lets the event loop go first on a crowded core, in steps of niceness: the share that the loop gets of it decides
 * how long a probe or a 503 waits.
 */
export const niceness = {
  /** Decoders, and a model that stands by or is alone: a third of the event loop's share each. */
  standby: 5,
  /** The leading model gives way to all of them: a tenth. */
  leading: 10,
} as const;

/** The calling thread gives way to the others. */
export function giveWay(amount: number): void {
  lower(readThreadId(), amount);
}

/** So do libuv's threads, on which images are decoded, and the threads that libvips starts from them. */
export async function letDecodersGiveWay(amount: number): Promise<void> {
  for (const thread of await readPoolThreadIds()) lower(thread, amount);
}

/** Linux schedules threads one by one, so a thread alone can give way; elsewhere there is no id and all stay equal. */
function lower(thread: number | undefined, amount: number): void {
  if (thread === undefined) return;
  try {
    setPriority(thread, Math.min(19, getPriority(process.pid) + amount)); // the process may have been started with a niceness of its own
  } catch {
    // A sandbox may forbid it: the function is slower to answer where it is crowded, and right all the same.
  }
}
