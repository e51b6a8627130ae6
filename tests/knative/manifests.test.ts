import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { loadBoot, loadConfig } from '../../functions/core/config.ts';
import { readRoute } from '../../functions/core/http/request.ts';
import type { Task } from '../../functions/core/task.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { clouds as cloudsTask } from '../../functions/tasks/clouds/task.ts';
import { digits as digitsTask } from '../../functions/tasks/digits/task.ts';
import { localVariables, renderIngress, templatePath } from '../../ingress/render.ts';
import {
  bytesOf,
  containerOf,
  environment,
  type Manifest,
  overlays,
  podOf,
  render,
  type TrafficRule,
} from '../support/manifests.ts';

const dockerfiles = { functions: 'functions/Dockerfile', ingress: 'ingress/Dockerfile' };
/** What an image sets last, by a pattern with one group. */
const imageSets = (part: keyof typeof dockerfiles, pattern: RegExp) =>
  [...readFileSync(dockerfiles[part], 'utf8').matchAll(pattern)].at(-1)?.[1];

/** What a Service serves. */
function taskOf({ metadata }: Manifest): Pick<Task, 'path' | 'defaults' | 'models' | 'settings'> {
  return { clouds: cloudsTask, digits: digitsTask }[metadata.name] ?? classify;
}

const volumeOf = (object: Manifest, name: string) => podOf(object).volumes.find((volume) => volume.name === name);
const mountOf = (object: Manifest, volume: string) =>
  containerOf(object).volumeMounts.find(({ name }) => name === volume)?.mountPath;

/** The labels that select the only peer of a rule; an empty object would select every pod. */
function selectedBy(peers: TrafficRule['from']): object {
  const matchLabels = expect.objectContaining({ 'app.kubernetes.io/name': expect.any(String) });
  expect(peers).toEqual([{ podSelector: { matchLabels } }]);
  return peers?.[0]?.podSelector?.matchLabels ?? {};
}

