import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { isTimeAlone, shortfalls } from '../../knative/revisions/judge.ts';
import { toShell } from '../../knative/revisions/kn.ts';
import { listOf } from '../../knative/revisions/list.ts';
import {
  afterRouting,
  hasRouting,
  planCanary,
  planDeployment,
  planPromotion,
  planRollback,
  prunable,
  routeLine,
  templateLine,
  unneeded,
} from '../../knative/revisions/plan.ts';
import {
  currentOf,
  type Revision,
  type RevisionsJson,
  readState,
  type ServiceJson,
  type State,
  StateError,
  type Target,
} from '../../knative/revisions/state.ts';
import { k6Version } from '../../load/tool.ts';

jest.setTimeout(60_000);

const script = fileURLToPath(new URL('../../knative/revisions/revision.js', import.meta.url));
const readme = readFileSync('knative/revisions/README.md', 'utf8');

const [one, two, three] = ['classify-primary-00001', 'classify-primary-00002', 'classify-primary-00003'] as const;
const image = (tag: number) => `registry.example/understudy-primary:${tag}`;
const env = { FUNCTION_TARGET: 'primary' };

const revision = (name: string, changes: Partial<Revision> = {}): Revision => ({
  name,
  image: image(Number(name.slice(-1))),
  env,
  isReady: true,
  reason: '',
  pods: 1,
  createdAt: '2026-11-01T08:00:00Z',
  ...changes,
});
const target = (revision: string, percent: number, tag = ''): Target => ({ revision, percent, tag, isLatest: false });

/** As `kubectl apply` leaves it: everything to the newest revision. */
const applied: State = {
  service: 'classify-primary',
  namespace: 'understudy',
  template: { image: image(1), env },
  traffic: [{ revision: one, percent: 100, tag: '', isLatest: true }],
  isRouted: true,
  revisions: [revision(one)],
};
const deployed: State = {
  ...applied,
  template: { image: image(2), env },
  traffic: [target(one, 100, 'current'), target(two, 0, 'candidate')],
  revisions: [revision(two), revision(one)],
};
const split = afterRouting(deployed, planCanary(deployed, 10));
const promoted = afterRouting(deployed, planPromotion(deployed));
const returned: State = {
  ...afterRouting(promoted, planRollback(promoted)),
  template: { image: image(1), env },
  revisions: [revision(three, { image: image(1) }), revision(two), revision(one)],
};

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'revisions-test-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

async function run(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      texts[name] += chunk;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...texts };
}

/** The lines that a verb prints for a Service in that state. */
async function rehearsed(state: State, ...args: readonly string[]): Promise<readonly string[]> {
  const file = join(folder, 'state.json');
  writeFileSync(file, JSON.stringify(state));
  const { code, stdout, stderr } = await run([...args, '--dry-run', '--state', file]);
  expect([code, stderr]).toEqual([0, '']);
  return stdout.trimEnd().split('\n');
}

/** A folder with nothing in it but a `kn` that does what the shell script says. */
function knThat(name: string, shell: string): string {
  const path = join(folder, name, 'kn');
  mkdirSync(dirname(path));
  writeFileSync(path, `#!/bin/sh\n${shell}\n`, { mode: 0o755 });
  return dirname(path);
}

