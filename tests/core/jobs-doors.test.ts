import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { RunningFunction } from '../support/function.ts';
import { idOf, inJson, makeStoreFolder, openStore, order, readRecord } from '../support/jobs.ts';
import { imagePart, multipart } from '../support/multipart.ts';
import { cleanAfterAll, plain } from '../support/served.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');
const { startReady } = cleanAfterAll();
const [folder, removeFolder] = makeStoreFolder();
const store = openStore(folder);
let primary: RunningFunction;
afterAll(removeFolder);
beforeAll(async () => {
  primary = await startReady('primary', { JOBS_STORE: folder, WORKERS: '1' });
}, 60_000);

it('takes the same job from JSON as from the upload with a query, and keeps the upload alone', async () => {
  const body = await plain('olive');
  const { headers } = await order(primary, { path: '/classify?top=4', ...inJson(body, { top_k: 2 }) });
  const again = await order(primary, { path: '/classify?top=2', body });
  expect(again.headers.location).toBe(headers.location);

  const { photo: kept } = await readRecord(store, idOf(headers.location));
  expect(kept).toMatchObject({ bytes: body.length, mediaType: 'application/octet-stream' });
  expect((await store.get(kept.key))?.bytes).toEqual(body);
  const elsewhere = await order(primary, { path: '/huggingface?top=2', body });
  expect(elsewhere.headers.location).not.toBe(headers.location);
});

it('tells a fault as the door does where the client waits', async () => {
  const headers = { prefer: 'respond-async, wait=5' };
  const { status, text } = await order(primary, { path: '/huggingface', body: Buffer.from('no picture'), headers });
  const problem = JSON.parse(text);
  expect([status, problem.code]).toEqual([422, 'IMAGE_UNSUPPORTED']);
  expect(problem.error).toBe(problem.detail);
});

it.each([
  ['/huggingface', 'with'],
  ['/classify', 'without'],
])('tells a fault later as at %s: %s `error`', async (path, which) => {
  const { headers } = await order(primary, { path, body: Buffer.from(`no picture ${path}`) });
  const answer = await fetch(`${primary.url}${headers.location}/result`, { headers: { prefer: 'wait=5' } });
  const problem = await answer.json();
  expect([answer.status, problem.code]).toEqual([422, 'IMAGE_UNSUPPORTED']);
  expect(problem.error).toBe(which === 'with' ? problem.detail : undefined);
});

it('ignores the preference where no job is made', async () => {
  const { body, headers: form } = multipart(imagePart(photo));
  const inputs = [{ name: 'image', datatype: 'BYTES', shape: [1], data: [photo.toString('base64')] }];
  const answers = [
    await order(primary, { path: '/classify?batch=1', body, headers: form }),
    await order(primary, { path: '/v2/models/classify/infer', body: Buffer.from(JSON.stringify({ inputs })) }),
  ];
  for (const { status, headers } of answers) {
    expect([status, headers['preference-applied'], headers.location]).toEqual([200, undefined, undefined]);
  }
});
