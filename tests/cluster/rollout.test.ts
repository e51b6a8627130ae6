import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import { send } from '../support/client.ts';
import { preload } from './revisions-candidates.ts';
import { kn, kubectl, until } from './support/command.ts';
import { perSecond, useDrivenCluster } from './support/driven.ts';
import { runInside, startClient } from './support/inside.ts';
import { concurrency, forOneAddress, ingressVariables, scaling } from './support/overlay.ts';
import { listPods, podsOf, untilPods } from './support/pods.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

/** The maximum of the changed overlay. */
const mostPods = 3;

/** Each has one request open at all times; at 70 % of 4 per pod they need more than three pods. */
const crowd = 12;

/** A variable by which the workers of the lead model begin 4 s later. */
const slowToLead = preload(`
  import { isMainThread, workerData } from 'node:worker_threads';
  if (!isMainThread && workerData.path.includes('/wide-resnet/')) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4000);
  }`);

/** More than the overlay has, so that pods start and end beside others. */
const severalPods = [
  scaling('classify-primary', { 'max-scale': '3' }),
  scaling('classify-fallback', { 'max-scale': '3' }),
  concurrency('classify-primary', 96),
  ingressVariables({ PRIMARY_MAX_CONNS: '96', FALLBACK_MAX_CONNS: '24' }),
];

describe('a primary under 10 requests a second', () => {
  const { cluster, observe } = useDrivenCluster('rollout', [forOneAddress, ...severalPods]);

  const primaryPods = () => listPods(cluster.namespace, podsOf('classify-primary'));
  const revision = (which: 'latestReady' | 'latestCreated') => {
    const path = `jsonpath={.status.${which}RevisionName}`;
    return kubectl(['-n', cluster.namespace, 'get', 'ksvc/classify-primary', '-o', path]);
  };
  /** Waits until only one revision has pods: those of the last one drain for half a minute. */
  const untilOneRevision = () =>
    until(
      'pods of one revision',
      async () => {
        const revisions = new Set(
          (await primaryPods()).map(({ metadata }) => metadata.labels['serving.knative.dev/revision']),
        );
        return revisions.size === 1 ? true : undefined;
      },
      { withinMs: 120_000, everyMs: 1000 },
    );

  const losesNobody = (name: string, happen: () => Promise<void>) => observe({ name, happen });

  it('loses no answer when a new revision takes over', async () => {
    const before = await revision('latestReady');

    await losesNobody('a new revision takes over', async () => {
      await kn(['-n', cluster.namespace, 'service', 'update', 'classify-primary', '--env', 'ROLLOUT=2'], {
        withinMs: 120_000,
      });
      await untilOneRevision();
    });

    expect(await revision('latestReady')).not.toBe(before);
  }, 300_000);

  it('loses no answer when a new revision cannot start, which gets no traffic', async () => {
    const before = await revision('latestReady');

    await losesNobody('a new revision has no models', async () => {
      const update = ['service', 'update', 'classify-primary', '--env', 'MODELS_DIR=/nowhere', '--no-wait'];
      await kn(['-n', cluster.namespace, ...update]);
      await sleep(20_000);
      expect(await revision('latestReady')).toBe(before);
      const failed = await revision('latestCreated');
      await kn(['-n', cluster.namespace, 'service', 'update', 'classify-primary', '--env', 'MODELS_DIR-'], {
        withinMs: 120_000,
      });
      // Knative would retry for its whole progress deadline, 150 s.
      await kn(['-n', cluster.namespace, 'revision', 'delete', failed]);
      await untilOneRevision();
    });
  }, 300_000);

  it('loses no answer when it grows to three pods under a crowd, and shrinks to one after it', async () => {
    const statuses = new Map<number, number>();

    await losesNobody('1 → 3 → 1 pods', async () => {
      const leaving = new AbortController();
      const crowded = Promise.all(
        Array.from({ length: crowd }, () => askOn(cluster.door.origin, statuses, leaving.signal)),
      );
      try {
        await untilPods(cluster.namespace, 'classify-primary', mostPods);
        await sleep(10_000);
      } finally {
        leaving.abort();
        await crowded;
      }
      await until('one pod', async () => ((await primaryPods()).length === 1 ? true : undefined), {
        withinMs: 180_000,
      });
    });

    expect([...statuses.keys()]).toEqual([200]);
  }, 400_000);

  it('refuses no strict request while pods with a slow lead model start beside others', async () => {
    const answers = new Map<string, number>();
    const leaving = new AbortController();
    const strict = askStrictly(cluster.door.origin, answers, leaving.signal);
    try {
      await kn(['-n', cluster.namespace, 'service', 'update', 'classify-primary', '--env', slowToLead], {
        withinMs: 120_000,
      });
      await untilOneRevision();
      const statuses = new Map<number, number>();
      const crowding = new AbortController();
      const crowded = Promise.all(
        Array.from({ length: crowd }, () => askOn(cluster.door.origin, statuses, crowding.signal)),
      );
      await untilPods(cluster.namespace, 'classify-primary', mostPods).finally(() => crowding.abort());
      await crowded;
    } finally {
      leaving.abort();
      await strict;
    }

    expect([...answers.keys()]).toEqual(['200 ']);
  }, 400_000);

  it('loses no answer when its pod is evicted, as a drain of its node does', async () => {
    await losesNobody('the pod of the primary is evicted', async () => {
      await untilPods(cluster.namespace, 'classify-primary', 1);
      await evict(podsOf('classify-primary'));
    });
  }, 300_000);

  it('loses no answer when the pod of nginx is evicted', async () => {
    await startClient(cluster.namespace);
    const photo = readFileSync('tests/images/test_image_1.jpg').toString('base64');
    const sending = { host: `ingress.${cluster.namespace}.svc.cluster.local`, photo, perSecond, seconds: 30 };

    // From within the cluster: a forwarded port leads to one pod and ends with it.
    const sent = runInside(cluster.namespace, sendSteadily, sending, { withinMs: 90_000 });
    await sleep(5000);
    await evict('app.kubernetes.io/name=ingress');

    expect(await sent).toEqual({ 200: perSecond * sending.seconds });
  }, 300_000);

  /** Evicts the only pod with a label through the API, and waits until it is gone. */
  async function evict(selector: string): Promise<void> {
    const [pod] = await listPods(cluster.namespace, selector);
    const name = pod?.metadata.name ?? '';
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: cluster.namespace } };
    const path = `/api/v1/namespaces/${cluster.namespace}/pods/${name}/eviction`;
    await kubectl(['create', '--raw', path, '-f', '-'], { input: JSON.stringify(eviction) });
    const isThere = async () =>
      (await listPods(cluster.namespace, selector)).some(({ metadata }) => metadata.name === name);
    await until(`an end of ${name}`, async () => ((await isThere()) ? undefined : true), {
      withinMs: 120_000,
      everyMs: 1000,
    });
  }
});