describe('readState', () => {
  const container = (tag: number, env: { name: string; value?: string; valueFrom?: object }[] = []) => ({
    image: image(tag),
    ports: [{}],
    env,
  });
  const condition = (type: string, status: string, more = {}) => ({ type, status, ...more });
  const service = {
    metadata: { name: 'classify-primary', namespace: 'understudy', generation: 3 },
    spec: {
      template: {
        spec: {
          containers: [
            { image: 'sidecar' },
            container(2, [{ name: 'A', value: 'b' }, { name: 'B' }, { name: 'C', valueFrom: {} }]),
          ],
        },
      },
      traffic: [
        { latestRevision: true, percent: 90 },
        { revisionName: two, tag: 'candidate', percent: 10 },
      ],
    },
    status: { observedGeneration: 3, latestReadyRevisionName: one, conditions: [condition('RoutesReady', 'True')] },
  } satisfies ServiceJson;
  const item = (name: string, generation: number, ...conditions: object[]) => ({
    metadata: {
      name,
      creationTimestamp: '2026-11-01T08:00:00Z',
      labels: { 'serving.knative.dev/configurationGeneration': String(generation) },
    },
    spec: { containers: [container(1)] },
    status: { conditions, actualReplicas: 2 },
  });
  const late = { reason: 'ProgressDeadlineExceeded' };
  const fate = { reason: 'ExitCode1', message: 'Container failed' };
  const revisions = {
    items: [
      item('classify-primary-00009', 9, condition('Ready', 'True')),
      item('classify-primary-00011', 11, condition('Ready', 'Unknown', { reason: 'Deploying' })),
      item(
        'classify-primary-00010',
        10,
        condition('Ready', 'False', late),
        condition('ContainerHealthy', 'False', fate),
      ),
      item('classify-primary-00008', 8, condition('Ready', 'False', late), condition('ContainerHealthy', 'Unknown')),
    ],
  } as RevisionsJson;

  it('follows the newest ready revision where the traffic does, and takes the plain variables of the container with a port', () => {
    const { template, traffic } = readState(service, revisions);

    expect(template).toEqual({ image: image(2), env: { A: 'b', B: '' } });
    expect(traffic).toEqual([
      { revision: one, percent: 90, tag: '', isLatest: true },
      { revision: two, percent: 10, tag: 'candidate', isLatest: false },
    ]);
  });

  it('puts the newest revision first by its generation and tells what became of each', () => {
    const told = readState(service, revisions).revisions.map(({ name, isReady, reason }) => [name, isReady, reason]);

    expect(told).toEqual([
      ['classify-primary-00011', null, 'Deploying'],
      ['classify-primary-00010', false, 'ExitCode1: Container failed'],
      ['classify-primary-00009', true, ''],
      ['classify-primary-00008', false, 'ProgressDeadlineExceeded'],
    ]);
  });

  it('calls the traffic routed only when the controller has seen the last change and the gateway has it', () => {
    const routed = (status: object) => readState({ ...service, status } as ServiceJson, {}).isRouted;

    expect(routed(service.status)).toBe(true);
    expect(routed({ ...service.status, observedGeneration: 2 })).toBe(false);
    expect(routed({ ...service.status, conditions: [condition('RoutesReady', 'Unknown')] })).toBe(false);
    expect(routed({})).toBe(false);
  });
});

describe('currentOf', () => {
  it.each([
    ['the only one with traffic', applied.traffic, one],
    ['the one tagged current beside a candidate', [target(one, 40, 'current'), target(two, 60, 'candidate')], one],
    ['the one without the tag candidate', [target(one, 10), target(two, 90, 'candidate')], one],
    ['the one with most where nobody is tagged', [target(one, 30), target(two, 70)], two],
    [
      'one with traffic rather than one that somebody left the tag on',
      [target(one, 0, 'current'), target(two, 100)],
      two,
    ],
    [
      'the one tagged current where the candidate has everything',
      [target(one, 0, 'current'), target(two, 100, 'candidate')],
      one,
    ],
  ])('is %s', (_, traffic, expected) => {
    expect(currentOf({ ...applied, traffic })).toBe(expected);
  });

  it('is nobody, which is a fault, where there is no traffic', () => {
    expect(() => currentOf({ ...applied, traffic: [] })).toThrow(StateError);
  });
});

