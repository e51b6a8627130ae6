import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { loadConfig, loadConsume, loadEventTasks } from '../../functions/core/config.ts';
import { readRoute } from '../../functions/core/http/request.ts';
import { holdMs } from '../../functions/core/jobs/hold.ts';
import { topicsOf } from '../../functions/core/jobs/topics.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { readOverlay } from '../support/kustomize.ts';
import { bytesOf, containerOf, environment, folderOf, type Manifest, podOf } from '../support/manifests.ts';

const folder = mkdtempSync('dist/overlay-');
writeFileSync(
  join(folder, 'kustomization.yaml'),
  `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: understudy
resources: [${relative(folder, folderOf('development'))}]
components: [${relative(folder, 'knative/base/events')}]
`,
);
const all = readOverlay(folder);
const find = (kind: string, name: string) =>
  all.find((object) => object.kind === kind && object.metadata.name === name) as Manifest;
const events = find('Service', 'events');
const variables = (find('ConfigMap', 'jobs') as unknown as { data: Record<string, string> }).data;
afterAll(() => rmSync(folder, { recursive: true }));

type Tree = Readonly<Record<string, unknown>>;

/** What a field of an object must be: a kind of value, a list of one, one of some values, or an object whose fields are optional but for those with a `!`. */
type Schema = string | RegExp | readonly [Schema] | { readonly [field: string]: Schema } | ReadonlySet<unknown>;

const reference: Schema = {
  'ref!': { 'apiVersion!': 'string', 'kind!': 'string', 'name!': 'string', namespace: 'string' },
  uri: 'string',
};
const isoDuration = /^P(?!$)(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)$/;

/** Of the KafkaSource of sources.knative.dev/v1, what its types and its webhook ask for; the CRD itself lets anything pass. */
const kafkaSource: Schema = {
  'bootstrapServers!': ['string'],
  'topics!': ['string'],
  consumerGroup: 'string',
  'initialOffset!': new Set(['earliest', 'latest']),
  ordering: new Set(['ordered', 'unordered']),
  consumers: 'number',
  delivery: {
    retry: 'number',
    backoffPolicy: new Set(['linear', 'exponential']),
    backoffDelay: isoDuration,
    timeout: isoDuration,
    deadLetterSink: reference,
  },
  'sink!': reference,
};

const kafkaSink: Schema = { 'bootstrapServers!': ['string'], 'topic!': 'string' };

/** What is wrong with a value, by its path. */
function faultsOf(value: unknown, schema: Schema, path = 'spec'): string[] {
  if (typeof schema === 'string') return typeof value === schema ? [] : [`${path} is no ${schema}`];
  if (schema instanceof RegExp) return schema.test(String(value)) ? [] : [`${path} is ${value}`];
  if (schema instanceof Set) return schema.has(value) ? [] : [`${path} is ${value}`];
  if (Array.isArray(schema)) {
    const isList = Array.isArray(value) && value.length > 0;
    return isList ? value.flatMap((one, i) => faultsOf(one, schema[0], `${path}.${i}`)) : [`${path} is no list`];
  }
  const fields = new Map(Object.entries(schema as Tree).map(([name, of]) => [name.replace('!', ''), of as Schema]));
  const missing = Object.keys(schema).filter((name) => name.endsWith('!') && !(name.slice(0, -1) in (value as Tree)));
  return [
    ...missing.map((name) => `${path}.${name.slice(0, -1)} is missing`),
    ...Object.entries(value as Tree).flatMap(([name, one]) => {
      const of = fields.get(name);
      return of === undefined ? [`${path}.${name} is unknown`] : faultsOf(one, of, `${path}.${name}`);
    }),
  ];
}

