import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import sharp from 'sharp';
import { answer } from '../../functions/core/chain/answer.ts';
import type { Task } from '../../functions/core/task.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import type { ImageModel } from '../../functions/tasks/image/card.ts';
import type { RunningFunction } from '../support/function.ts';
import { changeCard, replaceModel, serveModels } from '../support/models.ts';
import { ask, cleanAfterEach, linesOf, plain } from '../support/served.ts';
import { until } from '../support/stack.ts';

jest.setTimeout(60_000);

const { later, modelsDir, start } = cleanAfterEach();

/** One with two workers, and without a standby model; all of its threads run. */
async function startFallback(dir: string): Promise<RunningFunction> {
  const fn = await start('fallback', { MODELS_DIR: dir, WORKERS: '2' });
  await linesOf(fn, 'worker ready', 2);
  for (let i = 0; i < 8; i += 1) await Promise.all([ask(fn), ask(fn)]); // decoders start their threads when they need them
  return fn;
}

const hangUp = ({ process }: RunningFunction) => process.kill('SIGHUP');
const threadsOf = ({ process: { pid } }: RunningFunction) => readdirSync(`/proc/${pid}/task`).length;
const untilTrue = (isTrue: () => boolean) => until(isTrue, 20_000, () => `Expected ${isTrue} but received false`);
const untilThreads = (fn: RunningFunction, count: number) =>
  until(
    () => threadsOf(fn) === count,
    20_000,
    () => `Expected ${count} threads but received ${threadsOf(fn)}`,
  );
const get = async ({ url }: RunningFunction, path: string) => (await fetch(`${url}${path}`)).text();

/** A version that calls its classes otherwise. */
function publish(dir: string, version: string, { name = 'mobilenet', resize = 4 } = {}): void {
  replaceModel(dir, name, 'moody', (folder) => {
    const labels = ['cat', 'dog'].map((label, i) => ({ class: `n${i}`, label: `${label} of ${version}` }));
    writeFileSync(join(folder, 'labels.json'), JSON.stringify(labels));
    changeCard(folder, (card) => ({ ...card, version, input: { ...card.input, resize } }));
  });
}

const answerOf = (version: string) =>
  expect.objectContaining({
    version,
    predictions: [expect.objectContaining({ label: `dog of ${version}` }), expect.anything()],
  });

describe('a SIGHUP', () => {
  it('has a new version served with its own labels and size, in place of the former one', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const fn = await startFallback(dir);
    const threads = threadsOf(fn);
    // The first pixel is red, which raises, unless the picture is cut.
    const framed = await sharp(await plain('black'))
      .extend({ top: 8, bottom: 8, left: 8, right: 8, background: 'red' })
      .png()
      .toBuffer();
    expect(await ask(fn, framed)).toMatchObject({ code: 'INTERNAL' });

    publish(dir, '2', { resize: 24 });
    hangUp(fn);

    expect(await linesOf(fn, 'model swapped', 1)).toMatchObject([{ model: 'mobilenet', version: '2', former: '1' }]);
    expect(await ask(fn, framed)).toEqual(answerOf('2'));
    expect(await get(fn, '/metrics')).toContain('model_info{model="mobilenet",version="2",variant="portable"} 1');
    expect(await get(fn, '/metrics')).not.toContain('version="1"');
    expect(JSON.parse(await get(fn, '/v2/models/mobilenet'))).toMatchObject({ versions: ['2'] });
    expect(await linesOf(fn, 'former model closed', 1)).toMatchObject([{ model: 'mobilenet', version: '1' }]);
    await untilThreads(fn, threads);
    expect(JSON.parse(await get(fn, '/readyz'))).toEqual({ status: 'ready' });
  });

  it('starts nothing where nothing has changed', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const fn = await startFallback(dir);

    hangUp(fn);

    expect(await linesOf(fn, 'model unchanged', 1)).toMatchObject([{ model: 'mobilenet', version: '1' }]);
    expect(await linesOf(fn, 'worker ready', 2)).toHaveLength(2);
  });

  it.each<[string, (folder: string) => void, RegExp]>([
    ['has another hash', (folder) => writeFileSync(join(folder, 'model.onnx'), 'half'), /Expected SHA-256 .*4 bytes/],
    [
      'fails its golden case',
      (folder) => changeCard(folder, (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } })),
      /Expected 3 for logit 1 of the golden case/,
    ],
    [
      'has a card that is cut short',
      (folder) => writeFileSync(join(folder, 'model.json'), '{"name": "mobi'),
      /Expected JSON/,
    ],
    ['is not there', (folder) => rmSync(folder, { recursive: true }), /json: Expected a file but received nothing/],
  ])('refuses a version that %s, and serves the former one until a right one comes', async (_what, spoil, cause) => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const fn = await startFallback(dir);
    const threads = threadsOf(fn);
    publish(dir, '2');
    spoil(join(dir, 'mobilenet'));

    hangUp(fn);

    expect(await linesOf(fn, 'model refused', 1)).toMatchObject([{ cause: expect.stringMatching(cause) }]);
    expect(await linesOf(fn, 'former model stays', 1)).toMatchObject([{ model: 'mobilenet', version: '1' }]);
    expect(await ask(fn)).toMatchObject({ version: '1', predictions: [{ label: 'dog' }, { label: 'cat' }] });
    expect(JSON.parse(await get(fn, '/readyz'))).toEqual({ status: 'ready' });
    await untilThreads(fn, threads);

    publish(dir, '3');
    hangUp(fn);
    await linesOf(fn, 'model swapped', 1);

    expect(await ask(fn)).toEqual(answerOf('3'));
  });
});

