import { describe, expect, it } from '@jest/globals';
import { loadConfig, loadConsume } from '../../functions/core/config.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { bytesOf } from '../support/manifests.ts';
import { at, parse, paths, readFiles, type Tree, textsOf } from './files.ts';

const files = readFiles();
const services = at(parse(files, paths.composeJobs), 'services') as Readonly<Record<string, Tree>>;
const environment = (name: string) => at(services, name, 'environment') as Readonly<Record<string, string>>;
const bytes = (limit: unknown) => bytesOf(String(limit).replace('m', 'Mi').replace('g', 'Gi'));

describe('compose.jobs.yaml', () => {
  const { kafka, s3 } = services as { kafka: Tree; s3: Tree };

  it.each(['primary', 'fallback', 'clouds', 'digits', 'events', 'consume'])('leads %s to the broker', (name) => {
    const [broker] = loadConsume(environment(name)).brokers;

    expect(at(kafka, 'environment').KAFKA_ADVERTISED_LISTENERS).toBe(`PLAINTEXT://${broker}`);
    expect(broker).toMatch(/^kafka:/);
    expect(at(kafka, 'environment').KAFKA_LISTENERS).toContain(`PLAINTEXT://:${broker?.split(':')[1]},`);
  });

  it.each(['primary', 'fallback', 'clouds', 'digits', 'events'])('leads %s to the bucket', (name) => {
    const { AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = environment(name);
    const { store } = loadConfig(classify, 1, environment(name)).jobs ?? {};

    expect(AWS_ENDPOINT_URL_S3).toBe('http://s3:7070'); // versitygw's own port
    expect(s3.volumes).toEqual([`s3:${(s3.command as string[]).at(-1)}/${store?.slice('s3://'.length)}`]);
    expect(at(s3, 'environment')).toEqual({
      ROOT_ACCESS_KEY_ID: AWS_ACCESS_KEY_ID,
      ROOT_SECRET_ACCESS_KEY: AWS_SECRET_ACCESS_KEY,
    });
  });

  it('leads the consumer to the function', () => {
    const { hostname, port } = new URL(loadConsume(environment('consume')).eventsUrl);

    expect(Object.keys(services)).toContain(hostname);
    expect(port).toBe('8080'); // as for all functions
  });

  it('leaves the broker memory beside its heap', () => {
    const [, heap] = /-Xmx(\w+)/.exec(String(at(kafka, 'environment').KAFKA_HEAP_OPTS)) ?? [];

    expect(bytes(heap)).toBeLessThanOrEqual(bytes(kafka.mem_limit) / 2);
  });
});

// podman-compose puts in the service's own variable, whatever the default says: LISTEN would open the port to the network.
it.each([paths.compose, paths.composeJobs])('%s names no setting after a variable of its service', (path) => {
  for (const service of Object.values(at(parse(files, path), 'services'))) {
    const settings = textsOf(service).flatMap((text) => [...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name));

    expect(Object.keys(at(service, 'environment')).filter((name) => settings.includes(name))).toEqual([]);
  }
});
