import { expect, it } from '@jest/globals';
import { answerJob, type JobExchange } from '../../functions/core/http/jobs.ts';
import type { Job } from '../../functions/core/jobs/job.ts';

const id = 'a'.repeat(26);
const problem = { code: 'IMAGE_UNSUPPORTED', status: 422 };
const record = {
  id,
  task: 'classify',
  state: 'failed',
  attempts: 1,
  createdAt: 1,
  endedAt: 2,
  problem,
} as unknown as Job;

async function poll(etag: string, headers: Readonly<Record<string, string>> = {}) {
  const replies: { status: number; headers: Readonly<Record<string, string>> }[] = [];
  const exchange = {
    jobs: { find: async () => ({ record, etag }), retentionMs: 1000 },
    request: { method: 'GET', headers },
    reply: (status: number, _: string, __: unknown, sent: Readonly<Record<string, string>>) =>
      replies.push({ status, headers: sent }),
  } as unknown as JobExchange;
  await answerJob({ name: 'job', id }, exchange);
  return replies[0];
}

// RFC 9110 8.8.3: quotes enclose it, and none are within.
it.each([
  ['a folder', '0f3c'],
  ['a bucket', '"0f3c"'],
])('a job in %s has an ETag of the form that HTTP knows', async (_, etag) => {
  expect(await poll(etag)).toMatchObject({ status: 200, headers: { etag: '"0f3c"' } });
  expect(await poll(etag, { 'if-none-match': '"0f3c"' })).toMatchObject({ status: 304 });
  expect(await poll(etag, { 'if-none-match': '"0f3d"' })).toMatchObject({ status: 200 });
});
