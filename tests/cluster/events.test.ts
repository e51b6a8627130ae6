import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { toMessage, toRequest } from '../../functions/core/jobs/binding.ts';
import type { JobEvent } from '../../functions/core/jobs/event.ts';
import { eventOf } from '../events/tools/event.ts';
import { load } from '../support/yaml.ts';
import { kubectl } from './support/command.ts';
import { runInside, startClient } from './support/inside.ts';
import { createNamespace, deleteNamespace } from './support/namespace.ts';
import { imageOf, readImages } from './support/overlay.ts';
import { listPods, podsOf, untilPods, untilZero } from './support/pods.ts';

jest.setTimeout(300_000);

const namespace = 'understudy-test-events';
/** In the pod's own folder: what is shared between pods needs a bucket, which npm run test:events has. */
const store = '/tmp/jobs';

/** The manifest of the component, with the image under test and a short window, without the ConfigMap and the source of events. */
function manifest(): object {
  // biome-ignore lint/suspicious/noExplicitAny: it is the YAML as it is
  const service = load(readFileSync('knative/base/events/events.yaml', 'utf8')) as any;
  const [container] = service.spec.template.spec.containers;
  delete container.envFrom;
  container.image = imageOf('events', readImages());
  container.env.push({ name: 'JOBS_STORE', value: store });
  container.resources.requests = { cpu: '100m', memory: '320Mi' }; // just started: 290 MiB
  const { annotations } = service.spec.template.metadata;
  annotations['autoscaling.knative.dev/window'] = '6s'; // Knative's minimum
  annotations['autoscaling.knative.dev/scale-to-zero-pod-retention-period'] = '10s';
  return service;
}

/** Posts an event as the Kafka source does, from within the cluster. */
function post(event: JobEvent): Promise<{ status: number; text: string; answeredMs: number }> {
  const { headers, body } = toRequest(toMessage(event));
  const url = `http://events.${namespace}.svc.cluster.local/`;
  return runInside(namespace, postInside, { url, headers, body: Buffer.from(body).toString() });
}

async function postInside({ url, headers, body }: { url: string; headers: Record<string, string>; body: string }) {
  const startedMs = performance.now();
  const response = await fetch(url, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text(), answeredMs: performance.now() - startedMs };
}

/** Accepts a job into the store of the pod, as the function would that takes it, and returns its event. */
async function acceptInside({ folder, photo }: { folder: string; photo: string }): Promise<JobEvent> {
  const { createDirectoryStore } = await import('/app/dist/functions/core/jobs/directory.js' as string);
  const { createRecords } = await import('/app/dist/functions/core/jobs/records.js' as string);
  const { createDue } = await import('/app/dist/functions/core/jobs/due.js' as string);
  const { createDesk } = await import('/app/dist/functions/core/jobs/desk.js' as string);
  const store = createDirectoryStore(folder);
  const hourMs = 3_600_000;
  const events: JobEvent[] = [];
  const desk = createDesk({
    store,
    records: createRecords({ store, retentionMs: hourMs, onEnd: async () => {} }),
    due: createDue({ store, retentionMs: hourMs, photoRetentionMs: hourMs }),
    queue: { send: async (event: JobEvent) => events.push(event), backlog: async () => ({ count: 0 }) },
    max: 10,
  });
  const order = {
    task: 'digits',
    ask: { query: '', headers: {} },
    strict: false,
    requestId: 'cluster',
    deadlineMs: hourMs,
  };
  await desk.accept({ ...order, bytes: Buffer.from(photo, 'base64'), mediaType: 'image/png' }, () => '1');
  return events[0] as JobEvent;
}

async function readInside({ folder, id }: { folder: string; id: string }): Promise<unknown> {
  const { createDirectoryStore } = await import('/app/dist/functions/core/jobs/directory.js' as string);
  const stored = await createDirectoryStore(folder).get(`records/${id}`);
  return JSON.parse(Buffer.from(stored.bytes).toString());
}

describe('a function that takes events, at zero', () => {
  beforeAll(async () => {
    await createNamespace(namespace);
    await startClient(namespace);
    await kubectl(['-n', namespace, 'apply', '-f', '-'], { input: JSON.stringify(manifest()) });
    await kubectl(['-n', namespace, 'wait', 'ksvc/events', '--for=condition=Ready', '--timeout=120s'], {
      withinMs: 130_000,
    });
  }, 240_000);

  afterAll(() => deleteNamespace(namespace), 150_000);

  it('is woken by an event, answers it, and runs the job of the next one', async () => {
    await untilZero(namespace, 'events');
    const { status, text, answeredMs } = await post(eventOf());
    process.stderr.write(`Cold start of events: ${answeredMs.toFixed(0)} ms to the answer\n`);
    expect([status, text]).toEqual([204, '']);

    const [pod] = await untilPods(namespace, 'events', 1);
    const inside = { pod: String(pod?.metadata.name), container: 'function' };
    const photo = readFileSync('tests/images/digit.png').toString('base64');
    const event = await runInside(namespace, acceptInside, { folder: store, photo }, inside);
    const answer = await post(event);

    expect(await listPods(namespace, podsOf('events'))).toHaveLength(1);
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(await runInside(namespace, readInside, { folder: store, id: event.id }, inside)).toMatchObject({
      state: 'succeeded',
      attempts: 1,
    });
  });
});
