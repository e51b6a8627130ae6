import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { deadlineExceeded } from '../chain/refusal.ts';
import { readCallbackUrl } from '../jobs/callback.ts';
import type { Order } from '../jobs/desk.ts';
import { askHeaders, hasEnded, isJobId, type Job } from '../jobs/job.ts';
import type { Jobs } from '../jobs/jobs.ts';
import { jobProblems } from '../jobs/problems.ts';
import type { Kept } from '../jobs/records.ts';
import { Problem, toProblemJson } from '../problem.ts';
import type { Door } from '../task.ts';
import { readPreference } from './prefer.ts';
import { judgeMethod, type RequestParameters, type Route, readParameters } from './request.ts';
import { isForm, mediaType, type UploadRules } from './upload.ts';

/** An hour, when the client names no patience ... */
const deadlineMs = 3_600_000;
/** ... which may be a day. */
const longestDeadlineMs = 86_400_000;

/** The ingress waits 32 s for an answer about a job. */
const longestWaitS = 30;
/** But 8 s for an answer to an upload: a primary that is silent for longer is taken out. */
const longestUploadWaitS = 5;

/** A poll of the store costs a look at a file: often at first, when most jobs end. */
const pollMs = { first: 20, longest: 500 };

/** Writes an answer. */
export type Reply = (
  status: number,
  contentType: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>>,
) => void;

/** What is known of an order before its upload. */
export type Form = Omit<Order, 'bytes'>;

/** The routes of jobs; undefined for all others. @throws Problem METHOD_NOT_ALLOWED */
export function readJobRoute(method: string, path: string): Route | undefined {
  const [, id, result] = /^\/jobs\/([^/]+)(\/result)?$/.exec(path) ?? [];
  if (id === undefined) return undefined;
  judgeMethod(method, result ? ['GET', 'HEAD'] : ['GET', 'HEAD', 'DELETE']);
  return { name: result ? 'jobResult' : 'job', id };
}

/** Whether a client would rather have an answer later, and of a better model. */
export function prefersAsync({ prefer }: IncomingHttpHeaders): boolean {
  return readPreference(prefer, 'respond-async') !== undefined;
}

/** What a patient client may ask of any task. @throws Problem PARAMETER_INVALID */
export function readPatience(headers: IncomingHttpHeaders): RequestParameters {
  return readParameters(headers, deadlineMs, undefined, longestDeadlineMs);
}

/** @throws Problem PARAMETER_INVALID */
export function readForm(
  headers: IncomingHttpHeaders,
  query: URLSearchParams,
  about: {
    readonly task: string;
    readonly door: Pick<Door, 'name' | 'tellsError'> | undefined;
    readonly rules: UploadRules;
    readonly parameters: RequestParameters;
    readonly requestId: string;
    readonly callbackHosts: readonly string[];
  },
): Form {
  const { task, door, rules, parameters, requestId, callbackHosts } = about;
  const sent = askHeaders.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]] as const]));
  const isUpload = !rules.envelope && !isForm(headers);
  return {
    task,
    ask: {
      query: query.toString(),
      headers: Object.fromEntries(sent),
      ...(door && { door: door.name }),
      ...(door?.tellsError && { tellsError: true }),
    },
    strict: parameters.strict,
    requestId,
    deadlineMs: parameters.patienceMs,
    mediaType: isUpload ? mediaType(headers) : 'application/octet-stream',
    owner: headers['x-key-name'] as string | undefined, // nginx sends it once
    idempotencyKey: readKey(headers['idempotency-key']),
    callbackUrl: readCallbackUrl(headers['x-callback-url'], callbackHosts),
  };
}

/** With parameters that a body adds, before those of the query. */
export function withQuery(form: Form, added: Readonly<Record<string, string>>): Form {
  const query = new URLSearchParams(form.ask.query);
  for (const [name, value] of Object.entries(added)) query.set(name, value);
  return { ...form, ask: { ...form.ask, query: query.toString() } };
}

function readKey(key: string | string[] | undefined): string | undefined {
  if (key === undefined || (typeof key === 'string' && /^[\x20-\x7e]{1,255}$/.test(key))) return key;
  const detail = 'Expected 1 to 255 printable ASCII characters for Idempotency-Key but received others';
  throw new Problem('PARAMETER_INVALID', detail);
}

/** What the answers to requests for jobs need. */
export interface JobExchange {
  readonly jobs: Jobs;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly reply: Reply;
  /** Seconds until some of so many waiting jobs are done. */
  readonly retryAfter: (waiting: number) => string;
  /** Whether no answer may be waited for any longer: the function ends. */
  readonly isLeaving: () => boolean;
}

/** Takes a job, and waits for its end where the client would. Returns its id. @throws Problem */
export async function acceptJob(order: Order, exchange: JobExchange): Promise<string> {
  const { jobs, request, reply, requestId } = exchange;
  const accepted = await jobs.accept(order, exchange.retryAfter);
  const { id } = accepted.record;
  const waitS = readWait(request.headers, longestUploadWaitS);
  const kept = await untilEnded(accepted, waitS, exchange).catch(() => accepted); // it is, whatever fails now
  const headers = {
    location: `/jobs/${id}`,
    'preference-applied': ['respond-async', waitS > 0 && `wait=${waitS}`, order.strict && 'handling=strict']
      .filter(Boolean)
      .join(', '),
  };
  if (waitS > 0 && hasEnded(kept.record)) await replyResult(kept.record, exchange, headers);
  else {
    const after = await waitFor(kept.record, exchange);
    reply(202, 'application/json', await describe(kept.record, exchange), {
      ...headers,
      ...after,
      'x-request-id': requestId,
    });
  }
  return id;
}

