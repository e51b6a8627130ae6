import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Problem } from '../../core/problem.ts';
import type { CloudsAsk } from './ask.ts';
import type { FilePatch } from './patch.ts';
import type { FromReader, ToReader } from './reading.ts';
import { unreadable } from './refusal.ts';

/** Threads that read GeoTIFFs, as many as are asked at a time; what goes wrong in one ends that one. */
export interface Reader {
  /** Starts a thread, so that the first file does not wait for it. */
  start(): void;
  /** @throws Problem for what is wrong with the file or the request | DEADLINE_EXCEEDED */
  read(bytes: Uint8Array, ask: CloudsAsk): Promise<FilePatch>;
}

/** As long as a photo may be decoded: the largest file takes about a second, so that one that takes longer has met a busy machine. */
const defaultTimeoutMs = 8000;

/** MiB of JavaScript objects. A file's tags take 1 MiB at most; its numbers lie outside. */
const resourceLimits = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

/** Copied in one turn of the event loop: less than 1 ms, new pages included. */
const pieceBytes = 1_048_576;

/**
 * @param script the module that the threads run: reading.ts, but for tests
 */
export function createReader({
  script = new URL('./reading.js', import.meta.url),
  timeoutMs = defaultTimeoutMs,
} = {}): Reader {
  const idle: Worker[] = [];

  function start(): Worker {
    // geotiff brings `web-worker`, which takes a thread without workerData for one of its own and ends it.
    const worker = new Worker(script, { resourceLimits, workerData: {} });
    worker.unref();
    // One that dies while it has nothing to do is not asked again.
    worker.once('exit', () => idle.includes(worker) && idle.splice(idle.indexOf(worker), 1));
    worker.on('error', () => {});
    return worker;
  }

  return {
    start: () => idle.push(start()),
    async read(bytes, ask) {
      const file = await copy(bytes);
      const worker = idle.pop() ?? start();
      worker.ref();
      const answer = await askWorker(worker, { file, ask }, timeoutMs);
      const isLost = answer instanceof Problem;
      if (isLost) worker.terminate();
      else worker.unref();
      idle.push(isLost ? start() : worker);
      return patchOf(answer);
    },
  };
}

/** The bytes alone in a buffer that can be transferred: those of an upload are a part of a larger one. */
async function copy(bytes: Uint8Array): Promise<ArrayBuffer> {
  const file = new Uint8Array(bytes.length);
  for (let from = 0; from < bytes.length; from += pieceBytes) {
    if (from > 0) await nextTurn();
    file.set(bytes.subarray(from, from + pieceBytes), from);
  }
  return file.buffer;
}

/** The answer, or a Problem where the thread has ended or ends no more. */
function askWorker(worker: Worker, question: ToReader, timeoutMs: number): Promise<FromReader | Problem> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      const detail = 'Expected a GeoTIFF that is decoded in time for the upload but received no pixels';
      settle(new Problem('DEADLINE_EXCEEDED', detail));
    }, timeoutMs);
    const die = (cause: unknown) =>
      settle(isOutOfMemory(cause) ? unreadable(undefined, cause) : Problem.internal(cause));
    function settle(answer: FromReader | Problem): void {
      clearTimeout(timer);
      worker.off('message', settle).off('error', die).off('exit', die);
      resolve(answer);
    }
    worker.on('message', settle).on('error', die).on('exit', die);
    worker.postMessage(question, [question.file]);
  });
}

function isOutOfMemory(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
}

/** @throws Problem, or Error where the fault is ours */
function patchOf(answer: FromReader | Problem): FilePatch {
  if (answer instanceof Problem) throw answer;
  if ('patch' in answer) return answer.patch;
  const { kind, detail, cause } = answer;
  if (kind === undefined) throw new Error(detail);
  throw new Problem(kind, detail, { cause });
}