describe('planDeployment', () => {
  const make = (state: State, image: string | undefined, env = {}) =>
    planDeployment(state, { ...(image !== undefined && { image }), env }, 60).make?.join(' ');

  it('begins from what serves, not from what an earlier candidate left in the template', () => {
    const dirty = { ...applied, template: { image: image(9), env: { ...env, MODELS_DIR: '/nowhere', WORKERS: '4' } } };
    const serving = [revision(one, { env: { ...env, WORKERS: '2' } })];

    const line = make({ ...dirty, revisions: serving }, undefined, { LOG_LEVEL: 'warn' });

    expect(line).toContain(`--image ${image(1)} --env WORKERS=2 --env LOG_LEVEL=warn --env MODELS_DIR- --traffic`);
  });

  it('takes traffic and tag from a candidate that an interrupted release left', () => {
    expect(make(split, image(3))).toContain(
      `--image ${image(3)} --traffic ${one}=100 --untag candidate --wait-timeout 60`,
    );
  });

  it('takes the newest revision as it is where no change is asked for', () => {
    const newer = { ...applied, traffic: [target(one, 100, 'current')], revisions: [revision(two), revision(one)] };

    const { make, tagged } = planDeployment(newer, { env: {} }, 60);

    expect(make).toBeUndefined();
    expect(routeLine(newer, tagged(two))?.join(' ')).toContain(`--tag ${two}=candidate`);
  });

  it('refuses to deploy nothing', () => {
    expect(() => make(applied, undefined)).toThrow(
      `Expected --image or --env for deploy but received neither, and the newest revision, ${one}, serves already`,
    );
  });
});

describe('the plans of the traffic', () => {
  it('leave other tags where they are', () => {
    const traffic = [...deployed.traffic, target(one, 0, 'mine')];

    const after = afterRouting({ ...deployed, traffic }, planPromotion({ ...deployed, traffic }));

    expect(after.traffic).toEqual([target(one, 0, 'mine'), target(two, 100, 'current'), target(one, 0, 'previous')]);
  });

  it('name a revision that followed the newest one, even where the share stays', () => {
    expect(routeLine(applied, { shares: { [one]: 100 }, tagged: {} })?.join(' ')).toContain(`--traffic ${one}=100`);
  });

  it('name a tag that followed the newest revision', () => {
    const traffic = [target(one, 100), { ...target(one, 0, 'current'), isLatest: true }];

    const line = routeLine({ ...applied, traffic }, { shares: { [one]: 100 }, tagged: { current: one } });

    expect(line?.join(' ')).toContain(`--untag current --tag ${one}=current --no-wait`);
    expect(line).not.toContain('--traffic');
  });

  it('change nothing where everything is as it has to be', () => {
    const routing = planCanary(deployed, 10);

    expect(routeLine(split, routing)).toBeUndefined();
    expect([hasRouting(split, routing), hasRouting(deployed, routing)]).toEqual([true, false]);
    expect(templateLine(applied, one)).toBeUndefined();
  });

  it.each([
    ['without a candidate', applied, /^Expected a revision tagged candidate for classify-primary but received none/],
    [
      'with a candidate that is not ready',
      { ...deployed, revisions: [revision(two, { isReady: false, reason: 'ExitCode1' }), revision(one)] },
      /^Expected classify-primary-00002 to be ready but received ExitCode1$/,
    ],
    [
      'with a candidate that is gone',
      { ...deployed, revisions: [revision(one)] },
      /^Expected revision classify-primary-00002/,
    ],
  ])('refuse canary and promote %s', (_, state, message) => {
    expect(() => planCanary(state, 10)).toThrow(message);
    expect(() => planPromotion(state)).toThrow(message);
  });
});

describe('planRollback', () => {
  it('drops the candidate and keeps who was previous', () => {
    const traffic = [...split.traffic, target(three, 0, 'previous')];

    expect(planRollback({ ...split, traffic })).toEqual({
      shares: { [one]: 100 },
      tagged: { current: one, previous: three },
    });
  });

  it('returns to who was previous where there is no candidate, and forgets who failed', () => {
    expect(planRollback(promoted)).toEqual({ shares: { [one]: 100 }, tagged: { current: one } });
  });

  it('gathers traffic that somebody split by hand', () => {
    const traffic = [target(one, 30), target(two, 70)];

    expect(planRollback({ ...deployed, traffic })).toEqual({ shares: { [two]: 100 }, tagged: { current: two } });
  });

  it('refuses where there is nothing to go back to', () => {
    expect(() => planRollback(applied)).toThrow(/^Expected a revision tagged candidate or previous/);
  });
});

