import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../load/port.ts';
import { kubectl, until } from './support/command.ts';

/** Something that the test has opened and has to close. */
interface Closable {
  close(): Promise<void> | void;
}

/** The gateway of cluster-local Services as this machine reaches it. */
export interface Gateway extends Closable {
  readonly address: string;
}

const forward = 'kubectl port-forward --namespace kourier-system service/kourier-internal';
const answersWithinMs = 1000;

/** By its cluster address where this machine can reach it, else by a forwarded port. */
export async function openGateway(): Promise<Gateway> {
  const path = 'jsonpath={.spec.clusterIP}';
  const address = `http://${await kubectl(['-n', 'kourier-system', 'get', 'service', 'kourier-internal', '-o', path])}`;
  if (await answers(address)) return { address, close: () => undefined };
  return forwardGateway(await freePort());
}

/** By a port that kubectl forwards when it is called so. */
export async function forwardGateway(port: number, line = `${forward} ${port}:80`): Promise<Gateway> {
  const child = spawn('sh', ['-c', `exec ${line}`], { stdio: 'ignore' });
  const address = `http://127.0.0.1:${port}`;
  const close = () => end(child);
  try {
    await until('a forwarded port', async () => ((await answers(address)) ? true : undefined));
  } catch (fault) {
    await close();
    throw fault;
  }
  return { address, close };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill();
  await ended;
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = get(address, { agent: false, timeout: answersWithinMs }, (response) => {
      response.resume().once('close', () => resolve(true)); // a 404: it knows no such host
    });
    probe.once('timeout', () => probe.destroy());
    probe.once('error', () => resolve(false));
  });
}

/** A way to the API server that can be cut. */
export interface Cable extends Closable {
  /** A configuration that leads through it. */
  readonly kubeconfig: string;
  cut(): void;
  mend(): void;
}

/** Lays a cable beside the way that KUBECONFIG names. */
export async function layCable(): Promise<Cable> {
  const config = JSON.parse(await kubectl(['config', 'view', '--raw', '--flatten', '--minify', '-o', 'json'])) as {
    readonly clusters: { readonly cluster: { server: string; 'tls-server-name'?: string } }[];
  };
  const cluster = config.clusters[0]?.cluster;
  if (cluster === undefined) throw new Error('Expected a cluster in KUBECONFIG but received none');
  const { hostname, port } = new URL(cluster.server);
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    const far = connect(Number(port || 443), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    }
    near.pipe(far).pipe(near);
    if (isCut) near.destroy();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cluster['tls-server-name'] ??= hostname;
  cluster.server = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const folder = mkdtempSync(join(tmpdir(), 'understudy-cable-'));
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    kubeconfig,
    cut() {
      isCut = true;
      drop();
    },
    mend() {
      isCut = false;
    },
    close() {
      server.close();
      drop();
      rmSync(folder, { recursive: true });
    },
  };
}
