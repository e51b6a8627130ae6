import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../functions/core/config.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { renderIngress } from '../../ingress/render.ts';
import {
  bytesOf,
  type Container,
  containerOf,
  count,
  environment,
  type Manifest,
  podOf,
  render,
} from '../support/manifests.ts';

const knative = render('production');
const plain = render('kubernetes');
const { find, ingress } = plain;
const names = ['primary', 'fallback', 'clouds', 'digits'] as const;
const variables = environment(ingress);

/** The fallback's highest memory, MiB: knative/README.md#memory. */
const fallbackMiB = 1086;
/** What nginx takes of an upload of 10 MB, bytes. */
const uploadBytes = 10_304 * 1024;

describe.each(names)('%s without Knative', (name) => {
  const [before, after] = [knative[name], plain[name]];
  const service = find('Service', after.metadata.name);
  const budget = find('PodDisruptionBudget', after.metadata.name);

  it('is a Deployment of the same pod, but for what the platform asks and its end', () => {
    const { containerConcurrency, responseStartTimeoutSeconds, timeoutSeconds, ...pod } = podOf(before);
    const { ports, readinessProbe, livenessProbe, ...container } = containerOf(before);
    const toHttp = ({ httpGet, ...probe }: Container['readinessProbe']) => ({
      ...probe,
      httpGet: { ...httpGet, port: 'http' },
    });

    expect([after.apiVersion, after.kind]).toEqual(['apps/v1', 'Deployment']);
    expect(after.spec.template.metadata).toEqual({ labels: before.spec.template.metadata.labels });
    expect(podOf(after)).toEqual({
      ...pod,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: expect.any(Number),
      containers: [
        {
          ...container,
          ports: [{ containerPort: ports[0]?.containerPort, name: 'http' }],
          readinessProbe: toHttp(readinessProbe),
          livenessProbe: toHttp(livenessProbe),
          lifecycle: containerOf(ingress).lifecycle,
        },
      ],
    });
  });

  it('drains for as long as a function may', () => {
    const { drainMs } = loadConfig(classify, 1, environment(after)); // of every task
    const pause = Number(containerOf(after).lifecycle?.preStop.sleep.seconds);

    expect(podOf(after).terminationGracePeriodSeconds).toBeGreaterThan(pause + drainMs / 1000);
  });

  it('has a Service, a selector and a budget that mean its pods', () => {
    const { labels } = after.spec.template.metadata;

    expect(service.spec.ports).toEqual([{ name: 'http', port: 80, targetPort: 'http' }]);
    for (const selector of [service.spec.selector, after.spec.selector.matchLabels, budget.spec.selector.matchLabels]) {
      expect(selector).toEqual({ 'app.kubernetes.io/name': after.metadata.name });
      expect(labels).toMatchObject(selector);
    }
    expect(budget.spec.maxUnavailable).toBe(1); // a single replica must not block a drain
  });

  it('is where nginx asks for it', () => {
    const { name: service, namespace } = after.metadata;

    expect(variables[`${name.toUpperCase()}_ADDRESS`]).toBe(`${service}.${namespace}.svc.cluster.local:80 resolve`);
  });

  it('leaves its number of pods to whoever scales it', () => {
    const isScaled = plain.all.some(
      ({ kind, metadata }) => kind === 'HorizontalPodAutoscaler' && metadata.name === after.metadata.name,
    );

    expect(isScaled).toBe(['primary', 'fallback'].includes(name));
    expect(after.spec).not.toHaveProperty('replicas'); // `apply` would reset it; without an autoscaler it is one
  });
});

