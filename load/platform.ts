import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCommand } from '../ingress/command.ts';
import { type Cluster, openCluster } from '../tests/cluster/support/cluster.ts';
import { kubectl } from '../tests/cluster/support/command.ts';
import { runInside, startClient } from '../tests/cluster/support/inside.ts';
import { forOneAddress, scaling } from '../tests/cluster/support/overlay.ts';
import { untilPods } from '../tests/cluster/support/pods.ts';
import { copyFallback, partsTable, wakeInTurn } from '../tests/cluster/support/wake.ts';
import { machine, median, print, quantile, table } from './report.ts';

readCommand(
  'Usage: npm run platform\n\nWhat the platform costs, from the cluster that KUBECONFIG names: latency, cold start, throughput and memory.',
  {},
);

/** The ways take turns, so that what else the machine does falls on all of them. */
const rounds = 9;
const requestsPerRound = 60;

/** Two for each of two cores: there is always one that waits for a core. */
const clients = 4;
const throughputSeconds = 15;
const mostPods = 3;

/** The kubelet counts anew every 10 to 20 s. */
const statisticsMs = 30_000;

/** Copies of the fallback's Service, all at zero, that are woken in turn. */
const copies = 10;

/** How a request gets to the primary: each way has one part of the platform more than the one before it. */
interface Way {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly headers: Readonly<Record<string, string>>;
}

interface Asking {
  readonly ways: readonly Way[];
  readonly photo: string;
  readonly rounds: number;
  readonly requestsPerRound: number;
}

const photo = readFileSync('tests/images/test_image_1.jpg').toString('base64');

function ways(namespace: string, podAddress: string, revision: string): readonly Way[] {
  const host = `classify-primary.${namespace}.svc.cluster.local`;
  const headers = { host };
  // By these two names the activator knows whom the gateway means.
  const named = { ...headers, 'knative-serving-namespace': namespace, 'knative-serving-revision': revision };
  const inCluster = (service: string) => `${service}.svc.cluster.local`;
  return [
    { name: 'function', host: podAddress, port: 8080, headers },
    { name: '+ queue-proxy', host: podAddress, port: 8012, headers },
    { name: '+ activator', host: inCluster('activator-service.knative-serving'), port: 80, headers: named },
    { name: '+ gateway', host: inCluster('kourier-internal.kourier-system'), port: 80, headers },
    { name: '+ nginx', host: inCluster(`ingress.${namespace}`), port: 80, headers: {} },
  ];
}

/** Milliseconds of each request by way, one at a time on a kept connection; what does not answer as the function does raises. */
async function askInTurns({ ways, photo, rounds, requestsPerRound }: Asking): Promise<readonly (readonly number[])[]> {
  const { Agent, request } = await import('node:http');
  const body = Buffer.from(photo, 'base64');
  const expected = body.length === 0 ? 400 : 200;
  const agent = new Agent({ keepAlive: true });
  const ask = ({ name, host, port, headers }: Way) =>
    new Promise<number>((resolve, reject) => {
      const startedMs = performance.now();
      const all = { ...headers, 'content-type': 'image/jpeg', 'content-length': body.length };
      const sent = request({ host, port, path: '/classify', method: 'POST', agent, headers: all }, (response) => {
        response.resume().once('end', () => {
          if (response.statusCode === expected) resolve(performance.now() - startedMs);
          else reject(new Error(`Expected ${expected} for ${name} but received ${response.statusCode}`));
        });
      });
      sent.once('error', reject);
      sent.end(body);
    });
  const times: number[][] = ways.map(() => []);
  for (let round = -1; round < rounds; round += 1) {
    for (const [i, way] of ways.entries()) {
      for (let turn = 0; turn < requestsPerRound; turn += 1) {
        const ms = await ask(way);
        if (round >= 0) times[i]?.push(ms); // the round before opens the connections and compiles the code
      }
    }
  }
  agent.destroy();
  return times;
}

async function measureLatency(cluster: Cluster): Promise<void> {
  const [pod] = await untilPods(cluster.namespace, 'classify-primary', 1);
  const revision = pod?.metadata.labels['serving.knative.dev/revision'] ?? '';
  const all = ways(cluster.namespace, pod?.status.podIP ?? '', revision);
  for (const [what, sent] of [
    ['An empty upload, refused by the function with 400', ''],
    ['tests/images/test_image_1.jpg, answered by the Wide ResNet', photo],
  ] as const) {
    const asking = { ways: all, photo: sent, rounds, requestsPerRound };
    const times = await runInside(cluster.namespace, askInTurns, asking, { withinMs: 300_000 });
    const rows = all.map(({ name }, i) => {
      const [own, before] = [times[i] as readonly number[], times[i - 1]];
      const added = before === undefined ? '' : (median(own) - median(before)).toFixed(2);
      return [name, median(own).toFixed(2), quantile(own, 0.99).toFixed(1), added];
    });
    print(`${what}; ${rounds} rounds of ${requestsPerRound}, one at a time, the ways in turn; ms:\n`);
    print(table(['way', 'p50', 'p99', 'added'], rows));
  }
}

