import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Sweep } from '../../load/collapse/limits.ts';
import { goodPerCpuSecond } from '../../load/collapse/step.ts';
import { type Generator, measureCapacity, type Served, startGenerator, sweep } from '../../load/collapse/sweep.ts';
import { sweepTables } from '../../load/collapse/tables.ts';
import { type Answer, send } from '../support/client.ts';
import { useCluster } from './support/cluster.ts';
import { until } from './support/command.ts';
import { runInside, startClient } from './support/inside.ts';
import { concurrency, forOneAddress, ingressVariables, scaling } from './support/overlay.ts';
import { ingressLines, watchReadiness } from './support/pods.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

/** Clients, more than nginx passes to the primary at once. */
const crowd = 60;
const crowdSeconds = 15;

const changes = [
  // One pod of each, and what the ingress lets through with it.
  scaling('classify-primary', { 'max-scale': '1' }),
  scaling('classify-fallback', { 'max-scale': '1' }),
  forOneAddress,
  ingressVariables({ PRIMARY_MAX_CONNS: '32', FALLBACK_MAX_CONNS: '32' }),
];

/** Two requests run and twenty wait at a pod without an activator in front: a third of what nginx passes finds the queue full. */
const shortQueue = [
  concurrency('classify-primary', 2),
  scaling('classify-primary', { target: '2', 'target-burst-capacity': '0' }),
];

const photos = [1, 2, 3].map((number) => `tests/images/test_image_${number}.jpg`);
const photo = readFileSync('tests/images/test_image_1.jpg');

const cores = availableParallelism();
/** Two for each core: there is always one that waits for it. */
const clients = 2 * cores;

describe('an overloaded primary', () => {
  const cluster = useCluster('overload', changes);

  beforeAll(() => startClient(cluster.namespace), 240_000);

  it('spills over to the fallback, answers every request and opens no breaker while the activator queues', async () => {
    const { answers, after } = await overload(cluster.door.origin);

    expectAnswersOrBusy(answers);
    expect(answers.map(({ headers }) => headers['x-tier'])).toEqual(expect.arrayContaining(['primary', 'fallback']));
    expect([after.status, after.headers['x-model']]).toEqual([200, 'wide-resnet']);
  }, 120_000);

  it('does the same when the queue of its pod is full', async () => {
    await cluster.apply([...changes, ...shortQueue]);
    const host = `classify-primary.${cluster.namespace}.svc.cluster.local`;
    const asked = { host, times: crowd, photo: photo.toString('base64') };
    // A new revision is ready while the activator is still before its pod, and holds what that pod would refuse.
    const refusals = await until('a refusal', async () => {
      const all = await runInside(cluster.namespace, askAtOnce, asked);
      return all.length > 0 ? all : undefined;
    });

    const { answers, after } = await overload(cluster.door.origin);

    expect(refusals).toContain('503 pending request queue full');
    expectAnswersOrBusy(answers);
    expect([after.status, after.headers['x-model']]).toEqual([200, 'wide-resnet']);
    expect(await attempts(cluster.namespace)).toContain('404, 200');
  }, 240_000);
});

/** Multiples of the capacity, 20 s each. */
const factors = [1, 2, 3];
const stepSeconds = 20;
/** Of the best goodput, beyond the capacity; both for each second of the processors that the load generator leaves. */
const keptShare = 0.8;

