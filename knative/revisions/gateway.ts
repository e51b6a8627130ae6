import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import type { Subject } from './kn.ts';
import { type State, StateError, shareOf } from './state.ts';

/** The gateway of cluster-local Services as this machine reaches it. */
export interface Gateway {
  readonly address: string;
  close(): Promise<void>;
}

/** What lies behind a Service's address, on a port of this machine: kubectl takes one that is free and says which. */
export interface Forward {
  readonly port: number;
  /** Settles when it ends, by itself too: kubectl ends with the pod that it leads to. */
  readonly ended: Promise<unknown>;
  close(): Promise<void>;
}

interface Heard {
  readonly status: number;
  readonly revision: string | undefined;
}

/** What kubectl is asked to forward, and the port that a person would name. */
const service = ['--namespace', 'kourier-system', 'service/kourier-internal'];
export const addressByHand = 'http://127.0.0.1:8081';
export const forwardByHand = ['kubectl', 'port-forward', ...service, '8081:80'].join(' ');

const answersWithinMs = 5000;
const forwardsWithinMs = 30_000;
const mostWords = 600;

/**
 * The gateway at an address, or without one by a port that kubectl forwards. The caller closes it.
 * @throws StateError where no gateway answers there: whatever else listens knows hosts that nobody has
 */
export async function openGateway(address: string | undefined, signal?: AbortSignal): Promise<Gateway> {
  const forward = address === undefined ? await forwardPort([...service, ':80'], signal) : undefined;
  const gateway = {
    address: address ?? `http://127.0.0.1:${forward?.port}`,
    close: async () => forward?.close(),
  };
  try {
    // Functions answer this path with 200 and for any host; nginx answers every other path so.
    const heard = await ask(gateway.address, `${randomUUID()}.invalid`);
    if (heard.status !== 404) throw notGateway(gateway.address, `${heard.status} for a host that nobody has`);
    return gateway;
  } catch (fault) {
    await gateway.close();
    throw fault;
  }
}

/** @throws StateError where what answers for the Service is none of the revisions that have its traffic */
export async function proveService(address: string, { service, namespace }: Subject, state: State): Promise<void> {
  const host = `${service}.${namespace}.svc.cluster.local`;
  const { status, revision } = await ask(address, host);
  const serving = [...new Set(state.traffic.map((target) => target.revision))].filter(
    (name) => shareOf(state, name) > 0,
  );
  if (status !== 200) throw notGateway(address, `${status} for ${host}`);
  if (revision !== undefined && serving.includes(revision)) return;
  throw new StateError(
    `Expected ${serving.join(' or ')} for X-Revision of ${host} at ${address} but received ${revision ?? 'none'}`,
  );
}

/** Has kubectl forward to what these arguments name, `:PORT` last. @throws StateError with its words where it does not */
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
  const close = () => end(child, ended);
  if (typeof received === 'number') return { port: received, ended, close };
  await close();
  signal?.throwIfAborted();
  throw new StateError(`Expected a port from "kubectl ${args.join(' ')}" but received ${received}`);
}

async function end(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill();
  await ended;
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
