import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Gateway, openGateway } from '../../knative/revisions/gateway.ts';
import { kubectl } from './support/command.ts';

/** A resource that the test has to close. */
interface Closable {
  close(): Promise<void> | void;
}

/** The gateway, by its cluster address where this machine can reach it, else by a forwarded port. */
export async function findGateway(): Promise<Gateway> {
  const path = 'jsonpath={.spec.clusterIP}';
  const address = `http://${await kubectl(['-n', 'kourier-system', 'get', 'service', 'kourier-internal', '-o', path])}`;
  return openGateway(address).catch(() => openGateway(undefined));
}

/** Runs a `kubectl port-forward` line and settles when it forwards. */
export async function forwardAsWritten(line: string): Promise<Closable> {
  const child = spawn('sh', ['-c', `exec ${line}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const first = await Promise.race([once(createInterface(child.stdout), 'line'), ended]);
  if (!String(first[0]).startsWith('Forwarding from ')) throw new Error(`Expected "${line}" to forward but it ended`);
  return {
    async close() {
      child.kill();
      await ended;
    },
  };
}

/** A connection to the API server that can be cut: a TCP proxy. */
export interface Cable extends Closable {
  /** A kubeconfig that leads through it. */
  readonly kubeconfig: string;
  cut(): void;
  mend(): void;
}

/** Starts such a proxy for the API server of KUBECONFIG. */
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
