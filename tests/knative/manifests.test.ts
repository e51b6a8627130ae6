import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { loadBoot, loadConfig } from '../../functions/core/config.ts';
import { readRoute } from '../../functions/core/http/request.ts';
import { localVariables, renderIngress, templatePath } from '../../ingress/render.ts';
import {
  buildOverlay,
  bytesOf,
  type Container,
  findKustomize,
  type Manifest,
  type PodSpec,
  readOverlay,
  type TrafficRule,
  unexplainedNumbers,
  yamlFiles,
} from '../support/manifests.ts';
import { variablesOf } from '../support/variables.ts';

const overlays = ['development', 'production'] as const;
const folderOf = (overlay: string) => `knative/overlays/${overlay}`;
const nginx = readFileSync(templatePath, 'utf8');
const entrypoint = readFileSync('ingress/entrypoint.sh', 'utf8');
const dockerfiles = {
  functions: readFileSync('functions/Dockerfile', 'utf8'),
  ingress: readFileSync('ingress/Dockerfile', 'utf8'),
};
const defaults = loadConfig(classify, 1, {});

/** queue-proxy drains until nobody has asked for this long; a constant of Knative. */
const queueProxyDrainSeconds = 30;
/** After this long queue-proxy gives up connections that it keeps to a function; a constant of Go's HTTP client. */
const queueProxyIdleSeconds = 90;

interface Rendered {
  find(kind: string, name: string): Manifest;
  readonly all: readonly Manifest[];
  readonly pods: readonly Manifest[];
  readonly primary: Manifest;
  readonly fallback: Manifest;
  readonly ingress: Manifest;
}

function render(overlay: string): Rendered {
  const all = readOverlay(folderOf(overlay));
  const find = (kind: string, name: string): Manifest => {
    const found = all.find((object) => object.kind === kind && object.metadata.name === name);
    if (found === undefined) throw new Error(`Expected ${kind} ${name} in ${overlay} but received none`);
    return found;
  };
  const primary = find('Service', 'classify-primary');
  const fallback = find('Service', 'classify-fallback');
  const ingress = find('Deployment', 'ingress');
  return { all, find, primary, fallback, ingress, pods: [primary, fallback, ingress] };
}

const podOf = ({ spec }: Manifest) => spec.template.spec;
const containerOf = (object: Manifest) => podOf(object).containers[0] as Container;
const knob = (object: Manifest, name: string): string | undefined =>
  object.spec.template.metadata.annotations?.[`autoscaling.knative.dev/${name}`];
const count = (object: Manifest, name: string): number => Number(knob(object, name));

/** A container's variables as its process sees them. */
function environment(object: Manifest): Record<string, string> {
  const known: Record<string, string> = {};
  for (const { name, value, valueFrom } of containerOf(object).env) {
    const text = valueFrom === undefined ? value : object.metadata.namespace; // the only field that is asked for
    known[name] = String(text).replace(/\$\(([A-Z_]+)\)/g, (reference, other: string) => known[other] ?? reference);
  }
  return known;
}

/** Seconds of each `DIRECTIVE 8s;` in a text. */
function secondsIn(text: string, directive: string): number[] {
  return [...text.matchAll(new RegExp(`\\b${directive} (\\d+)s`, 'g'))].map(([, seconds]) => Number(seconds));
}

