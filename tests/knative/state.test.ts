import { describe, expect, it } from '@jest/globals';
import {
  currentOf,
  type RevisionsJson,
  readState,
  type ServiceJson,
  type State,
  StateError,
  type Target,
} from '../../knative/revisions/state.ts';

const [one, two] = ['classify-primary-00001', 'classify-primary-00002'] as const;
const image = (tag: number) => `registry.example/understudy-primary:${tag}`;

describe('readState', () => {
  const container = (tag: number, variables: object[] = []) => ({ image: image(tag), ports: [{}], env: variables });
  const condition = (type: string, status: string, more = {}) => ({ type, status, ...more });
  const variables = [{ name: 'A', value: 'b' }, { name: 'B' }, { name: 'C', valueFrom: {} }];
  const service = {
    metadata: { name: 'classify-primary', namespace: 'understudy', generation: 3 },
    spec: {
      template: { spec: { containers: [{ image: 'sidecar' }, container(2, variables)] } },
      traffic: [
        { latestRevision: true, percent: 90 },
        { revisionName: two, tag: 'candidate', percent: 10 },
      ],
    },
    status: { observedGeneration: 3, latestReadyRevisionName: one, conditions: [condition('RoutesReady', 'True')] },
  } as ServiceJson;
  const item = (generation: number, ...conditions: object[]) => ({
    metadata: { name: `r-${generation}`, labels: { 'serving.knative.dev/configurationGeneration': `${generation}` } },
    spec: { containers: [container(1)] },
    status: { conditions },
  });
  const late = condition('Ready', 'False', { reason: 'ProgressDeadlineExceeded' });
  const crashed = condition('ContainerHealthy', 'False', { reason: 'ExitCode1', message: 'Container failed' });
  const items = [
    item(9, condition('Ready', 'True')),
    item(11, condition('Ready', 'Unknown', { reason: 'Deploying' })),
    item(10, late, crashed),
    item(8, late, condition('ContainerHealthy', 'Unknown')),
  ];

  it('resolves the newest ready revision in the traffic, and takes the literal variables of the container with a port', () => {
    const { template, traffic } = readState(service, {});

    expect(template).toEqual({ image: image(2), env: { A: 'b', B: '' } });
    expect(traffic).toEqual([
      { revision: one, percent: 90, tag: '', isLatest: true },
      { revision: two, percent: 10, tag: 'candidate', isLatest: false },
    ]);
  });

  it('sorts the revisions by generation and reports the fate of each', () => {
    const { revisions } = readState(service, { items } as RevisionsJson);

    expect(revisions.map(({ name, isReady, reason }) => [name, isReady, reason])).toEqual([
      ['r-11', null, 'Deploying'],
      ['r-10', false, 'ExitCode1: Container failed'],
      ['r-9', true, ''],
      ['r-8', false, 'ProgressDeadlineExceeded'],
    ]);
  });

  it.each([
    ['the controller and the gateway have the last change', service.status, true],
    ['not where the controller has not seen it', { ...service.status, observedGeneration: 2 }, false],
    ['not where the gateway lags', { ...service.status, conditions: [condition('RoutesReady', 'Unknown')] }, false],
    ['not without any word', {}, false],
  ])('calls the traffic routed: %s', (_, status, expected) => {
    expect(readState({ ...service, status } as ServiceJson, {}).isRouted).toBe(expected);
  });
});

describe('currentOf', () => {
  const target = (revision: string, percent: number, tag = ''): Target => ({ revision, percent, tag, isLatest: false });
  const state = (traffic: readonly Target[]): State => ({
    ...{ service: 'classify-primary', namespace: 'understudy', template: { image: image(1), env: {} } },
    ...{ traffic, isRouted: true, revisions: [] },
  });

  it.each([
    ['the only one with traffic', [target(one, 100)], one],
    ['the one tagged current beside a candidate', [target(one, 40, 'current'), target(two, 60, 'candidate')], one],
    ['the one without the tag candidate', [target(one, 10), target(two, 90, 'candidate')], one],
    ['the largest share where none is tagged', [target(one, 30), target(two, 70)], two],
    ['one with traffic rather than a tag left behind', [target(one, 0, 'current'), target(two, 100)], two],
    ['the tagged one beside a candidate with all', [target(one, 0, 'current'), target(two, 100, 'candidate')], one],
  ])('is %s', (_, traffic, expected) => {
    expect(currentOf(state(traffic))).toBe(expected);
  });

  it('is a fault without traffic', () => {
    expect(() => currentOf(state([]))).toThrow(StateError);
  });
});