/** Sends ten strict requests a second and counts the statuses, with the code of each problem. */
async function askStrictly(origin: string, answers: Map<string, number>, leaving: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'image/jpeg', prefer: 'handling=strict' };
  const body = readFileSync('tests/images/test_image_1.jpg');
  const asked: Promise<void>[] = [];
  while (!leaving.aborted) {
    const ask = send(origin, { headers, body }).then(({ status, text }) => {
      const answer = `${status} ${/"code":"(\w+)"/.exec(text)?.[1] ?? ''}`;
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    });
    asked.push(ask);
    await sleep(1000 / perSecond);
  }
  await Promise.all(asked);
}

/** Sends one request after the other and counts the statuses. */
async function askOn(origin: string, statuses: Map<number, number>, leaving: AbortSignal): Promise<void> {
  const sent = { headers: { 'content-type': 'image/jpeg' }, body: readFileSync('tests/images/test_image_1.jpg') };
  while (!leaving.aborted) {
    const status = await send(origin, sent).then(
      (answer) => answer.status,
      () => 0,
    );
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
}

/** Posts a photo at fixed times on new connections and counts the statuses; 0 is a failed connection. */
async function sendSteadily({ host, photo, perSecond, seconds }: Sending): Promise<Readonly<Record<number, number>>> {
  const { request } = await import('node:http');
  const body = Buffer.from(photo, 'base64');
  const headers = { 'content-type': 'image/jpeg' };
  const post = () =>
    new Promise<number>((resolve) => {
      const outgoing = request({ host, path: '/classify', method: 'POST', headers, agent: false, timeout: 45_000 });
      outgoing.once('response', (response) => response.resume().once('end', () => resolve(response.statusCode ?? 0)));
      outgoing.once('timeout', () => outgoing.destroy());
      outgoing.once('error', () => resolve(0));
      outgoing.end(body);
    });
  const asked: Promise<number>[] = [];
  const startedMs = performance.now();
  while (asked.length < perSecond * seconds) {
    while (asked.length < perSecond * seconds && startedMs + (asked.length * 1000) / perSecond <= performance.now()) {
      asked.push(post());
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const counts: Record<number, number> = {};
  for (const status of await Promise.all(asked)) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

type Sending = Readonly<Record<'host' | 'photo', string> & Record<'perSecond' | 'seconds', number>>;
