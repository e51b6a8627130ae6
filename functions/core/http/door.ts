import type { IncomingHttpHeaders } from 'node:http';
import { type Problem, toProblemJson } from '../problem.ts';
import type { Door, Envelope, Task } from '../task.ts';
import type { Exchange } from './exchange.ts';
import { empty, readUpload, tooLarge, type UploadRules } from './upload.ts';

/** The door by which a request came; undefined for the task's own path, and for probes. */
function doorOf({ route }: Exchange): Door | undefined {
  return route?.name === 'task' ? route.door : undefined;
}

/** Whether a request came to the task's own path, with an upload for a body. */
export function isPlain(exchange: Exchange): boolean {
  return doorOf(exchange) === undefined && exchange.envelope === undefined;
}

/** Where an answer gets its body. */
export function encoderOf(exchange: Exchange, task: Task): Pick<Task, 'encode'> {
  return doorOf(exchange) ?? task;
}

/** The rules for a request's body, some of which are no uploads by themselves. */
export function rulesFor(
  exchange: Exchange,
  headers: IncomingHttpHeaders,
  task: Task,
  rules: UploadRules,
): UploadRules {
  exchange.envelope = (doorOf(exchange)?.envelopeFor ?? task.envelopeFor)?.(headers);
  return exchange.envelope ? { ...rules, envelope: exchange.envelope } : rules;
}

/**
 * The bytes of the image, whatever they came in. What the body asks is added to what the exchange knows.
 * @throws Problem
 */
export async function readImage(
  exchange: Exchange,
  headers: IncomingHttpHeaders,
  body: Buffer,
  rules: UploadRules,
): Promise<Buffer> {
  if (!exchange.envelope) return (await readUpload(headers, body, rules)).bytes;
  const { bytes, ask } = open(exchange.envelope, headers, body, exchange.ask, rules.maxUploadBytes);
  exchange.ask = ask;
  return bytes;
}

function open(envelope: Envelope, headers: IncomingHttpHeaders, body: Buffer, ask: unknown, maxUploadBytes: number) {
  if (body.length === 0) throw empty('no bytes');
  const opened = envelope.open(body, { ask, headers });
  if (opened.bytes.length > maxUploadBytes) throw tooLarge(maxUploadBytes);
  if (opened.bytes.length === 0) throw empty('a file of no bytes');
  return opened;
}

/** The body of a problem, as the clients of the door know it. */
export function encodeProblem(problem: Problem, requestId: string, exchange: Exchange | undefined): string {
  const tellsError = exchange && doorOf(exchange)?.tellsError;
  return JSON.stringify({ ...toProblemJson(problem, requestId), ...(tellsError && { error: problem.message }) });
}
