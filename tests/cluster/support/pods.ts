import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { kubectl, until } from './command.ts';

/** The part of a pod that is read. */
export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly restartCount: number;
      readonly state: { readonly running?: object; readonly waiting?: { readonly reason: string } };
    }[];
  };
}

/** Label by which Knative marks the pods of a Service. */
export function podsOf(service: string): string {
  return `serving.knative.dev/service=${service}`;
}

/** All pods with a label, ending ones included. */
export async function listPods(namespace: string, selector: string): Promise<readonly Pod[]> {
  const text = await kubectl(['-n', namespace, 'get', 'pods', '-l', selector, '-o', 'json']);
  return (JSON.parse(text) as { readonly items: readonly Pod[] }).items;
}

/** Whether the pod can serve: ready and not ending. */
export function isReady({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && hasCondition(status, 'Ready');
}

function hasCondition(status: Pod['status'], type: string): boolean {
  return (status.conditions ?? []).some((condition) => condition.type === type && condition.status === 'True');
}

/** The pods of a Service, once exactly so many can serve and no other starts. @throws Error when that is not in time */
export function untilPods(
  namespace: string,
  service: string,
  count: number,
  withinMs = 120_000,
): Promise<readonly Pod[]> {
  return until(
    `${count} ready pods of ${service}`,
    async () => {
      const pods = await listPods(namespace, podsOf(service));
      const staying = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      return staying.length === count && staying.every(isReady) ? staying : undefined;
    },
    { withinMs, everyMs: 500 },
  );
}

/**
 * Settles when Knative has removed every pod of a Service by itself, with the milliseconds waited. Pods that still drain (30 s) are
 * killed, so that none can answer.
 */
export async function untilZero(namespace: string, service: string, withinMs = 150_000): Promise<number> {
  const startedMs = performance.now();
  await untilPods(namespace, service, 0, withinMs);
  const waitedMs = performance.now() - startedMs;
  const ending = ['delete', 'pods', '-l', podsOf(service), '--grace-period=1', '--ignore-not-found', '--timeout=60s'];
  await kubectl(['-n', namespace, ...ending], { withinMs: 70_000 });
  return waitedMs;
}

/** When the watch first reported each state of a pod; Unix time. */
export interface Sighting {
  readonly name: string;
  readonly service: string;
  readonly createdMs: number;
  readonly scheduledMs?: number;
}

/** Watches the pods of a namespace that has some: the API's times are whole seconds. The caller stops it. */
export async function watchPods(
  namespace: string,
): Promise<{ sightings(): readonly Sighting[]; stop(): Promise<void> }> {
  const seen = new Map<string, Sighting>();
  // Existing pods come first, new ones after them.
  const watch = await watchObjects(namespace, 'watch=true', ({ metadata, status }) => {
    const nowMs = Date.now();
    const known = seen.get(metadata.name) ?? {
      name: metadata.name,
      service: metadata.labels['serving.knative.dev/service'] ?? '',
      createdMs: nowMs,
    };
    seen.set(metadata.name, { ...(hasCondition(status, 'PodScheduled') && { scheduledMs: nowMs }), ...known });
  });
  return { sightings: () => [...seen.values()], stop: watch.stop };
}

/** Watches the pods with a label and collects the names of unready ones. The caller stops it. */
export async function watchReadiness(
  namespace: string,
  selector: string,
): Promise<{ unready(): readonly string[]; stop(): Promise<void> }> {
  const query = `watch=true&labelSelector=${encodeURIComponent(selector)}`;
  const unready = new Set<string>();
  const watch = await watchObjects(namespace, query, (pod) => {
    if (!isReady(pod)) unready.add(pod.metadata.name);
  });
  return { unready: () => [...unready], stop: watch.stop };
}

/** Reports every existing pod, and every change of one; settles with the first. */
async function watchObjects(
  namespace: string,
  query: string,
  tell: (pod: Pod) => void,
): Promise<{ stop(): Promise<void> }> {
  const child = spawn('kubectl', ['get', '--raw', `/api/v1/namespaces/${namespace}/pods?${query}`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const lines = createInterface(child.stdout);
  lines.on('line', (line) => {
    const { type, object } = JSON.parse(line) as { readonly type: string; readonly object: Pod };
    if (type === 'ADDED' || type === 'MODIFIED') tell(object);
  });
  await once(lines, 'line');
  return {
    async stop() {
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}

/** The log so far of every existing nginx pod. */
export async function ingressLines(namespace: string): Promise<readonly Readonly<Record<string, string | number>>[]> {
  const pods = await listPods(namespace, 'app.kubernetes.io/name=ingress');
  return (await Promise.all(pods.map(({ metadata }) => logLines(namespace, metadata.name, 'ingress')))).flat();
}

/** The JSON lines that a container has logged so far. */
export async function logLines(
  namespace: string,
  pod: string,
  container: string,
): Promise<readonly Readonly<Record<string, string | number>>[]> {
  const text = await kubectl(['-n', namespace, 'logs', pod, '-c', container]);
  return text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}
