import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Forward, forwardPort } from '../../../knative/revisions/gateway.ts';
import { kubectl } from './command.ts';

/** The ingress as this machine reaches it. */
export interface Door {
  readonly origin: string;
  /** Whether requests reach the Service itself; a forwarded port leads to one pod, as long as it lives. */
  readonly isDirect: boolean;
  close(): Promise<void>;
}

/** kube-proxy needs a second or two for a new address. */
const directTries = 4;
const tryMs = 1000;
/** From the end of a forwarded port to the next try. */
const againMs = 100;

/** Opens the ingress of a namespace: by its cluster address where this machine can reach it, else by a forwarded port. */
export async function openDoor(namespace: string): Promise<Door> {
  const address = await kubectl(['-n', namespace, 'get', 'service', 'ingress', '-o', 'jsonpath={.spec.clusterIP}']);
  const direct = `http://${address}`;
  for (let tries = 0; tries < directTries; tries += 1) {
    if (await isOpen(direct)) return { origin: direct, isDirect: true, close: async () => undefined };
  }
  return forward(namespace);
}

async function forward(namespace: string): Promise<Door> {
  const what = ['-n', namespace, 'service/ingress'];
  let current: Forward | undefined = await forwardPort([...what, ':80']);
  const { port } = current;
  let isClosing = false;
  /** kubectl ends with its pod; the next one forwards to another. */
  async function keep(): Promise<void> {
    for (; !isClosing; await sleep(againMs)) {
      await current?.ended;
      if (!isClosing) current = await forwardPort([...what, `${port}:80`]).catch(() => undefined);
    }
  }
  const kept = keep();
  return {
    origin: `http://127.0.0.1:${port}`,
    isDirect: false,
    async close() {
      isClosing = true;
      await current?.close();
      await kept;
      await current?.close(); // one that was started meanwhile
    },
  };
}

/** Whether nginx answers there, and not another host with this address. */
function isOpen(origin: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = get(`${origin}/healthz`, { agent: false, timeout: tryMs }, (response) => {
      response
        .setEncoding('utf8')
        .toArray()
        .then(
          (texts) => resolve(texts.join('') === '{"status":"ok"}'),
          () => resolve(false),
        );
    });
    probe.once('timeout', () => probe.destroy());
    probe.once('error', () => setTimeout(resolve, tryMs / 2, false));
  });
}
