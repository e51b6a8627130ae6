import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { loadConfig } from '../../functions/core/config.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { clouds as cloudsTask } from '../../functions/tasks/clouds/task.ts';
import { digits as digitsTask } from '../../functions/tasks/digits/task.ts';
import { localVariables, templatePath } from '../../ingress/render.ts';
import { type RunningFunction, startFunction } from '../support/function.ts';
import {
  bytesOf,
  containerOf,
  count,
  environment,
  knob,
  type Manifest,
  overlays,
  podOf,
  render,
} from '../support/manifests.ts';

jest.setTimeout(30_000);

const nginx = readFileSync(templatePath, 'utf8');
const defaults = loadConfig(classify, 1, {});

/** queue-proxy drains until no request has come for this long; a constant of Knative. */
const queueProxyDrainSeconds = 30;
/** At 10 requests a second: a cold start takes 1.2 to 2.2 s, and on a node that does much else 5 s. */
const waitingForFirstPod = 64;
/** queue-proxy closes idle connections to a function after this long; a constant of Go's HTTP client. */
const queueProxyIdleSeconds = 90;

/** Seconds of a directive of nginx.conf, the first one behind `after`. */
function seconds(directive: string, after = ''): number {
  const text = nginx.slice(nginx.indexOf(after));
  return Number(new RegExp(`\\b${directive} (\\d+)s`).exec(text)?.[1]);
}
/** Of the server of a tier: its socket stands in upstreams, too. */
const tierSeconds = (tier: string) => seconds('proxy_read_timeout', `listen unix:\${RUN_DIR}/${tier}.sock;`);

function expectAscending(steps: Readonly<Record<string, number | undefined>>): void {
  const values = Object.values(steps).map(Number);

  expect(values).not.toContain(Number.NaN);
  expect(Object.entries(steps)).toEqual(
    Object.entries(steps).toSorted(([, one], [, two]) => Number(one) - Number(two)),
  );
  expect(new Set(values).size).toBe(values.length);
}

/** The steps of a function without a second tier. */
function alone(deadlineMs: number, service: Manifest): Record<string, number | undefined> {
  return {
    DEADLINE_MS: deadlineMs / 1000,
    'X-Deadline-Ms': 30, // the contract's longest
    proxy_read_timeout: tierSeconds('alone'),
    responseStartTimeoutSeconds: podOf(service).responseStartTimeoutSeconds,
    timeoutSeconds: podOf(service).timeoutSeconds,
  };
}

describe.each(overlays)('the times of the %s overlay', (overlay) => {
  const { primary, fallback, clouds, digits, ingress } = render(overlay);
  const functions = [primary, fallback, clouds, digits];

  it.each([
    [
      'from the budget of the primary model to the time-outs of Knative',
      {
        PRIMARY_BUDGET_MS: defaults.primaryBudgetMs / 1000,
        DEADLINE_MS: defaults.deadlineMs / 1000,
        proxy_read_timeout: tierSeconds('primary'),
        responseStartTimeoutSeconds: podOf(primary).responseStartTimeoutSeconds,
        timeoutSeconds: podOf(primary).timeoutSeconds,
      },
      [1, 5, 8, 10, 60],
    ],
    [
      'from the time-out of the fallback to those of Knative',
      {
        proxy_read_timeout: tierSeconds('fallback'),
        responseStartTimeoutSeconds: podOf(fallback).responseStartTimeoutSeconds,
        timeoutSeconds: podOf(fallback).timeoutSeconds,
      },
      [30, 35, 60],
    ],
    [
      'from the deadline of clouds, and the longest that a client may name, to the time-outs of Knative',
      alone(cloudsTask.defaults.deadlineMs, clouds),
      [10, 30, 32, 35, 60],
    ],
    [
      'from the deadline of digits to the time-outs of Knative',
      alone(digitsTask.defaults.deadlineMs, digits),
      [5, 30, 32, 35, 60],
    ],
  ])('rise strictly %s, as the contract says', (_what, steps, expected) => {
    expectAscending(steps);
    expect(Object.values(steps)).toEqual(expected);
    expect(tierSeconds('strict')).toBe(tierSeconds('primary'));
  });

  it.each(functions)('let queue-proxy and then the function drain: $metadata.name', (service) => {
    const { drainMs } = loadConfig(classify, 1, environment(service)); // of every task

    expect(Number(podOf(service).timeoutSeconds)).toBeGreaterThan(queueProxyDrainSeconds + drainMs / 1000);
  });

  it('let nginx drain as long as its slowest request', () => {
    const pause = Number(containerOf(ingress).lifecycle?.preStop.sleep.seconds);
    const drain = seconds('worker_shutdown_timeout');

    expect(podOf(ingress).terminationGracePeriodSeconds).toBeGreaterThan(pause + drain);
    expect(drain).toBeGreaterThan(tierSeconds('primary') + tierSeconds('fallback'));
  });

  it.each([primary, fallback])('let a hang outlast the ingress before a restart: $metadata.name', (service) => {
    const { periodSeconds, failureThreshold } = containerOf(service).livenessProbe;

    expect(Number(periodSeconds) * Number(failureThreshold)).toBeGreaterThan(tierSeconds('primary'));
  });
});