describe.each(overlays)('the %s overlay', (overlay) => {
  const { all, find, pods, primary, fallback, clouds, digits, ingress } = render(overlay);
  const functions = [primary, fallback, clouds, digits];
  const namespace = String(ingress.metadata.namespace);
  const variables = environment(ingress);
  const portOf = (name: string) => containerOf(ingress).ports.find((port) => port.name === name)?.containerPort;
  const labelsOf = ({ spec }: Manifest) => spec.template.metadata.labels;

  it('gives nginx the hosts of the Services', () => {
    const gateway = 'kourier-internal.kourier-system.svc.cluster.local:80 resolve';

    expect(variables).toMatchObject({
      PRIMARY_HOST: `${primary.metadata.name}.${namespace}.svc.cluster.local`,
      FALLBACK_HOST: `${fallback.metadata.name}.${namespace}.svc.cluster.local`,
      CLOUDS_HOST: `${clouds.metadata.name}.${namespace}.svc.cluster.local`,
      DIGITS_HOST: `${digits.metadata.name}.${namespace}.svc.cluster.local`,
      PRIMARY_ADDRESS: gateway,
      FALLBACK_ADDRESS: gateway,
      CLOUDS_ADDRESS: gateway,
      DIGITS_ADDRESS: gateway,
    });
  });

  it('leads from the Service to the ports where nginx listens', () => {
    const ports = Object.fromEntries((find('Service', 'ingress').spec.ports ?? []).map((port) => [port.name, port]));

    expect(ports).toMatchObject({ http: { port: 80, targetPort: 'http' }, wake: { targetPort: 'wake' } });
    expect(variables).toMatchObject({ LISTEN: String(portOf('http')), WAKE_LISTEN: String(portOf('wake')) });
  });

  it('leads the primary, and only it, to the wake-up listener', () => {
    const { wakeUrl, peerUrl } = loadConfig(classify, 1, environment(primary));
    const urls = [wakeUrl, peerUrl].map((url) => new URL(url));
    const wake = find('Service', urls[0]?.hostname ?? '').spec.ports?.find(({ name }) => name === 'wake');

    expect(urls.map(({ host }) => host)).toEqual(Array(2).fill(`ingress:${wake?.port}`));
    expect(urls.map(({ pathname }) => pathname)).toEqual(['/readyz', '/primary/readyz']); // as tests/ingress asks them
    const [clients, caller, ...others] = find('NetworkPolicy', 'ingress').spec.ingress;
    const [called] = find('NetworkPolicy', 'functions').spec.egress;
    expect(clients).toEqual({ ports: [{ port: portOf('http') }] });
    for (const rule of [caller, called]) expect(rule?.ports).toEqual([{ port: portOf('wake') }]);
    expect(labelsOf(primary)).toMatchObject(selectedBy(caller?.from));
    for (const other of [fallback, clouds, digits]) expect(labelsOf(other)).not.toMatchObject(selectedBy(caller?.from));
    expect(labelsOf(ingress)).toMatchObject(selectedBy(called?.to));
    expect(others).toEqual([]);
  });

  it.each(functions)('probes routes that the function has: $metadata.name', (service) => {
    const { readinessProbe, livenessProbe } = containerOf(service);
    const routes = [readinessProbe, livenessProbe].map(
      ({ httpGet }) => readRoute('GET', httpGet.path, taskOf(service).path).name,
    );

    expect(routes).toEqual(['readyz', 'livez']);
    expect(containerOf(service)).not.toHaveProperty('startupProbe'); // the activator would wait for the kubelet
  });

  it('probes nginx at /healthz', () => {
    const { readinessProbe, livenessProbe } = containerOf(ingress);

    for (const { httpGet } of [readinessProbe, livenessProbe])
      expect(httpGet).toEqual({ path: '/healthz', port: 'http' });
  });

  it('selects the pods that it means', () => {
    for (const selector of [
      ingress.spec.selector.matchLabels,
      find('PodDisruptionBudget', 'ingress').spec.selector.matchLabels,
      find('NetworkPolicy', 'ingress').spec.podSelector.matchLabels,
      find('Service', 'ingress').spec.selector,
    ]) {
      expect(labelsOf(ingress)).toMatchObject(selector);
    }
    for (const service of functions) {
      expect(labelsOf(service)).toMatchObject(find('NetworkPolicy', 'functions').spec.podSelector.matchLabels);
      expect(service.metadata.labels).toMatchObject({ 'networking.knative.dev/visibility': 'cluster-local' });
    }
  });

  it('is in one namespace, which admits only restricted pods, and labels all that it has', () => {
    const namespaces = all.map(({ kind, metadata }) => (kind === 'Namespace' ? metadata.name : metadata.namespace));

    expect(new Set(namespaces)).toEqual(new Set([namespace]));
    expect(find('Namespace', namespace).metadata.labels).toMatchObject({
      'pod-security.kubernetes.io/enforce': 'restricted',
    });
    for (const { metadata } of [...all, ...pods.map(({ spec }) => spec.template)]) {
      expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/part-of': 'understudy' });
    }
  });

  it.each(functions)('sets only variables that the function reads: $metadata.name', (service) => {
    const own = environment(service);
    const read = new Set<string | symbol>();
    const get = (target: NodeJS.ProcessEnv, name: string) => {
      read.add(name);
      return target[name];
    };

    const { workers } = loadConfig(taskOf(service), 64, new Proxy(own as NodeJS.ProcessEnv, { get }));

    expect(Object.keys(own).filter((name) => !read.has(name))).toEqual([]);
    expect(workers).toBe(Number(own.WORKERS));
    expect(loadBoot(['primary', 'fallback'], own).port).toBe(containerOf(service).ports[0]?.containerPort);
  });

  it('sets the variables of the ingress, and nothing else', () => {
    const { SITE: _ofImage, ...wanted } = localVariables({ runDir: '/run', port: 1, functions: {} });

    expect(Object.keys(variables).sort()).toEqual([...Object.keys(wanted), 'GATEWAY', 'NAMESPACE'].sort());
    expect(Object.values(variables).join()).not.toContain('$('); // all were known where they are used
    expect(variables.RESOLVER).toBe('auto'); // the pod's own
  });

  it('gives the image the template, and a writable folder for the rest', () => {
    const site = imageSets('ingress', /^ENV .* SITE=(.*)$/gm) ?? '';
    const rendered = renderIngress({ ...variables, SITE: site, RESOLVER: '10.96.0.10' });

    const configuration = volumeOf(ingress, 'configuration')?.configMap?.name ?? 'none';
    expect(find('ConfigMap', configuration).data).toEqual({ 'nginx.conf': readFileSync(templatePath, 'utf8') });
    expect(rendered).toContain(`pid ${mountOf(ingress, 'run')}/nginx.pid;`);
    expect(rendered).toContain(`root ${site};`);
    expect(podOf(ingress).containers[0]?.volumeMounts.filter(({ mountPath }) => site.startsWith(mountPath))).toEqual(
      [],
    );
    expect(imageSets('ingress', /^ENV TEMPLATE=(\S+)/gm)).toBe(`${mountOf(ingress, 'configuration')}/nginx.conf`);
    expect(imageSets('ingress', /^STOPSIGNAL (.*)$/gm)).toBe('SIGQUIT'); // SIGTERM would end nginx at once
  });

  it.each(pods)('locks its pods down: $metadata.name', (object) => {
    const { containers, volumes, automountServiceAccountToken } = podOf(object);
    const user = Number(imageSets(object === ingress ? 'ingress' : 'functions', /^USER (\d+):\d+$/gm));

    expect(containers).toHaveLength(1);
    expect(containerOf(object).securityContext).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: user,
      runAsGroup: user,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(user).toBeGreaterThan(0);
    expect(automountServiceAccountToken).toBe(false);
    expect(volumes.filter(({ emptyDir, configMap }) => !configMap && !emptyDir?.sizeLimit)).toEqual([]);
    const mounted = containerOf(object).volumeMounts.map(({ name }) => name);
    expect(mounted.sort()).toEqual(volumes.map(({ name }) => name).sort());
  });

  it.each(pods)('bounds memory, but not the processor: $metadata.name', (object) => {
    const { requests, limits } = containerOf(object).resources;

    expect(Object.keys(requests).sort()).toEqual(['cpu', 'memory']);
    expect(Object.keys(limits)).toEqual(['memory']);
    expect(bytesOf(String(requests.memory))).toBeLessThanOrEqual(bytesOf(String(limits.memory)));
  });

  it('runs images whose names never change their content', () => {
    const version = overlay === 'development' ? ':(?!latest)[\\w.-]+' : '@sha256:[0-9a-f]{64}';
    const parts = ['primary', 'fallback', 'clouds', 'digits', 'ingress'];

    expect(pods.map((object) => containerOf(object))).toMatchObject(
      parts.map((part) => ({
        image: expect.stringMatching(new RegExp(`^[\\w.:/-]+/understudy-${part}${version}$`)),
        imagePullPolicy: 'IfNotPresent',
      })),
    );
  });
});
