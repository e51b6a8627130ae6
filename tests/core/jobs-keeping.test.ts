import { describe, expect, it, jest } from '@jest/globals';
import { encodeRecord, type Job, recordKey } from '../../functions/core/jobs/job.ts';
import { send } from '../support/client.ts';
import { expectJobProblem, get, keysOf, order, readRecord, untilEnded } from '../support/jobs.ts';
import { linesOf, plain } from '../support/served.ts';
import { useSpool } from '../support/spooled.ts';

jest.setTimeout(120_000);

const spool = useSpool();
const { start, startReady } = spool;

describe('a clock that is set', () => {
  const move = async (id: string, ms: number) => {
    const job = await readRecord(spool.store, id);
    const moved: Job = { ...job, createdAt: job.createdAt + ms, deadlineAt: job.deadlineAt + ms };
    await spool.store.put(recordKey(id), encodeRecord(moved));
    for (const key of await keysOf(spool.store, 'waiting/')) {
      await spool.store.delete(key);
      await spool.store.put(`waiting/classify/${moved.createdAt}-${id}`, Buffer.from(''));
    }
  };

  it('back leaves a job that seems to come from the future to be run', async () => {
    const id = await spool.accept({ body: await plain('navy') });
    await move(id, 365 * 86_400_000);
    expect(await untilEnded(await startReady('primary'), `/jobs/${id}`)).toMatchObject({ state: 'succeeded' });
  });

  it('forward ends a job whose deadline that passes, and loses none', async () => {
    const id = await spool.accept({ body: await plain('navy') });
    await move(id, -365 * 86_400_000);
    expect(await untilEnded(await startReady('primary'), `/jobs/${id}`)).toMatchObject({ state: 'expired' });
    for (; (await keysOf(spool.store, 'waiting/')).length > 0; );
  });
});

describe('what was kept goes', () => {
  it('upload, result and record, each at its time; a repeat is a new job then', async () => {
    const primary = await startReady('primary', { PHOTO_RETENTION: '500ms', JOB_RETENTION: '4s' });
    const body = await plain('navy');
    const { headers } = await order(primary, { body });
    const path = String(headers.location);
    await untilEnded(primary, path);
    for (; (await keysOf(spool.store, 'photos/')).length > 0; );
    expect((await get(primary, `${path}/result`)).status).toBe(200);

    for (; (await get(primary, path)).status === 200; );
    expectJobProblem(await get(primary, path), 'JOB_EXPIRED');
    expectJobProblem(await send(primary.url, { method: 'DELETE', path }), 'JOB_EXPIRED');
    for (; (await keysOf(spool.store, 'results/')).length > 0; );

    const again = await order(primary, { body });
    expect([again.status, again.headers.location]).toEqual([202, path]);
    expect(await untilEnded(primary, path)).toMatchObject({ state: 'succeeded' });

    for (; (await get(primary, path)).status !== 404; );
    expectJobProblem(await get(primary, path), 'JOB_NOT_FOUND');
    for (; (await keysOf(spool.store, 'due/')).length > 0; );
    expect(await keysOf(spool.store, 'records/')).toEqual([]);
    expect(await keysOf(spool.store, 'photos/')).toEqual([]);
  });

  it('an upload of which no job was made', async () => {
    await spool.store.put('photos/orphan.0', Buffer.from('left by a process that was killed'));
    await spool.store.put(`due/classify/1/${'1'.padStart(13, '0')}-${'a'.repeat(26)}`, Buffer.from('photos/orphan.0'));
    await startReady('primary');
    for (; (await keysOf(spool.store, 'photos/')).length > 0; );
  });
});

describe('a disk that is full', () => {
  it('is told before anything is accepted, and leaves no half job', async () => {
    // No file of this process may grow beyond 8 blocks of 512 bytes: the record fits, a photo does not.
    const fallback = await start('fallback', { JOBS_STORE: spool.folder, WORKERS: '1' }, [
      'sh',
      '-c',
      'ulimit -f 8; trap "" XFSZ; exec "$@"',
      'sh',
    ]);
    await fallback.ready();
    const answer = await order(fallback, { body: Buffer.alloc(65_536, 1) });
    expectJobProblem(answer, 'JOBS_UNAVAILABLE');
    expect(answer.headers).toMatchObject({ 'retry-after': '5', 'x-reason': 'busy' });
    expect(await keysOf(spool.store, 'records/')).toEqual([]);
    expect(await keysOf(spool.store, 'photos/')).toEqual([]);
    expect(await keysOf(spool.store, 'waiting/')).toEqual([]);
    expect((await linesOf(fallback, 'request', 1)).at(-1)).toMatchObject({ code: 'JOBS_UNAVAILABLE', status: 503 });
  });
});
