import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, it, jest } from '@jest/globals';
import { send } from '../support/client.ts';
import { until } from '../support/stack.ts';
import { describeWith, kafkaLibraries, versitygw } from './tools/cache.ts';
import { askNow, order } from './tools/crowd.ts';
import { openStage, type Stage } from './tools/stage.ts';

jest.setTimeout(300_000);

describeWith(kafkaLibraries, versitygw)('what is kept', () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await openStage({ JOB_RETENTION: '4s', PHOTO_RETENTION: '1s' });
    await stage.untilReady();
  }, 240_000);

  afterAll(() => stage?.close(), 60_000);

  it('goes in time: the photo first, then the result, then all', async () => {
    const bytes = readFileSync('tests/images/digit.png');
    const { text } = await askNow(stage, 'digits', bytes);
    const answer = await order(stage, { task: 'digits', bytes, status: 200, answer: text }, 'kept');
    const path = String(answer.headers.location);
    const keys = async (prefix: string) => {
      const found: string[] = [];
      for await (const key of stage.store.list(prefix)) found.push(key);
      return found;
    };
    const statusIs = (status: number) => async () =>
      (await send(stage.origins.digits, { method: 'GET', path: `${path}/result` })).status === status;

    await until(statusIs(200), 60_000, 'Expected a result');
    await until(async () => (await keys('photos/')).length === 0, 60_000, 'Expected no photo');
    await until(statusIs(410), 60_000, 'Expected a job that is gone');
    await until(async () => (await keys('results/')).length === 0, 60_000, 'Expected no result');
    await until(
      async () => [...(await keys('records/')), ...(await keys('due/'))].length === 0,
      60_000,
      'Expected nothing',
    );
  });
});
