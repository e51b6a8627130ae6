import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { freePort } from '../../../load/port.ts';
import { kubectl, until } from './command.ts';

/** The front door as this machine reaches it. */
export interface Door {
  readonly origin: string;
  /** Whether requests reach the Service itself; through a forwarded port they reach one pod, as long as that one lives. */
  readonly isDirect: boolean;
  close(): Promise<void>;
}

/** kube-proxy takes a second or two to learn of a new address. */
const directTries = 4;
const tryMs = 1000;

/** Finds the way to a namespace's front door: its cluster address where this machine can reach it, else a forwarded port. */
export async function openDoor(namespace: string): Promise<Door> {
  const address = await kubectl(['-n', namespace, 'get', 'service', 'ingress', '-o', 'jsonpath={.spec.clusterIP}']);
  const direct = `http://${address}`;
  for (let tries = 0; tries < directTries; tries += 1) {
    if (await isOpen(direct)) return { origin: direct, isDirect: true, close: async () => undefined };
  }
  return forward(namespace);
}

async function forward(namespace: string): Promise<Door> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const args = ['-n', namespace, 'port-forward', 'service/ingress', `${port}:80`];
  let child: ChildProcess | undefined;
  let isClosing = false;
  function start(): void {
    child = spawn('kubectl', args, { stdio: 'ignore' });
    // It ends with the pod that it leads to; the next one leads to another.
    child.once('exit', () => {
      if (!isClosing) setTimeout(() => isClosing || start(), 100);
    });
  }
  start();
  const close = async () => {
    isClosing = true;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill();
    await ended;
  };
  try {
    await until(`an answer of ${origin}/healthz`, async () => ((await isOpen(origin)) ? true : undefined));
  } catch (fault) {
    await close();
    throw fault;
  }
  return { origin, isDirect: false, close };
}

function isOpen(origin: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = get(`${origin}/healthz`, { agent: false, timeout: tryMs }, (response) => {
      response.resume().once('close', () => resolve(response.statusCode === 200));
    });
    probe.once('timeout', () => probe.destroy());
    probe.once('error', () => setTimeout(resolve, tryMs / 2, false));
  });
}
