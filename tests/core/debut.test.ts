import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createDebut, type DebutOutcome } from '../../functions/core/chain/debut.ts';
import { freePort } from '../../ingress/port.ts';
import type { RunningFunction } from '../support/function.ts';
import { changeCard } from '../support/models.ts';
import { ask, cleanAfterEach } from '../support/served.ts';
import { answer, type Behavior, startUpstream, type Upstream } from '../support/upstream.ts';

const says = (status: number, body: string): Behavior => answer(status, { 'content-type': 'application/json' }, body);
const leads = says(200, '{"status":"ready"}');

let peer: Upstream;
let url: string;

beforeAll(async () => {
  peer = await startUpstream('primary');
  url = `http://127.0.0.1:${peer.port}/primary/readyz`;
});

beforeEach(() => peer.behave(leads));

afterAll(() => peer.close());

describe('createDebut', () => {
  let nowMs = 0;

  /** A debut whose question has been answered. */
  async function answered(at = url) {
    nowMs = 0;
    const [debut, outcome] = await new Promise<[ReturnType<typeof createDebut>, DebutOutcome]>((resolve) => {
      const made = createDebut({ url: at, now: () => nowMs, onEnd: (outcome) => resolve([made, outcome]) });
    });
    return { debut, outcome };
  }

  it('asks with a GET, on a connection of its own', async () => {
    await answered();

    expect(peer.received).toMatchObject([{ method: 'GET', url: '/primary/readyz', bytes: 0 }]);
    expect(peer.received[0]?.headers.connection).toBe('close');
  });

  it('waits for the lead model where another pod leads', async () => {
    const { debut, outcome } = await answered();

    expect(outcome).toBe('leads');
    expect([debut.waits(false), debut.waits(true)]).toEqual([true, false]);
  });

  it.each<[string, Behavior]>([
    ['another pod without its lead model', says(200, '{"status":"degraded","missing":["wide-resnet"]}')],
    ['a pod that starts itself', says(503, '{"status":"starting"}')],
    ['a gateway that knows no such host', says(404, '')],
    ['something that is no readiness', says(200, 'ready')],
    ['null', says(200, 'null')],
    ['an answer that breaks off', { kind: 'truncated' }],
    ['a reset', { kind: 'reset', when: 'after body' }],
    ['silence', { kind: 'silent' }],
  ])('takes %s for nobody, and waits no longer', async (_what, behavior) => {
    peer.behave(behavior);

    const { debut, outcome } = await answered();

    expect([outcome, debut.waits(false)]).toEqual(['none', false]);
  });

  it('takes nobody there for nobody', async () => {
    expect((await answered(`http://127.0.0.1:${await freePort()}/`)).outcome).toBe('none');
  });

  it('waits while it asks, but not for a lead model that is there', () => {
    const debut = createDebut({ url, onEnd: () => undefined });

    expect([debut.waits(false), debut.waits(true)]).toEqual([true, false]);
  });

  it('waits for ten seconds at most', async () => {
    const { debut } = await answered();
    nowMs = 9999;
    const before = debut.waits(false);
    nowMs = 10_000;

    expect([before, debut.waits(false)]).toEqual([true, false]);
  });

  it('does not wait again for a lead model that is lost later', async () => {
    const { debut } = await answered();
    debut.waits(true);

    expect(debut.waits(false)).toBe(false);
  });

  it('does not keep the process from ending', async () => {
    peer.behave({ kind: 'silent' });
    const module = new URL('../../functions/core/chain/debut.js', import.meta.url);
    const program = `
      const { createDebut } = await import('${module}');
      createDebut({ url: '${url}', onEnd: () => {} });
      setTimeout(() => {}, 300);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
    const startedMs = performance.now();

    const [code] = await once(child, 'exit');

    expect(code).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(1900);
  });
});

describe('a starting primary', () => {
  const { modelsDir, start, startReady } = cleanAfterEach();

  async function readiness({ url }: RunningFunction): Promise<string> {
    const [probe, protocol] = await Promise.all([fetch(`${url}/readyz`), fetch(`${url}/v2/health/ready`)]);
    expect(protocol.status).toBe(probe.status);
    const { status } = (await probe.json()) as { status: string };
    return `${probe.status} ${status}`;
  }

  /** Models of which the leading one never becomes ready. */
  function withoutLead(): string {
    const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' });
    changeCard(join(dir, 'wide-resnet'), (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } }));
    return dir;
  }

  async function untilRefused({ lines }: RunningFunction): Promise<void> {
    while (!lines.some(({ message }) => message === 'model refused')) await sleep(10);
  }

  it('is not ready without its lead model while another leads, answers all the same, and gives in after 10 s', async () => {
    const startedMs = performance.now();
    const fn = await start('primary', { MODELS_DIR: withoutLead(), PEER_URL: url });
    await untilRefused(fn);

    expect(await readiness(fn)).toBe('503 starting');
    expect(await ask(fn)).toMatchObject({ model: 'mobilenet', degraded: true });
    await fn.ready('degraded');
    expect(performance.now() - startedMs).toBeGreaterThan(9500);
    expect(await readiness(fn)).toBe('200 degraded');
  }, 20_000);

  it('is ready with its lead model', async () => {
    const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' });
    const fn = await startReady('primary', { MODELS_DIR: dir, PEER_URL: url });

    expect(await readiness(fn)).toBe('200 ready');
    expect(peer.received).toHaveLength(1);
  });

  it.each<[string, Behavior | undefined]>([
    ['where nobody leads', says(503, '')],
    ['where it has nobody to ask', undefined],
  ])('is ready without it %s', async (_what, behavior) => {
    if (behavior) peer.behave(behavior);
    const env = behavior === undefined ? {} : { PEER_URL: url };
    const startedMs = performance.now();
    const fn = await start('primary', { MODELS_DIR: withoutLead(), ...env });
    await fn.ready('degraded');

    expect(performance.now() - startedMs).toBeLessThan(9500);
  });

  it('asks nobody where it is a fallback', async () => {
    await startReady('fallback', { MODELS_DIR: modelsDir({ mobilenet: 'moody' }), PEER_URL: url });

    expect(peer.received).toHaveLength(0);
  });
});