describe('the component of jobs over Kafka', () => {
  const source = find('KafkaSource', 'jobs').spec as unknown as {
    bootstrapServers: string[];
    topics: string[];
    consumerGroup: string;
    sink: { ref: { name: string } };
    delivery: {
      retry: number;
      backoffPolicy: string;
      backoffDelay: string;
      timeout: string;
      deadLetterSink: { ref: { kind: string; name: string } };
    };
  };
  const sink = find('KafkaSink', 'jobs-dead').spec as unknown as { topic: string; bootstrapServers: string[] };
  const { main, dead } = topicsOf(String(variables.KAFKA_TOPIC));

  it('has a source and a sink as their schemas ask for', () => {
    expect(faultsOf(source, kafkaSource)).toEqual([]);
    expect(faultsOf(sink, kafkaSink)).toEqual([]);
  });

  it.each([
    ['an unknown field', { ...source, topic: 'x' }, 'spec.topic is unknown'],
    ['another offset', { ...source, initialOffset: 'first' }, 'spec.initialOffset is first'],
    ['a number that is a text', { ...source, delivery: { retry: '3' } }, 'spec.delivery.retry is no number'],
    ['another duration', { ...source, delivery: { backoffDelay: '1s' } }, 'spec.delivery.backoffDelay is 1s'],
    ['no topic', { ...source, topics: [] }, 'spec.topics is no list'],
    ['no sink', Object.fromEntries(Object.entries(source).filter(([name]) => name !== 'sink')), 'spec.sink is missing'],
  ])('would be told of %s', (_, spec, fault) => {
    expect(faultsOf(spec, kafkaSource)).toEqual([fault]);
  });

  it('leads from the topic of the functions to the Service, and to the topic of the dead', () => {
    expect(source.topics).toEqual([main]);
    expect(source.consumerGroup).toBe(main); // by which the functions count
    expect([source.bootstrapServers, sink.bootstrapServers].map(String)).toEqual(
      Array(2).fill(variables.KAFKA_BROKERS),
    );
    expect(source.sink.ref.name).toBe(events.metadata.name);
    const { kind, name } = source.delivery.deadLetterSink.ref;
    expect(find(kind, name)).toBeDefined();
    expect(sink.topic).toBe(dead);
    expect(source.delivery.timeout).toBe(`PT${podOf(events).timeoutSeconds}S`);
  });

  // The n-th pause of linear back-off is n delays, of exponential back-off 2 to the power of n, as the source's sender counts.
  const { retry, backoffPolicy, backoffDelay } = source.delivery;
  const delayS = Number(/^PT([\d.]+)S$/.exec(backoffDelay)?.[1]);
  const pausesMs = Array.from(
    { length: retry },
    (_, i) => 1000 * delayS * (backoffPolicy === 'linear' ? i + 1 : 2 ** (i + 1)),
  );

  it('brings a job in time for another model than the lead model, whatever its patience', () => {
    const isInTime = (patienceMs: number) => {
      let at = 0;
      for (let n = 0; at < Math.min(0.9 * patienceMs, patienceMs - holdMs); n += 1) at += pausesMs[n] ?? Infinity;
      return at < patienceMs;
    };
    const patiencesS = Array.from({ length: 500 }, (_, i) => Math.round(86_400 ** ((i + 1) / 500)));
    expect(patiencesS.filter((patienceS) => !isInTime(1000 * patienceS))).toEqual([]);
  });

  it('gives all functions the same store and queue', () => {
    const functions = all.filter(({ apiVersion, kind }) => apiVersion.startsWith('serving.') && kind === 'Service');
    const { store, kafka } = loadConfig(classify, 1, variables).jobs ?? {};

    expect(store).toMatch(/^s3:/);
    expect(kafka).toEqual({ brokers: [variables.KAFKA_BROKERS], topic: main });
    expect(loadConsume(variables).topic).toBe(main);
    expect(functions.map(({ metadata }) => metadata.name).sort()).toEqual(
      ['classify-fallback', 'classify-primary', 'clouds', 'digits', 'events'].sort(),
    );
    for (const service of functions) {
      expect(containerOf(service)).toMatchObject({
        envFrom: [{ configMapRef: { name: 'jobs' } }, { secretRef: { name: 'jobs', optional: true } }],
      });
    }
  });

  it('lets a client wait for the end of a job at any function, as long as the ingress does', () => {
    for (const name of ['classify-primary', 'classify-fallback', 'clouds', 'digits']) {
      expect(podOf(find('Service', name)).responseStartTimeoutSeconds).toBeGreaterThan(32);
    }
  });

  it('sets what the function reads, and probes what it has', () => {
    const { readinessProbe, livenessProbe, ports } = containerOf(events);

    expect(loadConfig(classify, 64, environment(events)).workers).toBe(1);
    expect(loadEventTasks([{ name: 'classify' }], environment(events))).toHaveLength(1);
    expect([readinessProbe, livenessProbe].map(({ httpGet }) => readRoute('GET', httpGet.path, '').name)).toEqual([
      'readyz',
      'livez',
    ]);
    expect(ports[0]?.containerPort).toBe(8080);
  });

  it('is found by the policies, and reaches bucket and brokers', () => {
    const { podSelector, egress } = find('NetworkPolicy', 'jobs').spec;
    const { labels } = events.spec.template.metadata;

    expect(labels).toMatchObject(podSelector.matchLabels);
    expect(labels).toMatchObject(find('NetworkPolicy', 'functions').spec.podSelector.matchLabels);
    const port = Number(String(variables.KAFKA_BROKERS).split(':')[1]);
    expect(egress).toEqual([{ ports: [{ port: 443 }, { port }] }]);
  });

  it('locks its pod down, and bounds its memory', () => {
    const { securityContext, resources } = containerOf(events);

    expect(securityContext).toEqual(containerOf(find('Service', 'clouds')).securityContext);
    expect(podOf(events).automountServiceAccountToken).toBe(false);
    expect(Object.keys(resources.limits)).toEqual(['memory']);
    expect(bytesOf(String(resources.requests.memory))).toBeLessThanOrEqual(bytesOf(String(resources.limits.memory)));
  });

  it('labels all that it has', () => {
    for (const { metadata } of all)
      expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/part-of': 'understudy' });
  });
});