/** Answers a request for a job. @throws Problem */
export async function answerJob(route: Extract<Route, { id: string }>, exchange: JobExchange): Promise<void> {
  const { jobs, request, reply, requestId } = exchange;
  if (!isJobId(route.id)) {
    throw new Problem(jobProblems.JOB_NOT_FOUND, 'Expected the id of a job for path but received another');
  }
  const found = await (request.method === 'DELETE' ? jobs.cancel(route.id) : jobs.find(route.id));
  const waitS = readWait(request.headers, longestWaitS);
  const kept = await untilEnded(found, waitS, exchange);
  const applied = waitS > 0 && { 'preference-applied': `wait=${waitS}` };
  if (route.name === 'jobResult') {
    await replyResult(kept.record, exchange, { ...applied });
    return;
  }
  const etag = `"${kept.etag.replaceAll('"', '')}"`; // a bucket's has quotes of its own
  const isKnown = request.method !== 'DELETE' && (request.headers['if-none-match'] ?? '').includes(etag);
  const body = await describe(kept.record, exchange);
  reply(isKnown ? 304 : 200, 'application/json', body, {
    etag,
    'cache-control': 'private, no-cache',
    ...applied,
    ...(await waitFor(kept.record, exchange)),
    'x-request-id': requestId,
  });
}

/** Whole seconds, `longestS` at the most; 0 where the client names none that can be read. */
function readWait({ prefer }: IncomingHttpHeaders, longestS: number): number {
  const text = readPreference(prefer, 'wait') ?? '';
  return /^\d{1,6}$/.test(text) ? Math.min(Number(text), longestS) : 0;
}

async function untilEnded(
  kept: Kept<Job>,
  waitS: number,
  { jobs, response, isLeaving }: JobExchange,
): Promise<Kept<Job>> {
  const end = performance.now() + waitS * 1000;
  let current = kept;
  for (let pauseMs = pollMs.first; !hasEnded(current.record); pauseMs = Math.min(pauseMs * 1.5, pollMs.longest)) {
    const leftMs = end - performance.now();
    if (leftMs <= 0 || response.destroyed || isLeaving()) break;
    await sleep(Math.min(pauseMs, leftMs));
    current = await jobs.find(current.record.id);
  }
  return current;
}

/** When to come again for a job that has not ended. */
async function waitFor(job: Job, { jobs, retryAfter }: JobExchange): Promise<Readonly<Record<string, string>>> {
  if (hasEnded(job)) return {};
  const before = job.state === 'running' ? { count: 1 } : await jobs.backlog().catch(() => ({ count: 1 }));
  return { 'retry-after': retryAfter(before.count) };
}

/** A job as clients see it; the body of its answer is in there as it is. */
async function describe(job: Job, { jobs }: JobExchange): Promise<string | Uint8Array> {
  const { id, task, state, attempts, requestId, problem, result } = job;
  const { createdAt, deadlineAt, startedAt, endedAt } = job;
  const times = { createdAt, deadlineAt, startedAt, endedAt, expiresAt: endedAt && endedAt + jobs.retentionMs };
  const told = Object.entries(times).flatMap(([name, at]) => (at ? [[name, new Date(at).toISOString()] as const] : []));
  const isText = result?.contentType === 'application/json';
  const resultUrl = result && !isText ? `/jobs/${id}/result` : undefined;
  const head = { id, task, state, ...Object.fromEntries(told), attempts, requestId, resultUrl, problem };
  const text = JSON.stringify(head);
  if (!isText) return text;
  return Buffer.concat([Buffer.from(`${text.slice(0, -1)},"result":`), await jobs.readResult(job), Buffer.from('}')]);
}

/** The synchronous answer of a job that has ended. @throws Problem */
async function replyResult(
  job: Job,
  { jobs, reply, requestId, retryAfter }: JobExchange,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const further = { 'cache-control': 'private, no-cache', ...headers, 'x-request-id': requestId };
  if (job.state === 'succeeded' && job.result) {
    const applied = job.strict &&
      headers['preference-applied'] === undefined && { 'preference-applied': 'handling=strict' };
    const body = await jobs.readResult(job);
    reply(200, job.result.contentType, body, { ...job.result.headers, ...applied, ...further });
  } else if (job.state === 'failed' || job.state === 'expired') {
    const problem = job.problem ?? toProblemJson(deadlineExceeded(), job.requestId);
    const body = { ...problem, ...(job.ask.tellsError && { error: problem.detail }) };
    reply(Number(problem.status), 'application/problem+json', JSON.stringify(body), further);
  } else if (job.state === 'canceled') {
    throw new Problem(jobProblems.JOB_CANCELED, 'Expected a job with an answer but received one that was canceled');
  } else {
    const options = { headers: { 'retry-after': retryAfter(1) } };
    throw new Problem(
      jobProblems.JOB_NOT_ENDED,
      'Expected a job that has ended but received one that has not',
      options,
    );
  }
}