describe('kept connections', () => {
  let fallback: RunningFunction;

  beforeAll(async () => {
    fallback = await startFunction('fallback');
  });
  afterAll(() => fallback.stop());

  it('are closed from the front to the back', async () => {
    const { headers } = await fetch(`${fallback.url}/livez`);
    const [, own] = /timeout=(\d+)/.exec(headers.get('keep-alive') ?? '') ?? [];

    expectAscending({
      nginx: seconds('keepalive_timeout', 'upstream primary {'),
      'queue-proxy': queueProxyIdleSeconds,
      function: Number(own),
    });
  });
});

describe.each(overlays)('the load of the %s overlay', (overlay) => {
  const { primary, fallback, clouds, digits, ingress } = render(overlay);
  const functions = [primary, fallback, clouds, digits];
  const variables = environment(ingress);
  const workers = Number(environment(primary).WORKERS);
  const passed = (tier: string) => Number(variables[`${tier}_MAX_CONNS`]) * Number(ingress.spec.replicas);

  it('passes to the primary 16 requests per worker of all its pods', () => {
    expect(passed('PRIMARY')).toBe(16 * workers * count(primary, 'max-scale'));
  });

  it.each([
    ['FALLBACK', fallback],
    ['CLOUDS', clouds],
    ['DIGITS', digits],
  ])('passes as %s what all its pods take, or more that wait while the first one starts', (tier, service) => {
    const taken = Number(podOf(service).containerConcurrency) * count(service, 'max-scale');

    expect(passed(tier)).toBe(Math.max(taken, waitingForFirstPod));
  });

  it('waits in the primary, which judges it: the fewest pods take all that the ingress passes', () => {
    expect(Number(podOf(primary).containerConcurrency) * count(primary, 'min-scale')).toBe(passed('PRIMARY'));
  });

  it('makes Knative start every pod that it may', () => {
    expect(count(primary, 'target')).toBe(2 * workers);
    expect(passed('PRIMARY')).toBeGreaterThanOrEqual(count(primary, 'target') * count(primary, 'max-scale'));
  });

  it('keeps a primary awake and lets the others scale to zero', () => {
    expect(count(primary, 'min-scale')).toBeGreaterThanOrEqual(1);
    for (const service of [fallback, clouds, digits]) {
      expect(count(service, 'min-scale')).toBe(0);
      expect(knob(service, 'scale-to-zero-pod-retention-period')).toMatch(/^\d+[sm]$/);
    }
  });

  it.each(functions)('stays between its bounds, behind the activator: $metadata.name', (service) => {
    expect(count(service, 'min-scale')).toBeLessThanOrEqual(count(service, 'max-scale'));
    expect(Number(knob(service, 'activation-scale') ?? 2)).toBeGreaterThanOrEqual(2); // Knative refuses less
    expect(Number(knob(service, 'activation-scale') ?? 1)).toBeLessThanOrEqual(count(service, 'max-scale'));
    expect(knob(service, 'target-burst-capacity')).toBe('-1');
    expect(podOf(service).containerConcurrency).toBeGreaterThan(0); // 0 would switch queue-proxy's queue off
  });

  it.each(['RATE', 'BURST', 'CONNECTIONS', 'WORKERS'])('has the %s of one machine', (name) => {
    const local = localVariables({ runDir: '/run', port: 1, functions: {} });

    expect(variables[name]).toBe(local[name]);
  });

  it("leaves a third of the ingress's memory beside the largest uploads of one client, each held twice", () => {
    const [, bufferKb] = /client_body_buffer_size (\d+)k;/.exec(nginx) ?? [];
    const worst = Number(variables.CONNECTIONS) * 2 * Number(bufferKb) * 1024;

    expect(worst).toBeLessThanOrEqual((bytesOf(String(containerOf(ingress).resources.limits.memory)) * 2) / 3);
  });
});

describe('the nodes', () => {
  const milli = (cpu: string | undefined) => Number(/^(\d+)m$/.exec(String(cpu))?.[1]);
  const cpu = (object: Manifest) => milli(containerOf(object).resources.requests.cpu);
  const queueProxy = 25; // what Knative requests for it
  /** Thousandths of a core that an overlay requests when everything is awake and as large as it gets. */
  function requested(overlay: string): number {
    const { pods, ingress } = render(overlay);
    const services = pods.filter((object) => object !== ingress);
    const functions = services.map((service) => count(service, 'max-scale') * (cpu(service) + queueProxy));
    return functions.reduce((sum, one) => sum + one, 0) + cpu(ingress) * Number(ingress.spec.replicas);
  }

  it('of development are one with two cores, half of it for the system', () => {
    expect(requested('development')).toBeLessThan(1000);
  });

  it('of gke are three n2-standard-2 beside Knative, a third of them for GKE', () => {
    const allocatable = 1930; // of 2000, by GKE's rule: 6 % of the first core and 1 % of the second are kept
    const knative = 1000; // activator 300, gateway and Kourier's controller 200 each, three others 100 each: release 1.23.0

    expect(requested('gke') + knative).toBeLessThanOrEqual((3 * allocatable * 2) / 3);
  });
});

it('production has two of what must not be missing, on different nodes', () => {
  const { primary, ingress, fallback } = render('production');

  expect([count(primary, 'min-scale'), ingress.spec.replicas, count(fallback, 'activation-scale')]).toEqual([2, 2, 2]);
  expect(podOf(ingress)).toMatchObject({ topologySpreadConstraints: [{ topologyKey: 'kubernetes.io/hostname' }, {}] });
  expect(containerOf(primary).resources.requests.cpu).toBe(environment(primary).WORKERS);
});