interface Crowd {
  readonly host: string;
  readonly photo: string;
  readonly clients: number;
  readonly seconds: number;
}

/** Strict requests from so many clients, each on a kept connection: MobileNet's answers would hide that the Wide ResNet is busy. */
async function askAsCrowd({ host, photo, clients, seconds }: Crowd): Promise<Readonly<Record<number, number>>> {
  const { Agent, request } = await import('node:http');
  const body = Buffer.from(photo, 'base64');
  const agent = new Agent({ keepAlive: true });
  const headers = { 'content-type': 'image/jpeg', 'content-length': body.length, prefer: 'handling=strict' };
  const ask = () =>
    new Promise<number>((resolve, reject) => {
      const sent = request({ host, path: '/classify', method: 'POST', agent, headers }, (response) => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0));
      });
      sent.once('error', reject);
      sent.end(body);
    });
  const counts: Record<number, number> = {};
  const endMs = performance.now() + seconds * 1000;
  const askOn = async () => {
    while (performance.now() < endMs) {
      const status = await ask();
      counts[status] = (counts[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: clients }, askOn));
  agent.destroy();
  return counts;
}

async function measureThroughput(cluster: Cluster): Promise<void> {
  const rows: string[][] = [];
  for (let pods = 1; pods <= mostPods; pods += 1) {
    const bounds = scaling('classify-primary', { 'min-scale': String(pods), 'max-scale': String(pods) });
    await cluster.apply([forOneAddress, bounds]);
    const ready = await untilPods(cluster.namespace, 'classify-primary', pods);
    const crowd = {
      host: `ingress.${cluster.namespace}.svc.cluster.local`,
      photo,
      clients,
      seconds: throughputSeconds,
    };
    await runInside(cluster.namespace, askAsCrowd, { ...crowd, seconds: 3 }); // compiles the code
    const counts = await runInside(cluster.namespace, askAsCrowd, crowd);
    const { 200: answered = 0, ...others } = counts;
    const rest = Object.values(others).reduce((sum, count) => sum + count, 0);
    rows.push([String(ready.length), (answered / throughputSeconds).toFixed(1), String(rest)]);
  }
  print(
    `Strict requests of ${clients} clients in the cluster, through nginx, ${throughputSeconds} s, on the same cores:\n`,
  );
  print(table(['pods of the primary', 'answers a second', 'other statuses'], rows));
}

async function measureColdStart(cluster: Cluster): Promise<void> {
  const wakes = await wakeInTurn(cluster.namespace, await copyFallback(cluster.namespace, copies));
  print(`Cold start of the fallback, ${wakes.length} wakes by a photo at the gateway, ms:\n`);
  print(partsTable(wakes));
}

interface PodStatistics {
  readonly podRef: { readonly name: string; readonly namespace: string };
  readonly containers: readonly { readonly name: string; readonly memory?: { readonly workingSetBytes?: number } }[];
}

/** The memory of each container, as the node's kubelet counts it: what cannot be taken back by dropping caches. */
async function measureMemory(cluster: Cluster): Promise<void> {
  const one = { 'min-scale': '1', 'max-scale': '1' };
  await cluster.apply([forOneAddress, scaling('classify-primary', one), scaling('classify-fallback', one)]);
  for (const name of ['classify-primary', 'classify-fallback']) {
    await untilPods(cluster.namespace, name, 1);
    const host = 'kourier-internal.kourier-system.svc.cluster.local';
    const headers = { host: `${name}.${cluster.namespace}.svc.cluster.local` };
    const photos = { ways: [{ name, host, port: 80, headers }], photo, rounds: 1, requestsPerRound: 100 };
    await runInside(cluster.namespace, askInTurns, photos);
  }
  await sleep(statisticsMs);
  const nodes = await kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}']);
  const statistics = await Promise.all(
    nodes.split(' ').map((node) => kubectl(['get', '--raw', `/api/v1/nodes/${node}/proxy/stats/summary`])),
  );
  const wanted = [cluster.namespace, 'knative-serving', 'kourier-system'];
  const rows = statistics
    .flatMap((text) => (JSON.parse(text) as { readonly pods: readonly PodStatistics[] }).pods)
    .filter(({ podRef }) => wanted.includes(podRef.namespace))
    .flatMap(({ podRef, containers }) =>
      containers.map(({ name, memory }) => [
        podRef.namespace === cluster.namespace
          ? podRef.name.replace(/-\d{5}-.*|-[a-z0-9]+-[a-z0-9]+$/, '')
          : podRef.namespace,
        name,
        ((memory?.workingSetBytes ?? Number.NaN) / 1024 ** 2).toFixed(0),
      ]),
    );
  print('Memory (working set) of each container after two hundred photos each, MiB:\n');
  print(table(['pod', 'container', 'MiB'], rows.toSorted()));
}

print(machine());
const cluster = await openCluster('platform', [forOneAddress]);
try {
  await startClient(cluster.namespace);
  await measureLatency(cluster);
  await measureColdStart(cluster);
  await measureThroughput(cluster);
  await measureMemory(cluster);
} finally {
  await cluster.close();
}
