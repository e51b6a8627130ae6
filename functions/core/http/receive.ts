import type { IncomingMessage } from 'node:http';
import { Problem } from '../problem.ts';

/** A phone on a slow line sends 10 MB in 15 s at 5.6 Mbit/s; a slower client would hold a place for too long. */
const uploadTimeoutMs = 15_000;

export interface ReceiveTimes {
  /** When the client's patience ends, on the clock of `performance.now()`. @default never */
  readonly deadlineMs?: number;
  /** What every upload may take. @default 15 s */
  readonly timeoutMs?: number;
}

/**
 * The whole body of a request, counted while it arrives.
 * @throws Problem UPLOAD_TOO_LARGE | UPLOAD_TIMEOUT | DEADLINE_EXCEEDED | UPLOAD_MALFORMED (cut short)
 */
export function receiveBody(
  request: IncomingMessage,
  maxBytes: number,
  { deadlineMs = Number.POSITIVE_INFINITY, timeoutMs = uploadTimeoutMs }: ReceiveTimes = {},
): Promise<Buffer> {
  const leftMs = deadlineMs - performance.now();
  const [code, within] =
    leftMs < timeoutMs
      ? (['DEADLINE_EXCEEDED', 'the deadline'] as const)
      : (['UPLOAD_TIMEOUT', `${timeoutMs / 1000} s`] as const);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const timer = setTimeout(
      () => {
        const detail = `Expected the whole upload within ${within} but received ${bytes} bytes`;
        settle(() => reject(new Problem(code, detail)));
      },
      Math.min(leftMs, timeoutMs),
    );

    function settle(outcome: () => void): void {
      clearTimeout(timer);
      request.off('data', collect).off('end', finish).off('close', cut).off('error', cut);
      outcome();
    }
    function collect(chunk: Buffer): void {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= maxBytes) return;
      const detail = `Expected at most ${maxBytes} bytes for the request body but received more`;
      settle(() => reject(new Problem('UPLOAD_TOO_LARGE', detail)));
    }
    function finish(): void {
      settle(() => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes)));
    }
    function cut(): void {
      const detail = `Expected a whole request body but received ${bytes} bytes of it`;
      settle(() => reject(new Problem('UPLOAD_MALFORMED', detail)));
    }
    request.on('data', collect).on('end', finish).on('close', cut).on('error', cut);
  });
}

/**
 * Lets a client that is told "no" early finish sending, so that it reads the answer instead of a reset; not longer than
 * `graceMs`, after which the connection is closed.
 */
export function discardBody(request: IncomingMessage, graceMs = 2000): void {
  if (request.complete) return;
  const timer = setTimeout(() => request.socket.destroy(), graceMs);
  request.once('close', () => clearTimeout(timer));
  request.once('end', () => clearTimeout(timer));
  request.on('error', () => {});
  request.resume();
}