describe('requests at multiples of the capacity, whatever becomes of those before', () => {
  const sweeps: Sweep[] = [];
  const leaving = new AbortController();
  let capacity: number;
  let generator: Generator;
  let served: Served;

  // Before that of `useCluster`, which closes what the generator asks.
  afterAll(() => {
    leaving.abort();
    for (const sweep of sweeps) process.stderr.write(`${sweepTables(sweep)}\n`);
  });
  const cluster = useCluster('open-loop', [forOneAddress]);

  beforeAll(async () => {
    const { origin } = cluster.door;
    const nothing = { cpuSeconds: {}, mostMb: {} };
    served = {
      origin,
      probed: { '/healthz': `${origin}/healthz` },
      watch: () => ({ stop: () => nothing }),
      kill: () => undefined,
      stop: async () => undefined,
    };
    generator = startGenerator(leaving.signal);
    capacity = await measureCapacity(generator, served, { photos, clients });
  }, 300_000);

  it.each([
    ['without a deadline', {}],
    ['that name a deadline of 1 s', { 'x-deadline-ms': '1000' }],
  ])(
    'of clients %s are all answered by 200 or a problem, as many in time as at its best, by a front door that stays ready',
    async (what, headers) => {
      const door = await watchReadiness(cluster.namespace, 'app.kubernetes.io/name=ingress');
      const plan = { photos, headers, capacity, factors, seconds: stepSeconds, isForeign: false };
      const { steps } = await sweep(generator, served, plan, { say: () => undefined, signal: leaving.signal });
      await door.stop();

      sweeps.push({
        label: what,
        measuredAt: new Date().toISOString(),
        machine: '',
        cores,
        capacity,
        photos: '',
        steps,
      });
      const perCpuSecond = steps.map((step) => goodPerCpuSecond(step, cores));
      const best = Math.max(...perCpuSecond);
      expect(steps.map(({ broken }) => broken)).toEqual(factors.map(() => ({})));
      expect(door.unready()).toEqual([]);
      const isAnswered = (index: number) => (steps[index]?.good ?? 0) >= keptShare * (steps[index]?.offered ?? 0); // less was asked for
      expect(perCpuSecond.filter((one, index) => one < best * keptShare && !isAnswered(index))).toEqual([]);
    },
    300_000,
  );
});

/** Clients that each send one request after the other; then one request alone. A reset connection rejects. */
async function overload(origin: string): Promise<{ readonly answers: readonly Answer[]; readonly after: Answer }> {
  const sent = { headers: { 'content-type': 'image/jpeg' }, body: photo };
  const answers: Answer[] = [];
  const endMs = performance.now() + crowdSeconds * 1000;
  const askOn = async () => {
    while (performance.now() < endMs) answers.push(await send(origin, sent));
  };
  await Promise.all(Array.from({ length: crowd }, askOn));
  return { answers, after: await send(origin, sent) };
}

/** What nginx says that its attempts were answered, each combination once. */
async function attempts(namespace: string): Promise<readonly string[]> {
  return [...new Set((await ingressLines(namespace)).map(({ answers }) => String(answers)))];
}

/** Sends many at the same moment to the gateway, past nginx, and tells the distinct answers that were no 200. */
async function askAtOnce({
  host,
  times,
  photo,
}: {
  host: string;
  times: number;
  photo: string;
}): Promise<readonly string[]> {
  const { request } = await import('node:http');
  const headers = { host, 'content-type': 'image/jpeg' };
  const options = {
    host: 'kourier-internal.kourier-system.svc.cluster.local',
    path: '/classify',
    method: 'POST',
    headers,
  };
  const ask = () =>
    new Promise<string>((resolve, reject) => {
      const sent = request({ ...options, agent: false, timeout: 30_000 }, (response) => {
        response
          .setEncoding('utf8')
          .toArray()
          .then((texts) => resolve(`${response.statusCode} ${texts.join('').trim()}`), reject);
      });
      sent.once('error', reject);
      sent.end(Buffer.from(photo, 'base64'));
    });
  const answers = await Promise.all(Array.from({ length: times }, ask));
  return [...new Set(answers.filter((answer) => !answer.startsWith('200')))];
}

/** A crowd may be refused: each answer is 200, or 503 BUSY as a problem with Retry-After; never a page of nginx. */
function expectAnswersOrBusy(answers: readonly Answer[]): void {
  const others = answers.filter(({ status }) => status !== 200);
  expect(answers.length).toBeGreaterThan(others.length);
  for (const { status, headers, text } of others) {
    expect([status, headers['content-type']]).toEqual([503, expect.stringMatching(/^application\/problem\+json/)]);
    expect(JSON.parse(text)).toMatchObject({ code: 'BUSY', status: 503 });
    expect(headers['retry-after']).toMatch(/^[1-9]\d*$/);
  }
}
