import { parentPort } from 'node:worker_threads';
import { Problem, type ProblemKind } from '../../core/problem.ts';
import type { CloudsAsk } from './ask.ts';
import type { FilePatch } from './patch.ts';
import { readPatch } from './read.ts';

/** A file to be read, transferred. */
export interface ToReader {
  readonly file: ArrayBuffer;
  readonly ask: CloudsAsk;
}

/** The patch, or what is wrong with the file (or with us, where there is no kind). */
export type FromReader =
  | { readonly patch: FilePatch }
  | { readonly kind?: ProblemKind | undefined; readonly detail: string; readonly cause?: string | undefined };

const port = parentPort as NonNullable<typeof parentPort>;

port.on('message', async ({ file, ask }: ToReader) => {
  const answer: FromReader = await readPatch(file, ask).then((patch) => ({ patch }), toAnswer);
  port.postMessage(answer);
});

function toAnswer(fault: unknown): FromReader {
  if (!(fault instanceof Problem)) return { detail: String((fault as Error)?.stack ?? fault) };
  const { code, status, title, message, cause } = fault;
  return { kind: { code, status, title }, detail: message, cause: cause === undefined ? undefined : String(cause) };
}
