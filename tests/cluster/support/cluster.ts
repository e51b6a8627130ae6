import { readFileSync } from 'node:fs';
import { afterAll, beforeAll } from '@jest/globals';
import { type Driver, startDriver } from '../../chaos/driver.ts';
import { drawPhotos } from '../../chaos/photos.ts';
import { shippedVersions } from '../../support/models.ts';
import { kubectl, until } from './command.ts';
import { type Door, openDoor } from './door.ts';
import { createNamespace, deleteNamespace } from './namespace.ts';
import { type Change, type Platform, withOverlay } from './overlay.ts';

/** The whole service in its own namespace. */
export interface Cluster {
  readonly namespace: string;
  readonly door: Door;
  /** Applies the overlay again with these changes and waits until it is ready. */
  apply(changes?: readonly Change[]): Promise<void>;
  /** The same without waiting, for an overlay that never becomes ready. */
  deploy(changes: readonly Change[]): Promise<void>;
  /** Deletes the namespace; settles when nothing is left of it. */
  close(): Promise<void>;
}

/** Images are on the node and models load within two seconds; a slow node and its probes take longer. */
const readySeconds = 120;

/** Longer than nginx waits for both tiers. */
const answerWithinMs = 45_000;

const functions = ['classify-primary', 'classify-fallback', 'clouds', 'digits'];

/** Opens a cluster before the tests of a block, and closes it after them. */
export function useCluster(...options: Parameters<typeof openCluster>): Cluster {
  let opened: Cluster | undefined;
  const running = (): Cluster => {
    if (opened === undefined) throw new Error('Expected an open cluster but received none');
    return opened;
  };
  beforeAll(async () => {
    opened = await openCluster(...options);
  }, 240_000);
  afterAll(() => opened?.close(), 150_000);
  return {
    get namespace() {
      return running().namespace;
    },
    get door() {
      return running().door;
    },
    apply: (changes) => running().apply(changes),
    deploy: (changes) => running().deploy(changes),
    close: () => running().close(),
  };
}

/** Applies the development overlay, changed where the test needs it, in a namespace `understudy-test-NAME`. The caller closes it. */
export async function openCluster(
  name: string,
  changes: readonly Change[] = [],
  platform: Platform = 'knative',
): Promise<Cluster> {
  const namespace = `understudy-test-${name}`;
  const where = { namespace, platform };
  await createNamespace(namespace);
  let door: Door | undefined;
  async function close(): Promise<void> {
    await door?.close();
    await deleteNamespace(namespace);
  }
  try {
    await applyOverlay(where, changes);
    door = await openDoor(namespace);
    await untilPrimaryAnswers(door.origin);
  } catch (fault) {
    const words = await describe(where);
    await close();
    throw new Error(`${(fault as Error).message}\n${words}`, { cause: fault });
  }
  return {
    namespace,
    door,
    apply: (changes = []) => applyOverlay(where, changes),
    deploy: (changes) => deployOverlay(where, changes),
    close,
  };
}

interface Where {
  readonly namespace: string;
  readonly platform: Platform;
}

async function deployOverlay(where: Where, changes: readonly Change[]): Promise<void> {
  await withOverlay(where, changes, (folder) => kubectl(['apply', '-k', folder]));
}

async function applyOverlay(where: Where, changes: readonly Change[]): Promise<void> {
  await deployOverlay(where, changes);
  const { namespace, platform } = where;
  const limit = { withinMs: (readySeconds + 10) * 1000 };
  const deployments = ['ingress'];
  if (platform === 'kubernetes') deployments.push(...functions);
  else {
    const services = functions.map((name) => `ksvc/${name}`);
    await untilObserved(namespace, services);
    await kubectl(['-n', namespace, 'wait', ...services, '--for=condition=Ready', `--timeout=${readySeconds}s`], limit);
  }
  for (const name of deployments) {
    await kubectl(['-n', namespace, 'rollout', 'status', `deployment/${name}`, `--timeout=${readySeconds}s`], limit);
  }
}

/** Until its controller has seen a change, a Service's conditions are the old ones. */
async function untilObserved(namespace: string, services: readonly string[]): Promise<void> {
  const path = 'jsonpath={.metadata.generation} {.status.observedGeneration}';
  for (const service of services) {
    await until(`a controller that knows of ${service}`, async () => {
      const [wanted, seen] = (await kubectl(['-n', namespace, 'get', service, '-o', path])).split(' ');
      return wanted === seen ? true : undefined;
    });
  }
}

async function untilPrimaryAnswers(origin: string): Promise<void> {
  const body = readFileSync('tests/images/test_image_1.jpg');
  await until(`an answer of the Wide ResNet at ${origin}`, async () => {
    const headers = { 'content-type': 'image/jpeg' };
    const signal = AbortSignal.timeout(answerWithinMs);
    const response = await fetch(`${origin}/classify`, { method: 'POST', headers, body, signal });
    return response.headers.get('x-model') === 'wide-resnet' ? true : undefined;
  });
}

/** The objects and the warnings of Kubernetes, for a message. */
async function describe({ namespace, platform }: Where): Promise<string> {
  const asked = [
    ['get', platform === 'knative' ? 'ksvc,pods' : 'deployments,pods', '-o', 'wide'],
    ['get', 'events', '--field-selector', 'type=Warning'],
  ];
  const texts = asked.map((args) => kubectl(['-n', namespace, ...args]).catch((fault: Error) => fault.message));
  return (await Promise.all(texts)).join('\n');
}

/** Starts the driver of the fault tests in front of nginx: different photos at a fixed rate, an open loop. */
export async function drive({ door }: Cluster, perSecond: number): Promise<Driver> {
  const { calm } = await drawPhotos();
  const driver = startDriver({ origin: door.origin, perSecond, versions: shippedVersions() });
  driver.send((n) => calm[n % calm.length] as (typeof calm)[number]);
  return driver;
}