/** One `server` of nginx.conf, by what it listens on, with the bare names of variables. */
function serverOf(listen: string): string {
  const [, rest] = nginx.replace(/\$\{(\w+)\}/g, '$1').split(`listen ${listen};`);
  if (rest === undefined) throw new Error(`Expected a server that listens on ${listen} but received none`);
  return rest.split(/\n {2}server \{/, 1).join();
}

const tierSeconds = (tier: string): number => {
  const [seconds] = secondsIn(serverOf(`unix:RUN_DIR/${tier}.sock`), 'proxy_read_timeout');
  return Number(seconds);
};

function expectAscending(steps: Readonly<Record<string, number>>): void {
  const sorted = Object.entries(steps).toSorted(([, one], [, other]) => one - other);

  expect(Object.entries(steps)).toEqual(sorted);
  expect(new Set(Object.values(steps)).size).toBe(sorted.length);
}

describe('YAML', () => {
  const files = [...yamlFiles('knative'), ...yamlFiles('ingress')];

  it('has the files that the overlays consist of', () => {
    expect(files).toEqual(expect.arrayContaining(['knative/base/primary.yaml', 'ingress/kustomization.yaml']));
  });

  it.each(files)('explains every number of %s', (file) => {
    expect(unexplainedNumbers(readFileSync(file, 'utf8'))).toEqual([]);
  });

  it.each([
    ['a number', 'replicas: 2'],
    ['a number in quotes', 'value: "2"'],
    ['a quantity', 'memory: 512Mi'],
    ['a negative number', 'target: "-1"'],
    ['an item', '- 8080'],
    ['a port in an address', 'value: http://ingress:8081/readyz'],
    ['an item that is a map', '- port: 53'],
  ])('would not let %s pass', (_what, line) => {
    expect(unexplainedNumbers(`kind: A\n  ${line}\n`)).toEqual([`2: ${line}`]);
    expect(unexplainedNumbers(`kind: A\n  ${line} # its reason\n  # why\n  ${line}\n`)).toEqual([]);
  });

  it('has one object a file', () => {
    const inBase = yamlFiles('knative/base').filter((file) => !file.endsWith('kustomization.yaml'));

    expect(inBase.filter((file) => (readFileSync(file, 'utf8').match(/^kind: /gm) ?? []).length !== 1)).toEqual([]);
  });

  it('names the namespace once', () => {
    const naming = yamlFiles('knative').filter((file) => /^\s*namespace: /m.test(readFileSync(file, 'utf8')));

    expect(naming).toEqual(['knative/base/kustomization.yaml']);
  });
});

describe.each(overlays)('the %s overlay', (overlay) => {
  const { all, find, pods, primary, fallback, ingress } = render(overlay);
  const namespace = String(ingress.metadata.namespace);
  const ingressEnvironment = environment(ingress);
  const ingressPort = (name: string) => containerOf(ingress).ports.find((port) => port.name === name)?.containerPort;

  describe('time', () => {
    it('rises strictly from the budget of the primary model to the time-outs of Knative', () => {
      const { responseStartTimeoutSeconds, timeoutSeconds } = podOf(primary);

      expectAscending({
        PRIMARY_BUDGET_MS: defaults.primaryBudgetMs,
        DEADLINE_MS: defaults.deadlineMs,
        'proxy_read_timeout of the primary': tierSeconds('primary') * 1000,
        responseStartTimeoutSeconds: Number(responseStartTimeoutSeconds) * 1000,
        timeoutSeconds: Number(timeoutSeconds) * 1000,
      });
      expect(tierSeconds('strict')).toBe(tierSeconds('primary'));
    });

    it('rises strictly from the time-out of the fallback to those of Knative', () => {
      const { responseStartTimeoutSeconds, timeoutSeconds } = podOf(fallback);

      expectAscending({
        'proxy_read_timeout of the fallback': tierSeconds('fallback'),
        responseStartTimeoutSeconds: Number(responseStartTimeoutSeconds),
        timeoutSeconds: Number(timeoutSeconds),
      });
    });

    it('is as the contract says', () => {
      const times = [primary, fallback]
        .map((service) => podOf(service))
        .flatMap((pod) => [pod.responseStartTimeoutSeconds, pod.timeoutSeconds]);

      expect([defaults.primaryBudgetMs, defaults.deadlineMs, tierSeconds('primary')]).toEqual([1000, 5000, 8]);
      expect([tierSeconds('fallback'), ...times]).toEqual([30, 10, 60, 35, 60]);
    });

    it.each([primary, fallback])(
      'lets queue-proxy and then the function drain before a pod is killed: $metadata.name',
      (service) => {
        const { drainMs } = loadConfig(classify, 1, environment(service));

        expect(Number(podOf(service).timeoutSeconds)).toBeGreaterThan(queueProxyDrainSeconds + drainMs / 1000);
      },
    );

    it('lets nginx drain before its pod is killed, and drain as long as its slowest request', () => {
      const pause = Number(containerOf(ingress).lifecycle?.preStop.sleep.seconds);
      const [drain] = secondsIn(nginx, 'worker_shutdown_timeout');

      expect(podOf(ingress).terminationGracePeriodSeconds).toBeGreaterThan(pause + Number(drain));
      expect(drain).toBeGreaterThan(tierSeconds('primary') + tierSeconds('fallback'));
      expect(dockerfiles.ingress).toMatch(/^STOPSIGNAL SIGQUIT$/m); // SIGTERM would end it at once
    });

    it('gives a hang longer than the ingress has patience before a pod is started again', () => {
      for (const { livenessProbe } of [primary, fallback].map(containerOf)) {
        const patience = Number(livenessProbe.periodSeconds) * Number(livenessProbe.failureThreshold);

        expect(patience).toBeGreaterThan(tierSeconds('primary'));
      }
    });

    it('closes connections that are kept from the front to the back', () => {
      const [kept] = secondsIn(nginx.split('upstream primary')[1] as string, 'keepalive_timeout');
      const [, own] = /const keepAliveMs = ([\d_]+);/.exec(readFileSync('functions/core/http/server.ts', 'utf8')) ?? [];

      expectAscending({
        nginx: Number(kept),
        'queue-proxy': queueProxyIdleSeconds,
        function: Number(own?.replaceAll('_', '')) / 1000,
      });
    });
  });

  describe('load', () => {
    const workers = Number(environment(primary).WORKERS);
    const concurrency = Number(podOf(primary).containerConcurrency);
    const passed = (tier: string) => Number(ingressEnvironment[`${tier}_MAX_CONNS`]) * Number(ingress.spec.replicas);

    it('is let through to the primary by as many requests as all of its pods may have, 16 a worker', () => {
      expect(passed('PRIMARY')).toBe(16 * workers * count(primary, 'max-scale'));
    });

    it('is let through to the fallback by as many requests as all of its pods take', () => {
      expect(passed('FALLBACK')).toBe(Number(podOf(fallback).containerConcurrency) * count(fallback, 'max-scale'));
    });

    it('waits where the primary can judge it: its fewest pods take at once what all ingresses let through', () => {
      expect(concurrency * count(primary, 'min-scale')).toBe(passed('PRIMARY'));
    });

    it('makes Knative start every pod that it may', () => {
      expect(count(primary, 'target')).toBe(2 * workers);
      expect(passed('PRIMARY')).toBeGreaterThanOrEqual(count(primary, 'target') * count(primary, 'max-scale'));
    });

    it('keeps a primary awake and lets the fallback sleep', () => {
      expect(count(primary, 'min-scale')).toBeGreaterThanOrEqual(1);
      expect(count(fallback, 'min-scale')).toBe(0);
      expect(knob(fallback, 'scale-to-zero-pod-retention-period')).toMatch(/^\d+[sm]$/);
    });

    it.each([primary, fallback])(
      'stays between its bounds, with the activator always in the path: $metadata.name',
      (service) => {
        expect(count(service, 'min-scale')).toBeLessThanOrEqual(count(service, 'max-scale'));
        expect(Number(knob(service, 'activation-scale') ?? 2)).toBeGreaterThanOrEqual(2); // Knative refuses less
        expect(Number(knob(service, 'activation-scale') ?? 1)).toBeLessThanOrEqual(count(service, 'max-scale'));
        expect(knob(service, 'target-burst-capacity')).toBe('-1');
        expect(podOf(service).containerConcurrency).toBeGreaterThan(0); // 0 would switch queue-proxy's queue off
      },
    );

    it('is limited for a client as on one machine', () => {
      const local = localVariables({ runDir: '/run', port: 1, primaryPort: 1, fallbackPort: 1 });

      for (const name of ['RATE', 'BURST', 'CONNECTIONS', 'WORKERS'])
        expect(ingressEnvironment[name]).toBe(local[name]);
    });

    it('of one client, all of the largest uploads twice, leaves a third of the memory of an ingress to the others', () => {
      const [, bufferKb] = /client_body_buffer_size (\d+)k;/.exec(nginx) ?? [];
      const worst = Number(ingressEnvironment.CONNECTIONS) * 2 * Number(bufferKb) * 1024;

      expect(worst).toBeLessThanOrEqual((bytesOf(String(containerOf(ingress).resources.limits.memory)) * 2) / 3);
    });
  });

  describe('names and ports', () => {
    it('are found under the host by which nginx asks for them', () => {
      expect(ingressEnvironment).toMatchObject({
        PRIMARY_HOST: `${primary.metadata.name}.${namespace}.svc.cluster.local`,
        FALLBACK_HOST: `${fallback.metadata.name}.${namespace}.svc.cluster.local`,
        PRIMARY_ADDRESS: 'kourier-internal.kourier-system.svc.cluster.local:80 resolve',
        FALLBACK_ADDRESS: 'kourier-internal.kourier-system.svc.cluster.local:80 resolve',
      });
    });

    it('lead from the Service to where nginx listens', () => {
      const ports = Object.fromEntries((find('Service', 'ingress').spec.ports ?? []).map((port) => [port.name, port]));

      expect(ports).toMatchObject({ http: { port: 80, targetPort: 'http' }, wake: { targetPort: 'wake' } });
      expect(String(ingressPort('http'))).toBe(ingressEnvironment.LISTEN);
      expect(String(ingressPort('wake'))).toBe(ingressEnvironment.WAKE_LISTEN);
    });

    it('lead from the primary to the wake-up call and to its like, and nobody else may call', () => {
      const { wakeUrl, peerUrl } = loadConfig(classify, 1, environment(primary));
      for (const { hostname, port, pathname } of [wakeUrl, peerUrl].map((url) => new URL(url))) {
        const wake = find('Service', hostname).spec.ports?.find(({ name }) => name === 'wake');

        expect(Number(port)).toBe(wake?.port);
        expect(serverOf('WAKE_LISTEN')).toContain(`location = ${pathname} {`);
      }
      expect(new URL(wakeUrl).pathname).not.toBe(new URL(peerUrl).pathname);
      const [everybody, caller, ...others] = find('NetworkPolicy', 'ingress').spec.ingress;
      const [called] = find('NetworkPolicy', 'functions').spec.egress;
      expect(everybody).toEqual({ ports: [{ port: ingressPort('http') }] });
      expect([caller, called].map((rule) => rule?.ports)).toEqual([
        [{ port: ingressPort('wake') }],
        [{ port: ingressPort('wake') }],
      ]);
      expect(primary.spec.template.metadata.labels).toMatchObject(selectedBy(caller?.from));
      expect(fallback.spec.template.metadata.labels).not.toMatchObject(selectedBy(caller?.from));
      expect(ingress.spec.template.metadata.labels).toMatchObject(selectedBy(called?.to));
      expect(others).toEqual([]);
    });

    it('lead probes to routes that the program has', () => {
      for (const container of [primary, fallback].map(containerOf)) {
        const paths = [container.readinessProbe, container.livenessProbe].map(({ httpGet }) => httpGet.path);

        expect(paths.map((path) => readRoute('GET', path, classify.path).name)).toEqual(['readyz', 'livez']);
        expect(container).not.toHaveProperty('startupProbe'); // the activator would wait for the kubelet
      }
      for (const probe of ['readinessProbe', 'livenessProbe'] as const) {
        const { path, port } = containerOf(ingress)[probe].httpGet;

        expect(port).toBe('http');
        expect(serverOf('LISTEN')).toContain(`location = ${path} {`);
      }
    });

    it('select the pods that they are meant for', () => {
      const labels = ingress.spec.template.metadata.labels;
      const budget = find('PodDisruptionBudget', 'ingress').spec.selector;

      for (const selector of [
        ingress.spec.selector.matchLabels,
        budget.matchLabels,
        find('NetworkPolicy', 'ingress').spec.podSelector.matchLabels,
        find('Service', 'ingress').spec.selector,
      ]) {
        expect(labels).toMatchObject(selector);
      }
      for (const service of [primary, fallback]) {
        expect(service.spec.template.metadata.labels).toMatchObject(
          find('NetworkPolicy', 'functions').spec.podSelector.matchLabels,
        );
        expect(service.metadata.labels).toMatchObject({ 'networking.knative.dev/visibility': 'cluster-local' });
      }
    });

    it('are in one namespace, and everything says what it belongs to', () => {
      const others = all.filter(({ kind }) => kind !== 'Namespace');

      expect(all.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name)).toEqual([namespace]);
      expect(new Set(others.map(({ metadata }) => metadata.namespace))).toEqual(new Set([namespace]));
      for (const { metadata } of [...all, ...pods.map(({ spec }) => spec.template)]) {
        expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/part-of': 'understudy' });
      }
    });
  });

  describe('the environment', () => {
    it.each([primary, fallback])(
      'holds only what the function reads, and what it can start with: $metadata.name',
      (service) => {
        const known = new Set([...variablesOf((env) => loadConfig(classify, 1, env)), 'PORT', 'FUNCTION_TARGET']);
        const variables = environment(service);

        expect(Object.keys(variables).filter((name) => !known.has(name))).toEqual([]);
        expect(loadConfig(classify, 64, variables).workers).toBe(Number(variables.WORKERS));
        expect(loadBoot(['primary', 'fallback'], variables).port).toBe(containerOf(service).ports[0]?.containerPort);
      },
    );

    it('holds what the entrypoint of the ingress wants, and nothing else', () => {
      const wanted = [...entrypoint.matchAll(/\$\{([A-Z][A-Z_]*)-\}/g)].map(([, name]) => name as string);
      const ownUse = containerOf(ingress).env.filter(({ name }) =>
        containerOf(ingress).env.some(({ value }) => value?.includes(`$(${name})`)),
      );

      expect(wanted.length).toBeGreaterThan(10);
      expect(Object.keys(ingressEnvironment).sort()).toEqual([...wanted, ...ownUse.map(({ name }) => name)].sort());
      expect(Object.values(ingressEnvironment).join()).not.toContain('$('); // all were known where they are used
    });

    it('has values that nginx can be configured with', () => {
      const rendered = renderIngress({ ...ingressEnvironment, RESOLVER: '10.96.0.10' }); // auto is the pod's own

      expect(ingressEnvironment.RESOLVER).toBe('auto');
      expect(find('ConfigMap', volumeOf(ingress, 'configuration')?.configMap?.name ?? 'none').data).toEqual({
        'nginx.conf': nginx,
      });
      expect(rendered).toContain(`pid ${mountOf(ingress, 'run')}/nginx.pid;`);
      expect(dockerfiles.ingress).toMatch(
        new RegExp(`^ENV TEMPLATE=${mountOf(ingress, 'configuration')}/nginx\\.conf$`, 'm'),
      );
    });
  });

  describe('security', () => {
    it.each(pods)('leaves no way out: $metadata.name', (object) => {
      const { containers, volumes, automountServiceAccountToken } = podOf(object);
      const [image] = object === ingress ? [dockerfiles.ingress] : [dockerfiles.functions];
      const users = [...image.matchAll(/^USER (\d+):\d+$/gm)].map(([, user]) => Number(user));

      expect(containers).toHaveLength(1);
      expect(containerOf(object).securityContext).toEqual({
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        runAsUser: users.at(-1),
        runAsGroup: users.at(-1),
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(users.at(-1)).toBeGreaterThan(0);
      expect(automountServiceAccountToken).toBe(false);
      expect(volumes.filter(({ emptyDir, configMap }) => !configMap && !emptyDir?.sizeLimit)).toEqual([]);
      expect(
        containerOf(object)
          .volumeMounts.map(({ name }) => name)
          .sort(),
      ).toEqual(volumes.map(({ name }) => name).sort());
    });

    it('holds for whatever else comes into the namespace', () => {
      expect(find('Namespace', namespace).metadata.labels).toMatchObject({
        'pod-security.kubernetes.io/enforce': 'restricted',
      });
    });

    it.each(pods)('bounds memory, and leaves the processor to whoever needs it: $metadata.name', (object) => {
      const { requests, limits } = containerOf(object).resources;

      expect(Object.keys(requests).sort()).toEqual(['cpu', 'memory']);
      expect(Object.keys(limits)).toEqual(['memory']);
      expect(bytesOf(String(requests.memory))).toBeLessThanOrEqual(bytesOf(String(limits.memory)));
    });
  });

  it('runs images that are named once and never change', () => {
    const images = pods.map((object) => containerOf(object).image);
    const version = overlay === 'production' ? '@sha256:[0-9a-f]{64}' : ':(?!latest)[\\w.-]+';

    expect(images).toEqual(
      ['primary', 'fallback', 'ingress'].map((part) =>
        expect.stringMatching(new RegExp(`^[\\w.:/-]+/understudy-${part}${version}$`)),
      ),
    );
    expect(pods.map((object) => containerOf(object))).toEqual(
      pods.map(() => expect.objectContaining({ imagePullPolicy: 'IfNotPresent' })),
    );
  });
});

/** The labels by which the only peer of a rule is selected; an empty object would select everybody. */
function selectedBy(peers: TrafficRule['from']): object {
  expect(peers).toEqual([
    { podSelector: { matchLabels: expect.objectContaining({ 'app.kubernetes.io/name': expect.any(String) }) } },
  ]);
  return peers?.[0]?.podSelector?.matchLabels ?? {};
}

function mountOf(object: Manifest, volume: string): string | undefined {
  return containerOf(object).volumeMounts.find(({ name }) => name === volume)?.mountPath;
}

function volumeOf(object: Manifest, name: string): PodSpec['volumes'][number] | undefined {
  return podOf(object).volumes.find((volume) => volume.name === name);
}

describe('the overlays', () => {
  it('are all that there are', () => {
    expect(readdirSync('knative/overlays').sort()).toEqual(overlays);
  });

  it('have two of what must not be missing in production, on different nodes', () => {
    const { primary, ingress, fallback } = render('production');

    expect([count(primary, 'min-scale'), ingress.spec.replicas, count(fallback, 'activation-scale')]).toEqual([
      2, 2, 2,
    ]);
    expect(podOf(ingress)).toMatchObject({
      topologySpreadConstraints: [{ topologyKey: 'kubernetes.io/hostname' }, {}],
    });
    expect(containerOf(primary).resources.requests.cpu).toBe(environment(primary).WORKERS);
  });

  it('fit a node with two cores beside the system in development, at the largest', () => {
    const { primary, fallback, ingress } = render('development');
    const milli = (object: Manifest) =>
      Number(/^(\d+)m$/.exec(String(containerOf(object).resources.requests.cpu))?.[1]);
    const queueProxy = 25; // what Knative requests for it

    const functions = [primary, fallback].map((service) => count(service, 'max-scale') * (milli(service) + queueProxy));

    expect(functions.reduce((sum, one) => sum + one, 0) + milli(ingress)).toBeLessThan(1000);
  });
});

describe('knative/README.md', () => {
  const page = readFileSync('knative/README.md', 'utf8');
  const commands = [...page.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block]) => String(block).trim().split('\n'));

  it('applies overlays that exist, four commands after the start', () => {
    const applied = commands.flatMap((command, index) => {
      const [, folder] = /^kubectl apply -k (\S+)$/.exec(command) ?? [];
      return folder === undefined ? [] : [[folder, index] as const];
    });

    expect(applied).toEqual([
      [folderOf('development'), 3],
      [folderOf('production'), 7],
    ]);
  });

  it('builds and loads the images that development runs, from files that exist', () => {
    const { pods } = render('development');
    const loaded = commands
      .find((command) => command.startsWith('kind load docker-image '))
      ?.split(' ')
      .slice(3);
    const recipes = commands.flatMap((command) =>
      [...command.matchAll(/--file (\S+)/g)].map(([, file]) => String(file)),
    );

    expect(loaded).toEqual(pods.map((object) => containerOf(object).image));
    expect(recipes).toHaveLength(4);
    expect(recipes.filter((file) => !existsSync(file))).toEqual([]);
  });

  it('names files and links that exist', () => {
    const linked = [...page.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => String(target));
    const listed = page.split('\n').flatMap((line) => [...(/^\| `(.*)` \|/.exec(line)?.[1] ?? '').split('`, `')]);
    const paths = listed.filter((path) => path.includes('/') && !path.includes('*'));

    expect(paths.length).toBeGreaterThan(5);
    expect([...linked, ...paths].filter((path) => !existsSync(join('knative', path)))).toEqual([]);
  });

  it('posts as the quick start of README.md does', () => {
    const posts = commands.filter((command) => command.startsWith('curl -F'));

    expect(posts).toHaveLength(1);
    expect(readFileSync('README.md', 'utf8')).toContain(`\n${posts.join()}\n`);
  });
});

