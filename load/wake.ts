import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCommand } from '../ingress/command.ts';
import { type Cluster, openCluster } from '../tests/cluster/support/cluster.ts';
import { until } from '../tests/cluster/support/command.ts';
import { strike } from '../tests/cluster/support/inside.ts';
import { type Change, ingressVariables, scaling } from '../tests/cluster/support/overlay.ts';
import { logLines, untilPods, untilZero } from '../tests/cluster/support/pods.ts';
import { type Sent, send } from '../tests/support/client.ts';
import { median, print, table } from './report.ts';

readCommand(
  'Usage: node dist/load/wake.js\n\nWhat waking the fallback early is worth, on the cluster that KUBECONFIG names.',
  {},
);

/** With and without take turns, so that what else the machine does falls on both. */
const rounds = 5;

/** Ten a second tell to a tenth of a second when the primary died. */
const intervalMs = 100;

/** Fewer than PRIMARY_MAX_CONNS: what exceeds those would wake the fallback by itself. */
const crowd = 24;
/** A brown-out is one after three seconds. */
const crowdMs = 6000;

/** So little that a Wide ResNet for which anybody waits is over it. */
const budgetMs = '50';

/** The process is back in two, and a fallback that slept answers in three. */
const aftermathMs = 6000;

const wakeUrl = 'http://ingress:8081/readyz';

/** What became of one request. */
interface Met {
  readonly status: number;
  readonly tier: string;
  readonly ms: number;
}

/** A run: what clients met from the blow on. */
interface Run {
  /** How long the first request that the fallback answered was on its way. */
  readonly firstMs: number;
  readonly longestMs: number;
  readonly lost: number;
  /** Why the primary woke the fallback, and how long that took; empty where it did not. */
  readonly woken: string;
}

function changes(url: string): readonly Change[] {
  const variables = { WORKERS: '2', PRIMARY_BUDGET_MS: budgetMs, WAKE_URL: url };
  const env = Object.entries(variables).map(([name, value]) => ({ name, value }));
  const path = '/spec/template/spec/containers/0/env';
  return [
    { kind: 'Service', name: 'classify-primary', patch: [{ op: 'replace', path, value: env }] },
    // A second pod would end the brown-out, and stand in for the one that is killed.
    scaling('classify-primary', { 'max-scale': '1' }),
    ingressVariables({ RATE: '1000', BURST: '1000', CONNECTIONS: '200' }), // one address sends for the crowd
  ];
}

const sent: Sent = {
  headers: { 'content-type': 'image/jpeg' },
  body: readFileSync('tests/images/test_image_1.jpg'),
};

async function measure(cluster: Cluster, url: string): Promise<Run> {
  const { namespace, door } = cluster;
  await cluster.apply(changes(url));
  const [pod] = await untilPods(namespace, 'classify-primary', 1);
  if (pod === undefined) throw new Error('Expected a pod of the primary but received none');
  await untilZero(namespace, 'classify-fallback');

  await brownOut(door.origin);
  const wake =
    url === '' ? undefined : await until('a fallback that was woken', () => findWake(namespace, pod.metadata.name));

  let isOver = false;
  const blow = { podUid: pod.metadata.uid, nodeName: pod.spec.nodeName ?? '' };
  const struck = strike({ ...blow, signal: 'SIGKILL', times: 1, withinMs: 10_000 })
    .then(() => sleep(aftermathMs))
    .finally(() => {
      isOver = true;
    });
  const [met] = await Promise.all([askSteadily(door.origin, () => isOver), struck]);
  const first = met.find(({ tier }) => tier === 'fallback');
  if (first === undefined) throw new Error('Expected an answer of the fallback but received none');
  return {
    firstMs: first.ms,
    longestMs: Math.max(...met.map(({ ms }) => ms)),
    lost: met.filter(({ status }) => status !== 200).length,
    woken: wake === undefined ? '' : `${wake.cause}, ${wake.ms} ms`,
  };
}

/** What the primary logged of the wake-up call, once the fallback was ready. */
async function findWake(
  namespace: string,
  pod: string,
): Promise<Readonly<Record<string, string | number>> | undefined> {
  const lines = await logLines(namespace, pod, 'function');
  return lines.find(({ message, outcome }) => message === 'fallback asked to wake' && outcome === 'ready');
}

/** A crowd whose members ask one classification after the other. */
async function brownOut(origin: string): Promise<void> {
  const endMs = performance.now() + crowdMs;
  const askOn = async () => {
    while (performance.now() < endMs) await send(origin, sent);
  };
  await Promise.all(Array.from({ length: crowd }, askOn));
}

/** Asks at fixed times, whatever becomes of the requests before. */
async function askSteadily(origin: string, isOver: () => boolean): Promise<readonly Met[]> {
  const asked: Promise<Met>[] = [];
  for (; !isOver(); await sleep(intervalMs)) {
    const startedMs = performance.now();
    const answered = send(origin, sent).then(
      ({ status, headers, ms }) => ({ status, tier: String(headers['x-tier']), ms }),
      () => ({ status: 0, tier: '', ms: performance.now() - startedMs }),
    );
    asked.push(answered);
  }
  return Promise.all(asked);
}

function rowOf(name: string, runs: readonly Run[]): string[] {
  const spread = (values: readonly number[]) =>
    [median(values), Math.min(...values), Math.max(...values)].map((ms) => ms.toFixed(0)).join(', ');
  const lost = runs.reduce((sum, run) => sum + run.lost, 0);
  return [
    name,
    spread(runs.map(({ firstMs }) => firstMs)),
    spread(runs.map(({ longestMs }) => longestMs)),
    String(lost),
  ];
}

const cluster = await openCluster('wake', changes(wakeUrl));
try {
  const runs: Record<'with' | 'without', Run[]> = { with: [], without: [] };
  for (let round = 0; round < rounds; round += 1) {
    runs.without.push(await measure(cluster, ''));
    runs.with.push(await measure(cluster, wakeUrl));
  }
  print(
    `The primary browns out for ${crowdMs / 1000} s and is killed; ${rounds} runs each in turn; median, shortest, longest:\n`,
  );
  const head = ['the fallback', 'its first answer, ms', 'longest wait of any request, ms', 'without an answer'];
  print(table(head, [rowOf('sleeps', runs.without), rowOf('was woken', runs.with)]));
  print(`Woken by: ${runs.with.map(({ woken }) => woken).join('; ')}`);
} finally {
  await cluster.close();
}
