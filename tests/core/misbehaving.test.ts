import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../functions/core/config.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { send } from '../support/client.ts';
import type { RunningFunction } from '../support/function.ts';
import { changeCard } from '../support/models.ts';
import { cleanAfterAll, expectProblem, plain } from '../support/served.ts';

const { modelsDir, start: startTier } = cleanAfterAll();

describe('a Wide ResNet that misbehaves', () => {
  let primary: RunningFunction;

  beforeAll(async () => {
    const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'real' });
    primary = await startTier('primary', { MODELS_DIR: dir, WORKERS: '1', PRIMARY_BUDGET_MS: '200' });
    await primary.ready();
  });

  const ask = async (color: string) => JSON.parse((await send(primary.url, { body: await plain(color) })).text);
  const gauge = async (name: string) => {
    const text = await (await fetch(`${primary.url}/metrics`)).text();
    return Number(new RegExp(`^${name}{model="wide-resnet"} (\\d+)$`, 'm').exec(text)?.[1]);
  };

  it('answers while it is in the mood', async () => {
    expect(await ask('black')).toMatchObject({ model: 'wide-resnet', degraded: false });
  });

  it('is stood in for by MobileNet in the same request when it raises', async () => {
    expect(await ask('red')).toMatchObject({ model: 'mobilenet', tier: 'primary', degraded: true, reason: 'error' });
  });

  it('is stood in for when it overstays; its slot counts as taken until the run ends, and then it answers again', async () => {
    expect(await ask('lime')).toMatchObject({ model: 'mobilenet', degraded: true, reason: 'timeout' });
    expect(await gauge('understudy_workers_abandoned')).toBe(1);
    expect(await ask('black')).toMatchObject({ model: 'mobilenet', reason: 'overload' });

    for (let i = 0; i < 300 && (await gauge('understudy_workers_busy')) > 0; i += 1) await sleep(50);

    expect(await ask('black')).toMatchObject({ model: 'wide-resnet', degraded: false });
  });

  it('is taken out after three failures in a row, and leads again once a run succeeds', async () => {
    const readiness = async () => (await fetch(`${primary.url}/readyz`)).json();
    for (let i = 0; i < 3; i += 1) await ask('red');

    expect(await readiness()).toEqual({ status: 'degraded', missing: ['wide-resnet'] });
    expect(await gauge('understudy_breaker_open')).toBe(1);
    expect(await ask('black')).toMatchObject({ model: 'mobilenet', reason: 'error' });
    const strict = await send(primary.url, { body: await plain('black'), headers: { prefer: 'handling=strict' } });
    expectProblem(strict, 'PRIMARY_REQUIRED');
    expect(strict.headers['retry-after']).toMatch(/^[567]$/); // 5 s of an open breaker, and what spreads clients

    const untilMs = performance.now() + 10_000;
    let answer = await ask('black');
    for (; answer.model !== 'wide-resnet' && performance.now() < untilMs; await sleep(100)) answer = await ask('black');

    expect(answer.model).toBe('wide-resnet');
    expect(await readiness()).toEqual({ status: 'ready' });
    expect(await gauge('understudy_breaker_open')).toBe(0);
  }, 15_000);
});

describe('a model that raises again and again while nobody stands by', () => {
  it.each<['primary' | 'fallback', string, string[]]>([
    ['fallback', 'mobilenet', []],
    ['primary', 'wide-resnet', ['mobilenet']],
  ])('is asked in the %s all the same, and none says that it is taken out', async (tier, model, missing) => {
    const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' });
    // The one that would stand by in the primary is refused.
    const refused = (card: object) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } });
    if (tier === 'primary') changeCard(join(dir, 'mobilenet'), refused);
    const alone = await startTier(tier, { MODELS_DIR: dir, WORKERS: '1' });
    await alone.ready('degraded');
    for (const one of missing) {
      const isRefused = () => alone.lines.some((line) => line.message === 'model refused' && line.model === one);
      for (let i = 0; i < 500 && !isRefused(); i += 1) await sleep(10);
    }

    for (let i = 0; i < 4; i += 1) expectProblem(await send(alone.url, { body: await plain('red') }), 'INTERNAL');

    const readiness = await (await fetch(`${alone.url}/readyz`)).json();
    expect(readiness).toEqual(missing.length > 0 ? { status: 'degraded', missing } : { status: 'ready' });
    const metrics = await (await fetch(`${alone.url}/metrics`)).text();
    expect(metrics).toContain(`understudy_breaker_open{model="${model}"} 0`);
    expect(JSON.parse((await send(alone.url, { body: await plain('black') })).text)).toMatchObject({ model });
  });
});

describe('the time ladder of the contract', () => {
  it('rises strictly from the model budget to the functions that are alone through code and nginx', () => {
    const conf = readFileSync('ingress/nginx.conf', 'utf8');
    const { primaryBudgetMs, deadlineMs } = loadConfig(classify, 1, {});
    const seconds = [...conf.matchAll(/proxy_read_timeout (\d+)s;/g)].map(([, text]) => Number(text));
    const ofUploads = [...new Set(seconds)].filter((one) => one * 1000 > deadlineMs); // not of a question among pods
    const [primaryReadS = 0, fallbackReadS = 0, aloneReadS = 0, edgeReadS = 0] = ofUploads.sort(
      (one, other) => one - other,
    );
    const unlimitedMs = Number(/"" (\d+);/.exec(conf.slice(conf.indexOf('$patience')))?.[1]);

    const ladder = [
      primaryBudgetMs,
      deadlineMs,
      primaryReadS * 1000,
      unlimitedMs,
      fallbackReadS * 1000,
      aloneReadS * 1000,
      edgeReadS * 1000,
    ];

    expect(ladder).toEqual([1000, 5000, 8000, 29_000, 30_000, 32_000, 40_000]);
    expect(ladder).toEqual(ladder.toSorted((one, other) => one - other));
  });
});