describe('what may be deleted', () => {
  const revisions = ['00007', '00006', '00005', '00004', '00003'].map((end) => revision(`classify-primary-${end}`));
  const traffic = [
    target('classify-primary-00006', 90, 'current'),
    target('classify-primary-00005', 10, 'candidate'),
    target('classify-primary-00004', 0, 'previous'),
  ];

  it('is neither the newest nor any with traffic or a tag', () => {
    expect(prunable({ ...applied, traffic, revisions })).toEqual(['classify-primary-00003']);
  });

  it('is the newest where it never became ready and nothing refers to it', () => {
    const [, ...others] = revisions;
    const never = revision('classify-primary-00007', { isReady: false });

    expect(unneeded({ ...applied, traffic, revisions: [never, ...others] })).toEqual(['classify-primary-00007']);
    expect(unneeded({ ...applied, traffic, revisions })).toEqual([]);
    expect(unneeded({ ...applied, traffic, revisions: [revision(two), never] })).toEqual([]);
    expect(unneeded({ ...applied, traffic: [target(never.name, 0, 'mine')], revisions: [never] })).toEqual([]);
  });
});

describe('listOf', () => {
  it('tells share, tags and fate of each revision', () => {
    const revisions = [revision(three, { isReady: false, reason: 'ExitCode1', pods: 0 }), ...split.revisions];

    expect(listOf({ ...split, revisions, isRouted: false })).toBe(
      [
        'revision                share  tags       ready  pods  made              image',
        `${three}  -      -          no     0     2026-11-01 08:00  ${image(3)}`,
        `${two}  10 %   candidate  yes    1     2026-11-01 08:00  ${image(2)}`,
        `${one}  90 %   current    yes    1     2026-11-01 08:00  ${image(1)}`,
        `${three}: ExitCode1`,
        'The gateway does not follow yet, or cannot.',
        '',
      ].join('\n'),
    );
  });
});

describe('shortfalls', () => {
  it('names each limit that did not hold, and no other', () => {
    const metrics = {
      p95_ratio: { contains: 'default', values: { value: 1.9 }, thresholds: { 'value<=1.25': { ok: false } } },
      pairs: { contains: 'default', values: { count: 80 }, thresholds: { 'count>=40': { ok: true } } },
      top1_agrees: { contains: 'default', values: { rate: 0.5 }, thresholds: { 'rate>=0.95': { ok: false } } },
    };

    expect(shortfalls({ metrics })).toEqual([
      'p95_ratio was 1.9 (value<=1.25)',
      'top1_agrees was 50.00 % (rate>=0.95)',
    ]);
  });
});

describe('isTimeAlone', () => {
  it.each([
    [['p95_ratio was 1.3 (value<=1.25)'], true],
    [['p95_ratio was 1.3 (value<=1.25)', 'pairs was 12 (count>=40)'], true],
    [['p95_ratio was 1.3 (value<=1.25)', 'top1_agrees was 50.00 % (rate>=0.95)'], false],
    [['k6 ended with 107: nothing'], false],
    [[], false],
  ])('of %j is %s', (clauses, expected) => {
    expect(isTimeAlone(clauses)).toBe(expected);
  });
});

describe('toShell', () => {
  it('quotes what a shell would read otherwise', () => {
    expect(toShell(['service', '--env', "A=it's; b", '--tag', 'x-00001=current'])).toBe(
      String.raw`kn service --env 'A=it'\''s; b' --tag x-00001=current`,
    );
  });
});

