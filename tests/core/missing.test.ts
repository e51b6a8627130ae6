import { expect, it } from '@jest/globals';
import { readMetrics } from '../support/edge.ts';
import { cleanAfterEach } from '../support/served.ts';

const { start, modelsDir } = cleanAfterEach();

it.each<[string, Parameters<typeof modelsDir>[0], number]>([
  ['no chosen model that is missing', { 'wide-resnet': 'moody', mobilenet: 'real' }, 0],
  ['a chosen model that is missing', { mobilenet: 'real' }, 1],
])('/metrics tells of %s', async (_what, folders, count) => {
  const fn = await start('primary', { MODELS_DIR: modelsDir(folders), WORKERS: '1' });
  await fn.ready(count > 0 ? 'degraded' : undefined);

  const metrics = readMetrics(await (await fetch(`${fn.url}/metrics`)).text());

  expect(metrics.understudy_models_missing).toBe(count);
});
