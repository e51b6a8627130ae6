import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { k6Version } from '../../load/tool.ts';
import { type Programs, runRevision as run, version } from '../support/revision.ts';

jest.setTimeout(60_000);

const [one, two] = ['classify-primary-00001', 'classify-primary-00002'];

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'release-test-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('npm run revision -- release', () => {
  const host = 'classify-primary.understudy.svc.cluster.local';
  const containers = [{ image: 'registry.example/understudy-primary:1' }];
  const service = {
    metadata: { name: 'classify-primary', namespace: 'understudy', generation: 1 },
    spec: { template: { spec: { containers } }, traffic: [{ revisionName: one, percent: 100 }] },
  };
  const revisions = { items: [{ metadata: { name: one }, spec: { containers } }] };
  /** A Service whose revision 1 serves, and that cannot be changed. */
  const kn = `${version('v1.15.0')}
    case "$2" in
      describe) echo '${JSON.stringify(service)}' ;;
      list) echo '${JSON.stringify(revisions)}' ;;
      *) echo 'nothing is changed here' >&2; exit 1 ;;
    esac`;
  const k6 = `echo "k6 v${k6Version} (go1.26)"`;
  const servers: Server[] = [];
  let hosts: (string | undefined)[] = [];

  afterEach(() => {
    for (const server of servers.splice(0)) server.close().closeAllConnections();
    hosts = [];
  });

  /** An upstream that answers these hosts, any where none are named, and others with 404. */
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

  const release = (programs: Programs, ...args: readonly string[]) =>
    run(['release', '--image', 'registry.example/understudy-primary:2', ...args], { k6, kn, ...programs });
  const knCalls = (calls: readonly string[]) =>
    calls.filter((call) => call.startsWith('kn ')).map((call) => call.split(' ').slice(1, 3).join(' '));

  it.each<[string, () => Promise<number>, RegExp, boolean]>([
    [
      'no gateway answers',
      async () => 1,
      /^Expected the gateway .* at http:\/\/127\.0\.0\.1:1 .*ECONNREFUSED\n$/,
      false,
    ],
    ['a function answers, for any host', () => listen(one), /received 200 for a host that nobody has\n$/, false],
    ['another gateway answers', () => listen(one, []), /received 404 for classify-primary\.understudy\.svc\.c/, true],
    ['another Service answers', () => listen(two, [host]), RegExp(`^Expected ${one} for X-Rev.* ${two}\n$`), true],
    ['a revision without a name answers', () => listen(undefined, [host]), /for X-Revision .* received none\n$/, true],
  ])('changes nothing where %s', async (_what, open, fault, isLookedAt) => {
    const { code, stderr, calls } = await release({}, '--address', `http://127.0.0.1:${await open()}`);

    expect(code).toBe(1);
    expect(stderr).toMatch(fault);
    const looks = isLookedAt ? ['revision list', 'service describe'] : [];
    expect(knCalls(calls).toSorted()).toEqual([...looks, 'version -o']);
  });

  it('forwards its own port without an address, and begins when the Service answers there', async () => {
    const port = await listen(one, [host]);
    const kubectl = `echo 'Forwarding from 127.0.0.1:${port} -> 8080'; exec sleep 60`;

    const { code, stderr, calls } = await release({ kubectl });

    expect(calls).toContain(
      'kubectl port-forward --address 127.0.0.1 --namespace kourier-system service/kourier-internal :80',
    );
    expect(hosts).toEqual([expect.stringMatching(/\.invalid$/), host]);
    expect([code, stderr]).toEqual([1, expect.stringContaining('nothing is changed here')]); // it tried
  });

  it('reports what kubectl says where it does not forward', async () => {
    const { code, stderr } = await release({ kubectl: 'echo "error: services not found" >&2; exit 1' });

    expect(code).toBe(1);
    expect(stderr).toMatch(/^Expected a port from "kubectl port-forward .*" but received error: .* not found\n$/);
  });

  describe('with a cluster', () => {
    const fake = fileURLToPath(new URL('../support/fake-kn.js', import.meta.url));
    const [old, fresh] = [1, 2].map((tag) => `registry.example/understudy-primary:${tag}`) as [string, string];
    const env = { FUNCTION_TARGET: 'primary' };
    let cluster: string;

    /** As `kubectl apply` leaves it: all traffic to the newest revision. */
    function create(): Programs {
      cluster = join(mkdtempSync(join(folder, 'cluster-')), 'state.json');
      const revisions = [{ name: one, image: old, env }];
      writeFileSync(
        cluster,
        JSON.stringify({ image: old, env, traffic: [{ latestRevision: true, percent: 100 }], revisions }),
      );
      return { k6, kn: `exec '${process.execPath}' '${fake}' ${cluster} "$@"` };
    }
    const state = () => JSON.parse(readFileSync(cluster, 'utf8'));
    /** What has traffic or a tag, such as `00001 100 current`. */
    function routing(): readonly string[] {
      const traffic: { revisionName: string; percent: number; tag?: string }[] = state().traffic;
      return [...new Set(traffic.map(({ revisionName }) => revisionName))].toSorted().map((name) => {
        const targets = traffic.filter(({ revisionName }) => revisionName === name);
        const percent = targets.reduce((sum, target) => sum + target.percent, 0);
        return [name.slice(-5), percent, ...targets.flatMap(({ tag }) => tag ?? [])].join(' ');
      });
    }
    /** Of all calls the changes of kn, without their common words, and the scripts of k6. */
    const steps = (calls: readonly string[]) =>
      calls.flatMap((call) => {
        const changes = /^kn service update .* (--traffic \S+)/.exec(call)?.[1];
        const trial = /^k6 run .*\/(\w+)\.ts$/.exec(call)?.[1];
        return changes ?? trial ?? [];
      });

    it('gives a good candidate the traffic step by step', async () => {
      const programs = create();
      const address = `http://127.0.0.1:${await listen(one, [host])}/`;

      const released = await run(['release', '--image', fresh, '--address', address, '--seconds', '20'], programs);

      expect([released.code, released.stdout]).toEqual([0, `${two} serves\n`]);
      expect(steps(released.calls)).toEqual([
        `--traffic ${one}=100`,
        'classify',
        `--traffic ${two}=10,${one}=90`,
        'canary',
        `--traffic ${two}=50,${one}=50`,
        'canary',
        `--traffic ${two}=100`,
      ]);
      const [smoke = '', comparison = ''] = released.calls.filter((call) => call.startsWith('k6 run'));
      expect(smoke).toContain(`-e TARGET=${address.slice(0, -1)} `);
      expect(smoke).toContain(`-e TARGET_REVISION=${two} -e SHAPE=smoke -e SECONDS=10 `);
      expect(comparison).toContain(`-e BASELINE_REVISION=${one} `);
      expect(comparison).toContain(`-e CANDIDATE_REVISION=${two} -e SECONDS=20 `);
      expect(routing()).toEqual(['00001 0 previous', '00002 100 current']);
    });

    it('takes a candidate back that falls short at 10 %, and its template', async () => {
      const failed = { 'rate>=0.95': { ok: false } };
      const metrics = { top1_agrees: { contains: 'default', values: { rate: 0.5 }, thresholds: failed } };
      const programs = create();
      const failing = `${k6}
        for last; do :; done; [ "\${last##*/}" = canary.ts ] || exit 0
        for one; do case $one in SUMMARY=*) echo '${JSON.stringify({ metrics })}' >"\${one#SUMMARY=}" ;; esac; done; exit 99`;
      const address = `http://127.0.0.1:${await listen(one, [host])}`;

      const { code, stdout, stderr } = await run(['release', '--image', fresh, '--address', address], {
        ...programs,
        k6: failing,
      });

      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(`\ncomparison: top1_agrees was 50.00 % (rate>=0.95); ${one} has all the traffic\n`);
      expect(routing()).toEqual(['00001 100 current']);
      expect(state().image).toBe(old);
    });

    it('moves by hand: deploy, canary, rollback, deploy, promote, rollback', async () => {
      const programs = create();
      const perform = async (...args: readonly string[]) => [(await run(args, programs)).stdout, ...routing()];

      expect(await perform('deploy', '--env', 'LOG_LEVEL=warn')).toEqual([
        `${two} is the candidate, without traffic\n`,
        '00001 100 current',
        '00002 0 candidate',
      ]);
      expect(await perform('canary', '5')).toEqual([
        `${two} gets 5 % of the traffic, ${one} the rest\n`,
        '00001 95 current',
        '00002 5 candidate',
      ]);
      expect(await perform('rollback')).toEqual([`${one} has all the traffic\n`, '00001 100 current']);
      expect(state()).toMatchObject({ image: old, env });
      await perform('deploy', '--image', fresh);
      const third = state().revisions[0].name;
      expect(await perform('promote')).toEqual([
        `${third} serves; ${one} is previous\n`,
        '00001 0 previous',
        `${third.slice(-5)} 100 current`,
      ]);
      expect(await perform('rollback')).toEqual([`${one} has all the traffic\n`, '00001 100 current']);
      expect(state().image).toBe(old);
    });
  });
});
