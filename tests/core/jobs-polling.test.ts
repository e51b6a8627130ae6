import { describe, expect, it } from '@jest/globals';
import { acceptJob, answerJob, type JobExchange } from '../../functions/core/http/jobs.ts';
import type { Order } from '../../functions/core/jobs/desk.ts';
import type { Job } from '../../functions/core/jobs/job.ts';

const id = 'a'.repeat(26);
const waiting = { id, task: 'classify', state: 'waiting', attempts: 0, createdAt: 1, deadlineAt: 3 } as unknown as Job;
const problem = { code: 'IMAGE_UNSUPPORTED', status: 422 };
const ended: Job = { ...waiting, state: 'failed', attempts: 1, endedAt: 2, problem };
const away = async () => {
  throw new Error('away');
};

type Replied = { readonly status: number; readonly headers: Readonly<Record<string, string>> };

/** What is replied to a request for a job. */
async function replyOf(
  task: (exchange: JobExchange) => Promise<unknown>,
  jobs: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Replied | undefined> {
  const replies: Replied[] = [];
  const exchange = {
    jobs: { retentionMs: 1000, ...jobs },
    request: { method: 'GET', headers },
    response: {},
    reply: (status: number, _: string, __: unknown, sent: Replied['headers']) =>
      replies.push({ status, headers: sent }),
    retryAfter: String,
    isLeaving: () => false,
  } as unknown as JobExchange;
  await task(exchange);
  return replies[0];
}

const poll = (job: Job, etag: string, headers?: Readonly<Record<string, string>>) =>
  replyOf(
    (exchange) => answerJob({ name: 'job', id }, exchange),
    { find: async () => ({ record: job, etag }), backlog: away },
    headers,
  );

// RFC 9110 8.8.3: quotes enclose it, and none are within.
it.each([
  ['a folder', '0f3c'],
  ['a bucket', '"0f3c"'],
])('a job in %s has an ETag of the form that HTTP knows', async (_, etag) => {
  expect(await poll(ended, etag)).toMatchObject({ status: 200, headers: { etag: '"0f3c"' } });
  expect(await poll(ended, etag, { 'if-none-match': '"0f3c"' })).toMatchObject({ status: 304 });
  expect(await poll(ended, etag, { 'if-none-match': '"0f3d"' })).toMatchObject({ status: 200 });
});

describe('while the queue does not answer', () => {
  it('a job that waits is told of', async () => {
    expect(await poll(waiting, '0f3c')).toMatchObject({ status: 200, headers: { 'retry-after': '1' } });
  });

  it.each(['respond-async', 'respond-async, wait=1'])('a job that was accepted is no failure: %s', async (prefer) => {
    const jobs = { accept: async () => ({ record: waiting, etag: '0f3c' }), find: away, backlog: away };
    const reply = await replyOf((exchange) => acceptJob({ strict: false } as Order, exchange), jobs, { prefer });
    expect(reply).toMatchObject({ status: 202, headers: { location: `/jobs/${id}` } });
  });
});
