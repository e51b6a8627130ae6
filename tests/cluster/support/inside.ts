import { kubectl, until } from './command.ts';
import { createNamespace, deleteNamespace } from './namespace.ts';
import { imageOf, readImages } from './overlay.ts';

/** Runs in a container: it may use only its argument and Node's own modules. */
type Inside<Argument, Result> = (argument: Argument) => Promise<Result>;

const client = 'client';

/** The strictest that a cluster may require, and the functions' user. */
const securityContext = {
  runAsNonRoot: true,
  runAsUser: 65532,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

interface PodOptions {
  readonly namespace: string;
  readonly name: string;
  readonly script: string;
  readonly spec?: object;
}

/** A pod of the primary's image, which has Node, that runs a script. */
async function createPod({ namespace, name, script, spec = {} }: PodOptions): Promise<void> {
  const container = {
    name,
    image: imageOf('primary', readImages()),
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', script],
    securityContext,
  };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { 'app.kubernetes.io/name': name } },
    spec: { restartPolicy: 'Never', automountServiceAccountToken: false, containers: [container], ...spec },
  };
  const create = () => kubectl(['-n', namespace, 'apply', '-f', '-'], { input: JSON.stringify(pod) });
  await until(`a pod ${name}`, create, { withinMs: 20_000 }); // a new namespace has no service account yet
}

/** Starts the pod that `runInside` uses: a client within the cluster, which can reach every part of the platform. */
export async function startClient(namespace: string): Promise<void> {
  const policy = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: client },
    spec: {
      podSelector: {},
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: { matchLabels: { 'app.kubernetes.io/name': client } } }] }],
    },
  };
  await kubectl(['-n', namespace, 'apply', '-f', '-'], { input: JSON.stringify(policy) });
  await createPod({ namespace, name: client, script: 'setInterval(() => {}, 1e9)' });
  await kubectl(['-n', namespace, 'wait', `pod/${client}`, '--for=condition=Ready', '--timeout=60s']);
}

/** Runs a function in the client's pod, or in a container of another one, and returns its result. */
export async function runInside<Argument, Result>(
  namespace: string,
  inside: Inside<Argument, Result>,
  argument: Argument,
  { pod = client, container = '', withinMs = 60_000 } = {},
): Promise<Result> {
  const call = `(${inside.toString()})(${JSON.stringify(argument)})`;
  // The compiler has it rewrite what is imported.
  const helper = 'const __rewriteRelativeImportExtension = (path) => path;';
  const script = `${helper}${call}.then((result) => process.stdout.write(JSON.stringify(result)))`;
  const where = container === '' ? [pod] : [pod, '-c', container];
  const args = ['-n', namespace, 'exec', '-i', ...where, '--', 'node', '-'];
  return JSON.parse(await kubectl(args, { input: script, withinMs })) as Result;
}

/** What a process in the node's process namespace does to a function. */
export interface Blow {
  readonly podUid: string;
  readonly nodeName: string;
  readonly signal: 'SIGSTOP' | 'SIGKILL';
  /** It signals every new process too, until so many are signaled. */
  readonly times: number;
  readonly withinMs: number;
}

/**
 * Sends signals to the function of a pod. It is process 1 of its namespace, which the kernel protects from signals from within, so
 * they come from a pod in the node's process namespace, as the same user. That pod has its own Kubernetes namespace; a cluster may forbid it.
 */
export async function strike(blow: Blow): Promise<void> {
  const namespace = 'understudy-test-striker';
  const name = 'striker';
  const script = `(${strikeInside.toString()})(${JSON.stringify(blow)})`;
  await createNamespace(namespace);
  try {
    await createPod({ namespace, name, script, spec: { hostPID: true, nodeName: blow.nodeName } });
    await until(
      `${blow.times} times ${blow.signal}`,
      async () => {
        const phase = await kubectl(['-n', namespace, 'get', 'pod', name, '-o', 'jsonpath={.status.phase}']);
        if (phase === 'Failed') throw new Error(await kubectl(['-n', namespace, 'logs', name]));
        return phase === 'Succeeded' ? true : undefined;
      },
      { withinMs: blow.withinMs + 30_000 },
    );
  } finally {
    await deleteNamespace(namespace);
  }
}

async function strikeInside({ podUid, signal, times, withinMs }: Blow): Promise<void> {
  const { readdirSync, readFileSync } = await import('node:fs');
  const read = (path: string) => {
    try {
      return readFileSync(path, 'latin1');
    } catch {
      return ''; // it has ended
    }
  };
  // The control group names the pod, with underscores where systemd manages it.
  const isOurs = (pid: number) =>
    read(`/proc/${pid}/cgroup`).replaceAll('_', '-').includes(podUid) &&
    read(`/proc/${pid}/cmdline`).includes('functions/serve.js');
  const struck = new Set<number>();
  for (const endMs = Date.now() + withinMs; struck.size < times; ) {
    if (Date.now() > endMs) {
      process.stdout.write(`Expected ${times} processes of pod ${podUid} but received ${struck.size}\n`);
      process.exit(1);
    }
    const pids = readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && !struck.has(pid) && isOurs(pid));
    for (const pid of pids) {
      process.kill(pid, signal);
      struck.add(pid);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