const kustomize = await findKustomize();

if (kustomize === undefined) {
  process.stdout.write(
    'Neither kubectl nor kustomize is in PATH or at KUBECTL: the manifests were not rendered by the real one\n',
  );
  describe('the real kubectl kustomize', () => {
    it('is not on this machine, so that nothing was rendered with it', async () => {
      expect(await findKustomize({ PATH: tmpdir() })).toBeUndefined();
    });
  });
} else {
  describe('the real kubectl kustomize', () => {
    const byName = (objects: readonly Manifest[]) =>
      Object.fromEntries(objects.map((object) => [`${object.kind} ${object.metadata.name}`, object]));

    it.each(overlays)(
      'makes of the %s overlay what was judged above, and hashes the configuration into its name',
      async (overlay) => {
        const built = await buildOverlay(kustomize, folderOf(overlay));
        const names = new Set(JSON.stringify(built).match(/ingress-configuration[\w-]*/g));

        expect([...names]).toEqual([expect.stringMatching(/^ingress-configuration-[a-z0-9]{10}$/)]);
        const plain = JSON.parse(JSON.stringify(built).replaceAll([...names].join(), 'ingress-configuration'));
        expect(byName(plain)).toEqual(byName(readOverlay(folderOf(overlay))));
      },
    );

    it('makes of the overlay of your own in knative/README.md what the page says', async () => {
      const [, written] =
        /```yaml\n(apiVersion: kustomize.*?)```/s.exec(readFileSync('knative/README.md', 'utf8')) ?? [];
      const folder = mkdtempSync('dist/overlay-'); // kustomize wants what it builds on by a relative path
      try {
        writeFileSync(
          join(folder, 'kustomization.yaml'),
          String(written).replace('../production', relative(folder, folderOf('production'))),
        );
        const built = await buildOverlay(kustomize, folder);
        const withPods = built.filter(({ spec }) => spec?.template !== undefined);
        const find = (name: string) => withPods.find(({ metadata }) => metadata.name === name) as Manifest;
        const variables = (name: string) =>
          Object.fromEntries(containerOf(find(name)).env.map(({ name, value }) => [name, value]));

        expect(
          new Set(built.map(({ kind, metadata }) => (kind === 'Namespace' ? metadata.name : metadata.namespace))),
        ).toEqual(new Set(['photos']));
        expect(withPods.map((object) => containerOf(object).image)).toEqual(
          withPods.map(() => expect.stringMatching(/^registry\.mine\/understudy-\w+@sha256:/)),
        );
        expect(variables('ingress').TRUSTED_PROXIES).toBe('10.0.0.0/8');
        expect(variables('classify-fallback').LOG_LEVEL).toBe('warn');
        expect(knob(find('classify-fallback'), 'min-scale')).toBe('1');
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    it('says what is wrong with a folder', async () => {
      await expect(buildOverlay(kustomize, 'knative/overlays')).rejects.toThrow(/kustomization/);
    });
  });
}
