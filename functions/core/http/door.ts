import type { IncomingHttpHeaders } from 'node:http';
import { readFlag, readOne } from '../parameter.ts';
import { Problem, toProblemJson } from '../problem.ts';
import type { Door, Envelope, Task } from '../task.ts';
import type { Exchange } from './exchange.ts';
import { withQuery } from './jobs.ts';
import { empty, readUpload, readUploads, tooLarge, type UploadRules } from './upload.ts';

/** The door by which a request came; undefined for the task's own path, and for probes. */
export function doorOf({ route }: Exchange): Door | undefined {
  return route?.name === 'task' ? route.door : undefined;
}

/** Whether a request may become a job, which has one upload, and keeps no more than its query asks. */
export function takesJobs(exchange: Exchange): boolean {
  const door = doorOf(exchange);
  return (door === undefined || door.takesJobs === true) && !isBatch(exchange);
}

/** Whether the upload may be several files, each with its own answer. */
export function isBatch({ rules }: Exchange): boolean {
  return rules?.maxFiles !== undefined;
}

/** Where an answer gets its body. */
export function encoderOf(exchange: Exchange, task: Task): Pick<Task, 'encode'> {
  return doorOf(exchange) ?? task;
}

/** Photos of a batch: as many as eight workers have in hand at once, answered within a second or two. */
const maxBatch = 32;

/**
 * The rules for a request's body, some of which are no uploads by themselves, and some several.
 * @throws Problem PARAMETER_INVALID
 */
export function rulesFor(
  exchange: Exchange,
  headers: IncomingHttpHeaders,
  query: URLSearchParams,
  { task, rules }: { readonly task: Task; readonly rules: UploadRules },
): UploadRules {
  const door = doorOf(exchange);
  const envelope = (door?.envelopeFor ?? task.envelopeFor)?.(headers);
  const hasBatch = readFlag('batch', readOne(query, 'batch'));
  if (hasBatch && (door || !task.batches)) {
    throw new Problem('PARAMETER_INVALID', 'Expected no batch for this path but received one');
  }
  return envelope || hasBatch ? { ...rules, envelope, ...(hasBatch && { maxFiles: maxBatch }) } : rules;
}

/**
 * The bytes of the image, whatever they came in, or of the images of a batch. What the body asks is added to what the exchange knows.
 * @throws Problem
 */
export async function readImages(
  exchange: Exchange,
  headers: IncomingHttpHeaders,
  body: Buffer,
  rules: UploadRules,
): Promise<readonly Buffer[]> {
  if (rules.envelope) {
    const { bytes, ask, query = {} } = open(rules.envelope, headers, body, exchange.ask, rules.maxUploadBytes);
    exchange.ask = ask;
    if (exchange.form) exchange.form = withQuery(exchange.form, query);
    return [bytes];
  }
  if (isBatch(exchange)) return readUploads(headers, body, rules);
  return [(await readUpload(headers, body, rules)).bytes];
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