describe('a request that began before a swap', () => {
  it('ends with the model it began with, which serves until then', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const ask = classify.parse(new URLSearchParams('top=2'), {});
    const messages: string[] = [];
    const decodes: [version: string, goOn: () => void][] = [];
    const decode: Task['decode'] = async (bytes, how) => {
      const details = how.details as ImageModel;
      await new Promise<void>((resolve) => decodes.push([String(details.labels[1]?.label), resolve]));
      return classify.decode(bytes, { ...how, details, ask, settings: { maxPixels: 100 } });
    };
    const task: Task = { ...(classify as Task), decode };
    publish(dir, '1');
    const service = serveModels(dir, task, (_severity, message) => void messages.push(message));
    later(() => service.close());
    await untilTrue(service.canAnswer);
    const bytes = await plain('black');
    const question = { bytes, ask, strict: false, deadlineMs: performance.now() + 60_000 };
    const begin = () => answer({ ...question, signal: new AbortController().signal }, service.chain).result;

    const before = begin();
    publish(dir, '2', { resize: 8 });
    await service.reload();
    const after = begin();
    await untilTrue(() => decodes.length === 2);

    expect(decodes.map(([label]) => label)).toEqual(['dog of 1', 'dog of 2']);
    expect(messages.at(-1)).toBe('model swapped');
    decodes[1]?.[1]();
    expect(await after).toMatchObject({ answer: { version: '2' }, spec: { version: '2' } });
    expect(messages).not.toContain('former model closed');
    decodes[0]?.[1]();
    expect(await before).toMatchObject({ answer: { version: '1' }, spec: { version: '1' } });
    await untilTrue(() => messages.at(-1) === 'former model closed');
  });
});

describe('SIGHUPs in a row', () => {
  it('are one reading more, which finds what came last', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const fn = await startFallback(dir);
    publish(dir, '2');
    hangUp(fn);
    await linesOf(fn, 'worker ready', 3); // of four: version 2 is on its way
    publish(dir, '3');
    for (let i = 0; i < 5; i += 1) hangUp(fn);

    await linesOf(fn, 'former model closed', 2);
    expect((await linesOf(fn, 'model swapped', 2)).map(({ version }) => version)).toEqual(['2', '3']);
    expect(await ask(fn)).toEqual(answerOf('3'));
    await sleep(300); // much longer than a reading takes
    expect((await linesOf(fn, 'model unchanged', 0)).length).toBeLessThanOrEqual(1);
  });

  it('do no harm to a function that starts, and are heard then', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const fn = await start('fallback', { MODELS_DIR: dir, WORKERS: '2' });
    publish(dir, '2'); // its models have been read, and load
    hangUp(fn);
    hangUp(fn);
    await fn.ready();

    await linesOf(fn, 'model swapped', 1);

    expect(await ask(fn)).toEqual(answerOf('2'));
  });

  it('do nothing in a function that ends, even amid a reading', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const fn = await startFallback(dir);
    publish(dir, '2');
    hangUp(fn);
    const ended = fn.stop();
    hangUp(fn);

    expect(await ended).toBe(0);
    expect(fn.lines.filter(({ message }) => message === 'worker lost')).toEqual([]);
  });
});

describe('a model that could not be served at the start', () => {
  it.each([
    ['takes the place of the embedded one', { large: 'moody', 'wide-resnet': 'moody', mobilenet: 'moody' }, 'large'],
    ['leads where none did', { mobilenet: 'moody', 'wide-resnet': 'moody' }, 'wide-resnet'],
    ['stands by where none did', { mobilenet: 'moody', 'wide-resnet': 'moody' }, 'mobilenet'],
  ] as const)('%s once its folder is right', async (_what, folders, missing) => {
    const dir = modelsDir(folders);
    rmSync(join(dir, missing), { recursive: true });
    const env = { MODELS_DIR: dir, WORKERS: '1', PRIMARY_MODEL: missing === 'large' ? 'large' : 'wide-resnet' };
    const fn = await start('primary', env);
    await fn.ready('degraded');
    expect(JSON.parse(await get(fn, '/readyz'))).toEqual({ status: 'degraded', missing: [missing] });

    publish(dir, '2', { name: missing });
    hangUp(fn);
    await fn.ready();

    const lead = missing === 'mobilenet' ? { model: 'wide-resnet' } : { model: missing, version: '2' };
    expect(await ask(fn)).toMatchObject({ ...lead, degraded: false });
    expect(await ask(fn, await plain('red'))).toMatchObject({ code: 'INTERNAL' }); // no third one
    expect(JSON.parse(await get(fn, `/v2/models/${missing}`))).toMatchObject({ versions: ['2'] });
  });
});
