import { readFileSync } from 'node:fs';
import { median, table } from '../../../load/report.ts';
import { kubectl, until } from './command.ts';
import { runInside } from './inside.ts';
import { logLines, type Sighting, untilZero, watchPods } from './pods.ts';

/** The parts of a cold start in order, ms; each begins where the last one ends. */
export interface Wake {
  /** From the request to the pod: gateway, activator, autoscaler, Deployment. */
  readonly created: number;
  /** To its place on a node. */
  readonly scheduled: number;
  /** To the process: sandbox, network, containers. */
  readonly started: number;
  /** To the open port: Node and the modules. */
  readonly listening: number;
  /** To the loaded model, its golden case included. */
  readonly loaded: number;
  /** To the first answer: the readiness probe, and the request itself. */
  readonly answered: number;
}

const parts: Readonly<Record<keyof Wake, string>> = {
  created: 'request → pod created',
  scheduled: '→ scheduled',
  started: '→ process started',
  listening: '→ listening',
  loaded: '→ model loaded',
  answered: '→ first answer',
};

/** Longest time of a request that wakes a Service: nginx's time-out for the fallback. */
const wakeWithinMs = 30_000;

/** Copies the fallback's Service, so that many can be at zero and start in turn. */
export async function copyFallback(namespace: string, count: number): Promise<readonly string[]> {
  const text = await kubectl(['-n', namespace, 'get', 'ksvc', 'classify-fallback', '-o', 'json']);
  const { apiVersion, kind, metadata, spec } = JSON.parse(text) as {
    readonly apiVersion: string;
    readonly kind: string;
    readonly metadata: { readonly labels: object };
    readonly spec: object;
  };
  const names = Array.from({ length: count }, (_, i) => `classify-fallback-${i + 1}`);
  const items = names.map((name) => ({ apiVersion, kind, metadata: { name, labels: metadata.labels }, spec }));
  await kubectl(['-n', namespace, 'apply', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
  });
  const services = names.map((name) => `ksvc/${name}`);
  await kubectl(['-n', namespace, 'wait', ...services, '--for=condition=Ready', '--timeout=120s'], {
    withinMs: 130_000,
  });
  return names;
}

/** Waits until all these Services are at zero, then wakes them one after the other. @throws Error when one does not answer 200 */
export async function wakeInTurn(namespace: string, services: readonly string[]): Promise<readonly Wake[]> {
  for (const service of services) await untilZero(namespace, service);
  const wakes: Wake[] = [];
  for (const service of services) wakes.push(await wake(namespace, service));
  return wakes;
}

/** Wakes a Service with one photo, sent to the gateway by the client's pod. */
async function wake(namespace: string, service: string): Promise<Wake> {
  const watch = await watchPods(namespace);
  try {
    const photo = readFileSync('tests/images/test_image_1.jpg').toString('base64');
    const host = `${service}.${namespace}.svc.cluster.local`;
    const asked = await runInside(namespace, askOnce, { host, photo, withinMs: wakeWithinMs });
    if (asked.status !== 200)
      throw new Error(`Expected 200 for the first answer of ${service} but received ${asked.status}`);
    const seen = await until(`a pod of ${service} in the watch`, () =>
      watch.sightings().find((one) => isWoken(one, service, asked.askedMs)),
    );
    const container = { pod: seen.name, container: 'function' };
    const startedMs = await runInside(namespace, readStart, undefined, container);
    const lines = await logLines(namespace, seen.name, container.container);
    const loggedMs = (message: string) => Date.parse(String(lines.find((line) => line.message === message)?.time));
    const scheduledMs = seen.scheduledMs as number;
    const [listeningMs, loadedMs] = [loggedMs('listening'), loggedMs('worker ready')];
    return {
      created: seen.createdMs - asked.askedMs,
      scheduled: scheduledMs - seen.createdMs,
      started: startedMs - scheduledMs,
      listening: listeningMs - startedMs,
      loaded: loadedMs - listeningMs,
      answered: asked.answeredMs - loadedMs,
    };
  } finally {
    await watch.stop();
  }
}

/** The whole cold start, from request to answer. */
export function totalMs(wake: Wake): number {
  return Object.values(wake).reduce((sum: number, ms: number) => sum + ms, 0);
}

/** Median, shortest and longest of each part, and of the whole. */
export function partsTable(wakes: readonly Wake[]): string {
  const row = (name: string, values: readonly number[]) => [
    name,
    ...[median(values), Math.min(...values), Math.max(...values)].map((ms) => ms.toFixed(0)),
  ];
  const names = Object.keys(parts) as (keyof Wake)[];
  const rows = names.map((name) =>
    row(
      parts[name],
      wakes.map((wake) => wake[name]),
    ),
  );
  return table(['part', 'median', 'shortest', 'longest'], [...rows, row('whole', wakes.map(totalMs))]);
}

function isWoken({ service, createdMs, scheduledMs }: Sighting, wanted: string, askedMs: number): true | undefined {
  return service === wanted && createdMs >= askedMs && scheduledMs !== undefined ? true : undefined;
}

/** One upload to the gateway, and when it was sent and answered, by the clock of the client's node. */
async function askOnce({ host, photo, withinMs }: { host: string; photo: string; withinMs: number }) {
  const { request } = await import('node:http');
  const headers = { host, 'content-type': 'image/jpeg' };
  const options = {
    host: 'kourier-internal.kourier-system.svc.cluster.local',
    path: '/classify',
    method: 'POST',
    headers,
  };
  const askedMs = Date.now();
  const status = await new Promise<number>((resolve, reject) => {
    const sent = request({ ...options, timeout: withinMs }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    sent.once('timeout', () => sent.destroy(new Error(`no answer in ${withinMs} ms`)));
    sent.once('error', reject);
    sent.end(Buffer.from(photo, 'base64'));
  });
  return { askedMs, answeredMs: Date.now(), status };
}

/** When process 1 of a container started: the kernel counts hundredths of a second from the machine's start. */
async function readStart(): Promise<number> {
  const { readFileSync } = await import('node:fs');
  const stat = readFileSync('/proc/1/stat', 'latin1');
  const startedSeconds = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) / 100;
  const upSeconds = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]);
  return Math.round(Date.now() - (upSeconds - startedSeconds) * 1000);
}
