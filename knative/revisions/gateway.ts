import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import type { Subject } from './kn.ts';
import { type State, StateError, servingOf } from './state.ts';

/** The gateway of cluster-local Services as this machine reaches it. */
export interface Gateway {
  readonly address: string;
  close(): Promise<void>;
}

/** A port of this machine that kubectl forwards into the cluster. */
export interface Forward {
  readonly port: number;
  /** Settles when it ends, also by itself: kubectl ends with the pod behind it. */
  readonly ended: Promise<unknown>;
  close(): Promise<void>;
}

interface Heard {
  readonly status: number;
  readonly revision: string | undefined;
}

const answersWithinMs = 5000;
const forwardsWithinMs = 30_000;
/** Characters of kubectl's complaint that are reported. */
const mostWords = 600;

/** The gateway at an address, else through a forwarded port. The caller closes it. @throws StateError where no gateway answers */
export async function openGateway(address: string | undefined, signal?: AbortSignal): Promise<Gateway> {
  const kourier = ['--namespace', 'kourier-system', 'service/kourier-internal', ':80'];
  const forward = address === undefined ? await forwardPort(kourier, signal) : undefined;
  const gateway = {
    address: address ?? `http://127.0.0.1:${forward?.port}`,
    close: async () => forward?.close(),
  };
  try {
    // A function answers 200 for any host; a gateway answers 404 for an unknown one.
    const heard = await ask(gateway.address, `${randomUUID()}.invalid`);
    if (heard.status !== 404) throw notGateway(gateway.address, `${heard.status} for a host that nobody has`);
    return gateway;
  } catch (fault) {
    await gateway.close();
    throw fault;
  }
}

/** @throws StateError where none of the revisions with traffic answers for the Service */
export async function proveService(address: string, { service, namespace }: Subject, state: State): Promise<void> {
  const host = `${service}.${namespace}.svc.cluster.local`;
  const { status, revision } = await ask(address, host);
  const serving = servingOf(state);
  if (status !== 200) throw notGateway(address, `${status} for ${host}`);
  if (revision !== undefined && serving.includes(revision)) return;
  throw new StateError(
    `Expected ${serving.join(' or ')} for X-Revision of ${host} at ${address} but received ${revision ?? 'none'}`,
  );
}

/** Has kubectl forward a free port to what these arguments name, `:PORT` last. @throws StateError with kubectl's complaint */
export async function forwardPort(what: readonly string[], signal?: AbortSignal): Promise<Forward> {
  const args = ['port-forward', '--address', '127.0.0.1', ...what];
  const child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'close').catch(() => undefined);
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    words = (words + chunk).slice(-mostWords);
  });
  const received = await new Promise<number | string>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      const [, port] = /^Forwarding from 127\.0\.0\.1:(\d+) /.exec(line) ?? [];
      if (port !== undefined) resolve(Number(port));
    });
    child.once('error', (fault: NodeJS.ErrnoException) => resolve(fault.code === 'ENOENT' ? 'none' : fault.message));
    child.once('close', () => resolve(words.trim() || 'its end'));
    signal?.addEventListener('abort', () => resolve('an interruption'));
    setTimeout(resolve, forwardsWithinMs, `nothing within ${forwardsWithinMs / 1000} s`).unref();
  });
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill();
    await ended;
  };
  if (typeof received === 'number') return { port: received, ended, close };
  await close();
  signal?.throwIfAborted();
  throw new StateError(`Expected a port from "kubectl ${args.join(' ')}" but received ${received}`);
}

/** @throws StateError where nothing answers at the address */
async function ask(address: string, host: string): Promise<Heard> {
  const heard = await new Promise<Heard | string>((resolve) => {
    const options = { agent: false, headers: { host }, timeout: answersWithinMs };
    const request = get(`${address}/livez`, options, (response) => {
      response.resume();
      resolve({ status: response.statusCode ?? 0, revision: response.headers['x-revision']?.toString() });
    });
    request.on('timeout', () => request.destroy(new Error(`nothing within ${answersWithinMs / 1000} s`)));
    request.on('error', (cause: NodeJS.ErrnoException) => resolve(cause.code ?? cause.message));
  });
  if (typeof heard === 'string') throw notGateway(address, heard);
  return heard;
}

function notGateway(address: string, received: string): StateError {
  return new StateError(`Expected the gateway of cluster-local Services at ${address} but received ${received}`);
}
