import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { RunningFunction } from '../support/function.ts';
import { changeCard } from '../support/models.ts';
import { ask, cleanAfterEach } from '../support/served.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');
const { modelsDir, start, startReady } = cleanAfterEach();

const readinessOf = async ({ url }: RunningFunction) => (await fetch(`${url}/readyz`)).json();
const messagesOf = ({ lines }: RunningFunction, message: string) => lines.filter((line) => line.message === message);

describe('PRIMARY_MODEL and FALLBACK_MODEL', () => {
  it('choose among several versions that lie side by side, and answers, log and metrics name the version', async () => {
    const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody', small: 'moody' });
    renameSync(join(dir, 'small'), join(dir, 'wide-resnet@2'));
    changeCard(join(dir, 'wide-resnet@2'), (card) => ({ ...card, name: 'wide-resnet', version: '2' }));
    const fn = await startReady('primary', { MODELS_DIR: dir, PRIMARY_MODEL: 'wide-resnet@2' });

    expect(await ask(fn)).toMatchObject({ model: 'wide-resnet', version: '2', degraded: false });
    await sleep(50); // the log gathers its lines
    expect(messagesOf(fn, 'request').at(-1)).toMatchObject({ model: 'wide-resnet', version: '2' });
    expect(await (await fetch(`${fn.url}/metrics`)).text()).toContain(
      'understudy_model_info{model="wide-resnet",version="2",variant="portable"} 1',
    );
    expect(await (await fetch(`${fn.url}/v2/models/wide-resnet`)).json()).toMatchObject({ versions: ['2'] });
  });

  it.each([
    [
      'is not there',
      (folder: string) => rmSync(folder, { recursive: true }),
      /json: Expected a file but received nothing$/,
    ],
    [
      'is refused',
      (folder: string) => rmSync(join(folder, 'model.onnx')),
      /model\.onnx: Expected .* received no file$/,
    ],
  ])(
    'give way to the embedded models where a folder %s, which readiness and the log name',
    async (_what, spoil, cause) => {
      const dir = modelsDir({ large: 'moody', 'wide-resnet': 'moody', mobilenet: 'moody' });
      spoil(join(dir, 'large'));
      const fn = await start('primary', { MODELS_DIR: dir, PRIMARY_MODEL: 'large' });
      await fn.ready('degraded');
      let answer = await ask(fn);
      for (let i = 0; i < 300 && answer.model !== 'wide-resnet'; i += 1, await sleep(10)) answer = await ask(fn);

      expect(answer).toMatchObject({ model: 'wide-resnet', degraded: true, reason: 'error' });
      expect(await readinessOf(fn)).toEqual({ status: 'degraded', missing: ['large'] });
      expect(messagesOf(fn, 'model refused')).toMatchObject([{ model: 'large', cause: expect.stringMatching(cause) }]);
      expect(messagesOf(fn, 'embedded model instead')).toMatchObject([{ model: 'large', embedded: 'wide-resnet' }]);
    },
  );

  it('give way when the chosen model fails only once it runs', async () => {
    const dir = modelsDir({ large: 'moody', mobilenet: 'moody', 'wide-resnet': 'moody' });
    changeCard(join(dir, 'large'), (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } }));
    const fn = await start('fallback', { MODELS_DIR: dir, FALLBACK_MODEL: 'large' });
    await fn.ready('degraded');

    expect(await ask(fn)).toMatchObject({ model: 'mobilenet', reason: 'failover' });
    expect(await readinessOf(fn)).toEqual({ status: 'degraded', missing: ['large'] });
  });

  it('never serve one model twice', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const fn = await start('primary', { MODELS_DIR: dir, PRIMARY_MODEL: 'mobilenet', FALLBACK_MODEL: 'small' });
    await fn.ready('degraded');

    expect(await ask(fn)).toMatchObject({ model: 'mobilenet', degraded: false });
    expect(messagesOf(fn, 'embedded model instead')).toEqual([]);
    expect(await readinessOf(fn)).toEqual({ status: 'degraded', missing: ['small'] });
  });
});

describe('SHADOW_SHARE', () => {
  const counts = async ({ url }: RunningFunction) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const lines = [...text.matchAll(/^understudy_shadow_(\w+)_total\{.*="(\w+)"\} (\d+)$/gm)];
    return lines.map(([, kind, label, count]) => ({ kind, label, count: Number(count) }));
  };

  async function untilCounted(fn: RunningFunction, count: number) {
    const total = async () => (await counts(fn)).reduce((sum, line) => sum + line.count, 0);
    for (let i = 0; i < 300 && (await total()) < count; i += 1) await sleep(10);
    return counts(fn);
  }

  it('has MobileNet give the answers of the Wide ResNet, too, while nobody waits', async () => {
    const fn = await startReady('primary', { SHADOW_SHARE: '1' });
    for (let i = 1; i <= 3; i += 1) {
      await ask(fn, photo);
      await untilCounted(fn, i);
    }

    // A goldfish to both.
    expect(await counts(fn)).toEqual([{ kind: 'runs', label: 'true', count: 3 }]);
  });

  it('counts what it leaves out while others are in flight', async () => {
    const fn = await startReady('primary', { SHADOW_SHARE: '1', WORKERS: '1', PRIMARY_BUDGET_MS: '4000' });

    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(fn, photo)));
    const whole = answers.filter(({ degraded }) => degraded === false).length; // on a slow machine not all
    const lines = await untilCounted(fn, whole);

    expect(lines.find(({ label }) => label === 'busy')?.count).toBeGreaterThanOrEqual(whole - 2);
    expect(lines.reduce((sum, { count }) => sum + count, 0)).toBe(whole);
  });

  it('leaves out a model that takes another image', async () => {
    const fn = await startReady('primary', {
      SHADOW_SHARE: '1',
      MODELS_DIR: modelsDir({ 'wide-resnet': 'moody', mobilenet: 'real' }),
    });
    await ask(fn);

    expect(await untilCounted(fn, 1)).toEqual([{ kind: 'skipped', label: 'unlike', count: 1 }]);
  });

  it('is off by default', async () => {
    const fn = await startReady('primary');
    await ask(fn);
    await sleep(100); // much longer than a run

    expect(await counts(fn)).toEqual([]);
  });
});