describe('npm run revision', () => {
  it.each([
    [[], /^Expected one of list, deploy, canary, promote, rollback, prune, release but received ""\n/],
    [['advance'], /^Expected one of list, .* but received "advance"\n/],
    [['canary'], /^Expected a whole number from 1 to 99 for PERCENT but received ""\n$/],
    [['canary', '0'], /for PERCENT but received "0"\n$/],
    [['canary', '100'], /for PERCENT but received "100"\n$/],
    [['canary', '5.5'], /for PERCENT but received "5.5"\n$/],
    [['canary', '5', '6'], /^Expected nothing after canary but received "6"\n$/],
    [['promote', 'now'], /^Expected nothing after promote but received "now"\n$/],
    [['list', '--image', 'a'], /^Expected --image for deploy or release but received it for list\n$/],
    [['deploy', '--image', ''], /^Expected an image for --image but received ""\n$/],
    [['deploy', '--env', 'A'], /^Expected NAME=VALUE for --env but received "A"\n$/],
    [
      ['deploy', '--image', 'a', '--wait', '0'],
      /^Expected a whole number from 1 to 3600 for --wait but received "0"\n$/,
    ],
    [['release', '--image', 'a', '--seconds', 'x'], /for --seconds but received "x"\n$/],
    [
      ['release', '--image', 'a', '--address', 'localhost'],
      /^Expected an http address for --address but received "localhost"\n$/,
    ],
    [['list', '--service', 'A'], /for --service but received "A"\n$/],
    [['list', '--namespace', '../x'], /for --namespace but received "..\/x"\n$/],
    [['list', '--state', 'x'], /^Expected --dry-run beside --state/],
    [
      ['promote', '--dry-run', '--state', '/nowhere'],
      /^Expected what "list --json" prints for --state but received ENOENT/,
    ],
    [['list', '--speed'], /'--speed'/],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await run(args);

    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it('tells where to get kn where there is none', async () => {
    const none = join(folder, 'none');
    mkdirSync(none);

    expect(await run(['list'], { PATH: none })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'Expected kn 1.15 or later in PATH but received none: see https://knative.dev/docs/client/install-kn\n',
    });
  });

  it.each(['v1.14.0', 'v0.41.2'])('refuses kn %s', async (version) => {
    const old = knThat(version, `echo '{"Version":"${version}"}'`);

    const { code, stderr } = await run(['list'], { PATH: `${old}:/bin:/usr/bin` });

    expect(code).toBe(1);
    expect(stderr).toMatch(`Expected kn 1.15 or later in PATH but received ${version}: see`);
  });

  it.each(['v1.15.0', 'v0.42.0', 'v20261101-local'])(
    'takes kn %s and hands on what it says of a Service',
    async (version) => {
      const fault = 'Error: services.serving.knative.dev \\"x\\" not found';
      const shell = `case "$1" in
      version) echo '{"Version":"${version}"}' ;;
      revision) echo 'No revisions found.' ;;
      *) echo "${fault}" >&2; echo "Run 'kn --help' for usage" >&2; exit 1 ;;
    esac`;

      const { code, stderr } = await run(['list', '--service', 'x'], {
        PATH: `${knThat(version, shell)}:/bin:/usr/bin`,
      });

      expect(code).toBe(1);
      expect(stderr).toBe(
        'kn service describe x --namespace understudy --output json: services.serving.knative.dev "x" not found\n',
      );
    },
  );

  it('gives up a kn that does not end', async () => {
    const hanging = knThat('hanging', `[ "$1" = version ] && echo '{"Version":"v1.15.0"}' && exit\nexec sleep 60`);

    const { code, stderr } = await run(['list'], { PATH: `${hanging}:/bin:/usr/bin` });

    expect(code).toBe(1);
    expect(stderr).toMatch(/^Expected an end of "kn \w+ \w+ .* within 10 s but received none\n$/);
  });

  describe('release', () => {
    const servers: Server[] = [];
    let asked: string;
    let hosts: (string | undefined)[];

    afterEach(() => {
      for (const server of servers.splice(0)) server.close().closeAllConnections();
    });

    /** Something that listens and answers for these hosts alone, for any where none are named; others get 404. */
    async function listen(revision?: string, known?: readonly string[]): Promise<number> {
      const server = createServer(({ headers }, response) => {
        hosts.push(headers.host);
        const isKnown = known === undefined || known.includes(headers.host ?? '');
        response.writeHead(isKnown ? 200 : 404, revision === undefined ? {} : { 'x-revision': revision }).end();
      }).listen(0, '127.0.0.1');
      servers.push(server);
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    }

    /** A release with a kn that knows the Service whose revision 1 serves, and refuses to change it; kubectl forwards to the port. */
    async function releaseBy(args: readonly string[], forwarded: number) {
      hosts = [];
      const bin = mkdtempSync(join(folder, 'release-'));
      asked = join(bin, 'asked');
      const metadata = { name: 'classify-primary', namespace: 'understudy', generation: 1 };
      const spec = { template: { spec: { containers: [{ image: image(1) }] } } };
      const traffic = [{ revisionName: one, percent: 100 }];
      writeFileSync(join(bin, 'service'), JSON.stringify({ metadata, spec: { ...spec, traffic } }));
      const made = { name: one, creationTimestamp: '2026-11-01T08:00:00Z' };
      writeFileSync(join(bin, 'revisions'), JSON.stringify({ items: [{ metadata: made, spec: spec.template.spec }] }));
      const programs = {
        k6: `echo "k6 v${k6Version} (go1.26)"`,
        kn: `echo "kn $1 $2" >>${asked}
          case "$1 $2" in
            version*) echo '{"Version":"v1.15.0"}' ;;
            *describe) cat ${bin}/service ;;
            *list) cat ${bin}/revisions ;;
            *) echo 'nothing is changed here' >&2; exit 1 ;;
          esac`,
        kubectl: `echo "kubectl $*" >>${asked}
          echo 'Forwarding from 127.0.0.1:${forwarded} -> 8080'; exec sleep 60`,
      };
      for (const [name, shell] of Object.entries(programs)) {
        writeFileSync(join(bin, name), `#!/bin/sh\n${shell}\n`, { mode: 0o755 });
      }
      const env = { PATH: `${bin}:/bin:/usr/bin`, K6: join(bin, 'k6') };
      const { code, stderr } = await run(['release', '--image', image(2), ...args], env);
      return { code, stderr, calls: readFileSync(asked, 'utf8').trim().split('\n') };
    }

    const host = 'classify-primary.understudy.svc.cluster.local';
    const looks = ['kn service describe', 'kn revision list'];

    it('begins nothing where no gateway answers', async () => {
      const { code, stderr, calls } = await releaseBy(['--address', 'http://127.0.0.1:1'], 0);

      expect([code, calls]).toEqual([1, ['kn version -o']]);
      expect(stderr).toBe(
        'Expected the gateway of cluster-local Services at http://127.0.0.1:1 but received ECONNREFUSED\n',
      );
    });

    it('begins nothing where a function answers, which knows any host', async () => {
      const { code, stderr, calls } = await releaseBy(['--address', `http://127.0.0.1:${await listen(one)}`], 0);

      expect([code, calls]).toEqual([1, ['kn version -o']]);
      expect(stderr).toMatch(/^Expected the gateway .* but received 200 for a host that nobody has\n$/);
    });

    it.each([
      ['another gateway', one, [], /but received 404 for classify-primary\.understudy\.svc\.cluster\.local\n$/],
      ['a Service of another name', two, [host], new RegExp(`^Expected ${one} for X-Revision .* received ${two}\n$`)],
      ['a revision without a name', undefined, [host], /for X-Revision .* received none\n$/],
    ] as const)('changes nothing where %s answers', async (_what, revision, known, fault) => {
      const port = await listen(revision, known);

      const { code, stderr, calls } = await releaseBy(['--address', `http://127.0.0.1:${port}`], 0);

      expect(code).toBe(1);
      expect(stderr).toMatch(fault);
      expect(calls.toSorted()).toEqual(['kn version -o', ...looks].toSorted());
    });

    it('forwards a port of its own where no address is named, and goes on when the Service answers there', async () => {
      const port = await listen(one, [host]);

      const { code, stderr, calls } = await releaseBy([], port);

      expect(calls).toContain(
        'kubectl port-forward --address 127.0.0.1 --namespace kourier-system service/kourier-internal :80',
      );
      expect(hosts).toEqual([expect.stringMatching(/\.invalid$/), host]);
      expect([code, stderr]).toEqual([1, expect.stringContaining('nothing is changed here')]); // it tried to
    });

    it('tells what kubectl says where it does not forward', async () => {
      const bin = knThat('unforwarded', `echo '{"Version":"v1.15.0"}'`);
      const shell = 'echo "error: services \\"kourier-internal\\" not found" >&2; exit 1';
      writeFileSync(join(bin, 'kubectl'), `#!/bin/sh\n${shell}\n`, { mode: 0o755 });
      writeFileSync(join(bin, 'k6'), `#!/bin/sh\necho "k6 v${k6Version}"\n`, { mode: 0o755 });

      const { code, stderr } = await run(['release', '--image', 'a'], {
        PATH: `${bin}:/bin:/usr/bin`,
        K6: join(bin, 'k6'),
      });

      expect(code).toBe(1);
      expect(stderr).toMatch(/^Expected a port from "kubectl port-forward .*" but received error: .* not found\n$/);
    });
  });

  it('prints every line of a release, in its order', async () => {
    const lines = await rehearsed(
      applied,
      'release',
      '--image',
      image(2),
      '--seconds',
      '20',
      '--address',
      'http://10.0.0.1/',
    );

    const heads = lines.map((line) => /^(k6 run|kn service update|kubectl port-forward)/.exec(line)?.[1]);
    const [kn, k6] = ['kn service update', 'k6 run'];
    expect(heads).toEqual([kn, kn, k6, kn, k6, kn, k6, kn]);
    const shares = lines.map((line) => /--traffic (\S+)/.exec(line)?.[1]).filter(Boolean);
    expect(shares).toEqual([`${one}=100`, `${two}=10,${one}=90`, `${two}=50,${one}=50`, `${two}=100`]);
    expect(lines[2]).toContain('-e TARGET=http://10.0.0.1 ');
    expect(lines[2]).toContain('-e SECONDS=10 ');
    expect(lines[2]).toContain(`-e TARGET_REVISION=${two} `);
    expect(lines[4]).toContain(`-e BASELINE_REVISION=${one} `);
    expect(lines[4]).toContain(`-e CANDIDATE_REVISION=${two} `);
  });

  it('says so where there is nothing to do', async () => {
    expect(await rehearsed(applied, 'prune')).toEqual(['# nothing to do']);
  });
});

describe('knative/revisions/README.md', () => {
  /** The commands below a heading of the page. */
  function recipe(heading: string): readonly string[] {
    const [, rest] = readme.split(`\n### ${heading}\n`);
    if (rest === undefined) throw new Error(`Expected "### ${heading}" but received none`);
    const blocks = [
      ...rest
        .split(/\n##/, 1)
        .join()
        .matchAll(/```sh\n(.*?)```/gs),
    ];
    return blocks.flatMap(([, block]) => String(block).trim().split('\n'));
  }
  const k6 = (line: string) => line.startsWith('k6 ');

  it('deploys, rolls back and deletes as the dry run does', async () => {
    expect(recipe('Deploy a candidate without traffic')).toEqual(
      await rehearsed(applied, 'deploy', '--image', image(2)),
    );
    expect(recipe('Drop a candidate')).toEqual(await rehearsed(split, 'rollback'));
    expect(recipe('Promote it')).toEqual(await rehearsed(split, 'promote'));
    expect(recipe('Roll back')).toEqual(await rehearsed(promoted, 'rollback'));
    expect(recipe('Delete what nothing needs')).toEqual(await rehearsed(returned, 'prune'));
    expect(recipe('Look')).toEqual(expect.arrayContaining([...(await rehearsed(applied, 'list'))]));
  });

  it('tries and compares as a release does', async () => {
    const released = await rehearsed(applied, 'release', '--image', image(2));

    expect(readme).toContain(`\n${released[0]}\n`); // the forwarded port
    expect(recipe('Try it')).toEqual(released.filter(k6).slice(0, 1));
    expect(recipe('Give it 10 % and compare')).toEqual([
      ...(await rehearsed(deployed, 'canary', '10')),
      ...released.filter(k6).slice(1, 2),
    ]);
  });

  it('names every verb', async () => {
    const { stderr } = await run([]);

    const told = [...stderr.matchAll(/^ {2}([a-z]+)(?: PERCENT)? {2,}/gm)].map(([, verb]) => verb);
    const written = [...readme.matchAll(/^\| `([a-z]+)(?: PERCENT)?` \|/gm)].map(([, verb]) => verb);
    expect(written).toEqual(told);
  });
});
