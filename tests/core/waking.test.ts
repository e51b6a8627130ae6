import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { freePort } from '../../ingress/port.ts';
import type { RunningFunction } from '../support/function.ts';
import { changeCard, makeModelsDir } from '../support/models.ts';
import { post } from '../support/posted.ts';
import { cleanAfterAll } from '../support/served.ts';
import { answer, startUpstream, type Upstream } from '../support/upstream.ts';

const { start, startReady } = cleanAfterAll();

describe('a primary with someone to wake the fallback', () => {
  let gate: Upstream;
  let dir: string;
  let wakeUrl: string;

  beforeAll(async () => {
    gate = await startUpstream('gate');
    wakeUrl = `http://127.0.0.1:${gate.port}/readyz`;
    dir = makeModelsDir({ 'wide-resnet': 'moody', mobilenet: 'real' });
  });

  beforeEach(() => gate.behave(answer(200)));

  afterAll(async () => {
    await gate.close();
    rmSync(dir, { recursive: true });
  });

  const red = sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } }).png();
  const ends = ({ lines }: RunningFunction) => lines.filter(({ message }) => message === 'fallback asked to wake');
  const wakes = async ({ url }: RunningFunction) =>
    /^understudy_wakes_total.*/m.exec(await (await fetch(`${url}/metrics`)).text())?.[0];

  async function untilAsked(fn: RunningFunction): Promise<void> {
    for (let i = 0; i < 500 && ends(fn).length === 0; i += 1) await sleep(10);
  }

  it('asks once when the Wide ResNet is taken out, logs and counts it, and answers on', async () => {
    const fn = await startReady('primary', { MODELS_DIR: dir, WAKE_URL: wakeUrl });
    const body = new Uint8Array(await red.toBuffer());
    for (let i = 0; i < 2; i += 1) await post(fn.url, { body });
    const before = gate.received.length;

    for (let i = 0; i < 10; i += 1) await post(fn.url, { body });
    await untilAsked(fn);

    expect(before).toBe(0);
    expect(gate.received).toMatchObject([{ method: 'GET', url: '/readyz' }]);
    expect(ends(fn)).toMatchObject([{ severity: 'info', cause: 'lost', outcome: 'ready', status: 200 }]);
    expect(await wakes(fn)).toBe('understudy_wakes_total{outcome="ready"} 1');
    expect((await post(fn.url, { body })).headers.get('x-model')).toBe('mobilenet');
  });

  it('asks at its start when the Wide ResNet must not be served', async () => {
    const mobilenetOnly = makeModelsDir({ mobilenet: 'moody' });
    const fn = await start('primary', { MODELS_DIR: mobilenetOnly, WAKE_URL: wakeUrl });
    await untilAsked(fn);

    expect(ends(fn)).toMatchObject([{ cause: 'lost', outcome: 'ready' }]);
    rmSync(mobilenetOnly, { recursive: true });
  });

  it('asks when its Wide ResNet fails its golden case', async () => {
    const unlike = makeModelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' });
    changeCard(join(unlike, 'wide-resnet'), (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } }));
    const fn = await start('primary', { MODELS_DIR: unlike, WAKE_URL: wakeUrl });
    await untilAsked(fn);

    expect(ends(fn)).toMatchObject([{ cause: 'lost', outcome: 'ready' }]);
    rmSync(unlike, { recursive: true });
  });

  it('asks in a brown-out that lasts, and says when nobody heard', async () => {
    const fn = await startReady('primary', {
      MODELS_DIR: dir,
      WORKERS: '1',
      WAKE_URL: `http://127.0.0.1:${await freePort()}/`,
    });
    const uploads = Array.from({ length: 64 }, () => {
      const socket = connect(fn.port, '127.0.0.1');
      socket.write('POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: 9\r\n\r\npart');
      return socket;
    });
    await sleep(100);
    const codes = [];
    for (let i = 0; i < 14; i += 1, await sleep(250)) codes.push((await (await post(fn.url)).json()).code);
    for (const socket of uploads) socket.destroy();
    await untilAsked(fn);

    expect(codes).toEqual(Array(14).fill('BUSY'));
    expect(ends(fn)).toMatchObject([
      { cause: 'brown-out', outcome: 'failed', error: expect.stringContaining('ECONNREFUSED') },
    ]);
    expect(await wakes(fn)).toBe('understudy_wakes_total{outcome="failed"} 1');
  }, 15_000);

  it('does not ask for a client whose patience is below the budget', async () => {
    const fn = await startReady('primary', { MODELS_DIR: dir, WAKE_URL: wakeUrl });
    for (let i = 0; i < 14; i += 1, await sleep(250)) await post(fn.url, { headers: { 'x-deadline-ms': '1' } });

    expect(gate.received).toHaveLength(0);
  }, 15_000);

  it('does not ask while it drains', async () => {
    const fn = await startReady('primary', { MODELS_DIR: dir, WAKE_URL: wakeUrl });

    expect(await fn.stop()).toBe(0);
    expect(gate.received).toHaveLength(0);
  });

  it('asks nobody when it is the fallback', async () => {
    const raising = makeModelsDir({ mobilenet: 'moody' });
    const fn = await startReady('fallback', { MODELS_DIR: raising, WAKE_URL: wakeUrl });
    const body = new Uint8Array(await red.toBuffer());
    const answers = [];
    for (let i = 0; i < 5; i += 1) answers.push((await post(fn.url, { body })).status);

    expect(answers).toEqual([500, 500, 500, 500, 500]);
    expect(gate.received).toHaveLength(0);
    rmSync(raising, { recursive: true });
  });
});
