import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { send } from '../support/client.ts';
import type { RunningFunction } from '../support/function.ts';
import { expectJobProblem, get, keysOf, makeStoreFolder, openStore, order } from '../support/jobs.ts';
import { cleanAfterAll, plain } from '../support/served.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');
const { startReady } = cleanAfterAll();

describe('a fallback with a store for jobs', () => {
  let fallback: RunningFunction;
  const [own, removeOwn] = makeStoreFolder();
  afterAll(removeOwn);
  beforeAll(async () => {
    fallback = await startReady('fallback', { JOBS_STORE: own, WORKERS: '1', JOBS_MAX: '2' });
  }, 60_000);

  it('accepts jobs up to the limit and runs none; a repeat is no further one', async () => {
    const [one, two] = [await plain('red'), await plain('lime')];
    const accepted = [await order(fallback, { body: one }), await order(fallback, { body: two })];
    expect(accepted.map(({ status }) => status)).toEqual([202, 202]);

    const refused = await order(fallback, { body: await plain('blue') });
    expectJobProblem(refused, 'JOBS_FULL');
    expect(refused.headers['retry-after']).toMatch(/^\d+$/);
    expect(await keysOf(openStore(own), 'photos/')).toHaveLength(2);
    expect((await order(fallback, { body: one })).headers.location).toBe(accepted[0]?.headers.location);
    expect(JSON.parse((await get(fallback, String(accepted[0]?.headers.location))).text).state).toBe('waiting');
    expectJobProblem(await get(fallback, `${accepted[0]?.headers.location}/result`), 'JOB_NOT_ENDED');
  });

  it('answers an upload before the ingress takes silence for an outage, however long the client would wait', async () => {
    const preferences = 'respond-async, wait=30';
    const { status, headers } = await order(fallback, { body: await plain('red'), headers: { prefer: preferences } });
    expect([status, headers['preference-applied']]).toEqual([202, 'respond-async, wait=5']);
  }, 20_000);

  it('cancels what has not begun, twice the same', async () => {
    const { headers } = await order(fallback, { body: await plain('red') });
    const path = String(headers.location);
    const canceled = await send(fallback.url, { method: 'DELETE', path });
    expect([canceled.status, JSON.parse(canceled.text).state]).toEqual([200, 'canceled']);
    expect((await send(fallback.url, { method: 'DELETE', path })).text).toBe(canceled.text);
    expectJobProblem(await get(fallback, `${path}/result`), 'JOB_CANCELED');
  });
});

it('ignores the preference without a store', async () => {
  const alone = await startReady('fallback', { WORKERS: '1' });
  const { status, headers } = await order(alone, { body: photo });
  expect([status, headers['preference-applied']]).toEqual([200, undefined]);
  expect((await get(alone, '/jobs/a')).status).toBe(404);
}, 60_000);
