import { setTimeout as sleep } from 'node:timers/promises';
import type { Task } from '../task.ts';
import { answer } from './answer.ts';
import { encodeResult } from './encode.ts';
import type { Service } from './service.ts';

/** What a start is for has been answered by then. */
const afterMs = 5000;
/** The function is at rest after so many looks: between the answers of a closed loop it is idle, too, but not for a fifth of a second. */
const looks = 20;
const lookMs = 10;
/** By then an answer takes 3.2 ms of CPU in place of 4.9, and 3.0 after many more. All together take a second of one core. */
const rounds = 200;
const patienceMs = 1000;

/**
 * Has V8 compile what answers in an overload before there is one: else an answer of the standby model costs as much as one of the lead
 * model in the first second, which is when it is to cost half. Asks the standby model on each of its workers for an upload that the task
 * draws, and only while the function is at rest.
 */
export async function rehearse(
  service: Pick<Service, 'chain' | 'isIdle' | 'isDraining'>,
  task: Pick<Task, 'rehearsal' | 'parse' | 'encode'>,
  pause = (ms: number): Promise<void> => sleep(ms, undefined, { ref: false }), // keeps no process alive
): Promise<void> {
  const { rehearsal } = task;
  if (!rehearsal) return;
  await pause(afterMs);
  const bytes = await rehearsal();
  for (let done = 0, quiet = 0; done < rounds && !service.isDraining(); ) {
    const { workers } = service.chain.models.at(-1)?.pool.counts() ?? { workers: 0 };
    const isQuiet = workers > 0 && service.isIdle();
    if (isQuiet && quiet >= looks) {
      await Promise.all(Array.from({ length: workers }, () => answerOnce(service, task, bytes)));
      done += 1;
    } else {
      quiet = isQuiet ? quiet + 1 : 0;
      await pause(lookMs);
    }
  }
}

/** As a request would be answered while the lead model is overloaded, in the background. */
async function answerOnce(
  { chain }: Pick<Service, 'chain'>,
  task: Pick<Task, 'parse' | 'encode'>,
  bytes: Uint8Array,
): Promise<void> {
  const ask = task.parse(new URLSearchParams(), {});
  const question = {
    bytes,
    ask,
    strict: false,
    deadlineMs: performance.now() + patienceMs,
    signal: new AbortController().signal,
    untilTurn: async () => {},
  };
  const result = await answer(question, { ...chain, standing: { allowedMs: () => 0 } }).result;
  if (!(result instanceof Error)) await encodeResult(task, result, ask);
}
