import { getPriority, setPriority } from 'node:os';
import { readThreadId, readThreadIds } from '../files.ts';

/** Of decoders and of V8's threads: where a core is short, what they do waits for the event loop in any case. */
const helperNiceness = 5;

/** Linux schedules threads one by one, so the calling thread alone gives way; elsewhere there is no id and all stay equal. */
export function yieldCores(niceness: number): void {
  const thread = niceness > 0 ? readThreadId() : undefined;
  if (thread !== undefined) lower(thread, niceness);
}

/** Has all threads of the process that there are, and those that they will start, give way to the event loop. */
export function favorEventLoop(): void {
  for (const thread of readThreadIds()) {
    try {
      if (thread !== process.pid) lower(thread, helperNiceness);
    } catch {
      // it has ended meanwhile
    }
  }
}

/** A process that has given way further already may not take that back, and need not. */
function lower(thread: number, niceness: number): void {
  if (getPriority(thread) < niceness) setPriority(thread, niceness);
}
