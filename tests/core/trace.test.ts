import { describe, expect, it } from '@jest/globals';
import { ConfigError, loadConfig } from '../../functions/core/config.ts';
import { beginTrace, makeSpanId, readTraceparent } from '../../functions/core/observe/trace.ts';
import { classify } from '../../functions/tasks/classify/task.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';

describe('readTraceparent', () => {
  it.each([
    ['01', true],
    ['00', false],
    ['03', true],
    ['02', false],
  ])('takes flags %s', (flags, isSampled) => {
    expect(readTraceparent(`00-${traceId}-${parentId}-${flags}`)).toEqual({ traceId, parentId, isSampled });
  });

  it.each([
    ['nothing', undefined],
    ['an empty one', ''],
    ['several', [`00-${traceId}-${parentId}-01`, `00-${traceId}-${parentId}-01`]],
    ['several in one line', `00-${traceId}-${parentId}-01, 00-${traceId}-${parentId}-01`],
    ['no trace', `00-${'0'.repeat(32)}-${parentId}-01`],
    ['no parent', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['capitals', `00-${traceId.toUpperCase()}-${parentId}-01`],
    ['a digit too few', `00-${traceId.slice(1)}-${parentId}-01`],
    ['a digit too many', `00-${traceId}0-${parentId}-01`],
    ['a tail', `00-${traceId}-${parentId}-01-00`],
    ['a version that is none', `ff-${traceId}-${parentId}-01`],
    ['a version to come', `01-${traceId}-${parentId}-01`],
    ['words', 'yes'],
  ])('takes %s for none', (_what, header) => {
    expect(readTraceparent(header)).toBeUndefined();
  });
});

describe('a trace that begins here', () => {
  it('has ids of its own and is recorded', () => {
    const [one, other] = [beginTrace(), beginTrace()];

    expect(one).toEqual({
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      parentId: undefined,
      isSampled: true,
    });
    expect(one.traceId).not.toBe(other.traceId);
    expect(makeSpanId()).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe('the configuration of traces', () => {
  const read = (env: NodeJS.ProcessEnv) => loadConfig(classify, 1, env).traces;
  const url = 'http://collector:4318';

  it('is absent without a collector, whatever else is set', () => {
    expect(read({})).toBeUndefined();
    expect(read({ OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_SERVICE_NAME: 'photos' })).toBeUndefined();
  });

  it.each<[NodeJS.ProcessEnv, object]>([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: url }, { url: `${url}/v1/traces`, headers: {}, resource: {} }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/` }, { url: `${url}/v1/traces` }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/otlp` }, { url: `${url}/otlp/v1/traces` }],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/otlp` }, { url: `${url}/otlp` }],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces' },
      { url: 'https://traces' },
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20b%3D, x = 1 ,' },
      { headers: { 'api-key': 'a b=', x: '1' } },
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_RESOURCE_ATTRIBUTES: 'service.name=a,k8s.pod.name=b=c' },
      { resource: { 'service.name': 'a', 'k8s.pod.name': 'b=c' } },
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_RESOURCE_ATTRIBUTES: 'service.name=a', OTEL_SERVICE_NAME: 'photos' },
      { resource: { 'service.name': 'photos' } },
    ],
  ])('takes %j', (env, expected) => {
    expect(read(env)).toMatchObject(expected);
  });

  it.each([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318', 'an http or https URL', '"collector:4318"'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'grpc://collector', 'an http or https URL', '"grpc://collector"'],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', '/v1/traces', 'an http or https URL', '"/v1/traces"'],
    ['OTEL_RESOURCE_ATTRIBUTES', 'service', 'NAME=VALUE pairs with commas', '"service"'],
    ['OTEL_RESOURCE_ATTRIBUTES', 'a=%zz', 'NAME=VALUE pairs with commas', '"a=%zz"'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'secret', 'NAME=VALUE pairs with commas', '"something else"'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'a b=secret', 'NAME=VALUE pairs with commas', '"something else"'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'a=secret%0d%0ab: c', 'NAME=VALUE pairs with commas', '"something else"'],
  ])('refuses %s=%s', (name, text, expected, received) => {
    expect(() => read({ [name]: text })).toThrow(
      new ConfigError(`Expected ${expected} for ${name} but received ${received}`),
    );
  });
});