describe('the kubernetes overlay', () => {
  const scalerOf = (deployment: Manifest) => find('HorizontalPodAutoscaler', deployment.metadata.name).spec;
  const passed = (tier: string) => Number(variables[`${tier}_MAX_CONNS`]) * Number(ingress.spec.replicas);
  const concurrency = (name: (typeof names)[number]) => Number(podOf(knative[name]).containerConcurrency);

  it('has nothing of Knative', () => {
    const objects = plain.all.filter(({ kind }) => kind !== 'ConfigMap'); // nginx.conf explains itself

    expect(JSON.stringify(objects)).not.toMatch(/knative|kourier|null/);
    expect(new Set(plain.all.map(({ metadata }) => metadata.namespace ?? metadata.name)).size).toBe(1);
    for (const { metadata } of plain.all) {
      expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/part-of': 'understudy' });
    }
  });

  it('has the ingress of production, but for addresses and limits', () => {
    const own = Object.keys(variables).filter((name) => /_(ADDRESS|MAX_CONNS)$/.test(name));
    const pick = (all: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(all).filter(([name]) => !own.includes(name) && name !== 'GATEWAY'));
    const withoutVariables = (object: Manifest) => ({
      ...object.spec,
      template: { spec: { ...podOf(object), containers: [{ ...containerOf(object), env: [] }] } },
    });

    expect(own).toHaveLength(8);
    expect(pick(variables)).toEqual(pick(environment(knative.ingress)));
    expect(withoutVariables(ingress)).toEqual(withoutVariables(knative.ingress));
    expect(variables).not.toHaveProperty('GATEWAY');
    expect(Object.values(variables).join()).not.toContain('$('); // all were known where they are used
    const rendered = renderIngress({ ...variables, SITE: '/site', RESOLVER: '10.96.0.10' }); // the image's SITE
    expect(rendered).toContain('/classify, /infer, /predict');
  });

  it('scales the primary as Knative does', () => {
    const { minReplicas, maxReplicas } = scalerOf(plain.primary);

    expect([minReplicas, maxReplicas]).toEqual(['min-scale', 'max-scale'].map((knob) => count(knative.primary, knob)));
    expect(passed('PRIMARY')).toBe(16 * Number(environment(plain.primary).WORKERS) * Number(maxReplicas));
    expect(passed('PRIMARY')).toBe(concurrency('primary') * Number(minReplicas));
  });

  it('keeps a fallback awake that has memory for all that it may get', () => {
    const { minReplicas, maxReplicas } = scalerOf(plain.fallback);
    const limit = bytesOf(String(containerOf(plain.fallback).resources.limits.memory));

    expect(minReplicas).toBe(1);
    expect(passed('FALLBACK')).toBe(concurrency('fallback') * Number(maxReplicas));
    expect(fallbackMiB * 1024 ** 2 + passed('FALLBACK') * uploadBytes).toBeLessThanOrEqual(limit);
  });

  it('passes to the one pod of clouds and of digits what Knative does', () => {
    expect([passed('CLOUDS'), passed('DIGITS')]).toEqual([concurrency('clouds'), concurrency('digits')]);
  });

  it('scales what there is', () => {
    for (const { kind, spec, metadata } of plain.all.filter(({ kind }) => kind === 'HorizontalPodAutoscaler')) {
      expect([kind, spec.scaleTargetRef]).toEqual([
        'HorizontalPodAutoscaler',
        { apiVersion: 'apps/v1', kind: 'Deployment', name: metadata.name },
      ]);
    }
  });

  it('lets only nginx reach a function, and nginx only functions and name servers', () => {
    const [functions, own] = ['functions', 'ingress'].map((name) => find('NetworkPolicy', name).spec);
    const port = containerOf(plain.primary).ports[0]?.containerPort;
    const nginx = { podSelector: { matchLabels: { 'app.kubernetes.io/name': 'ingress' } } };
    const anyFunction = { podSelector: { matchLabels: { 'app.kubernetes.io/component': 'function' } } };

    expect(functions?.ingress).toEqual([{ from: [nginx], ports: [{ port }] }]);
    expect(functions?.egress).toEqual(knative.find('NetworkPolicy', 'functions').spec.egress);
    expect(own?.ingress).toEqual(knative.find('NetworkPolicy', 'ingress').spec.ingress);
    expect(own?.egress).toEqual([
      { to: [anyFunction], ports: [{ port }] },
      knative.find('NetworkPolicy', 'ingress').spec.egress[1],
    ]);
  });
});
