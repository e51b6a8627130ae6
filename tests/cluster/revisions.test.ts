import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { freePort } from '../../ingress/port.ts';
import { forwardPort, type Gateway } from '../../knative/revisions/gateway.ts';
import { look } from '../../knative/revisions/kn.ts';
import { currentOf, revisionOf, type State, shareOf, taggedOf } from '../../knative/revisions/state.ts';
import { ensureK6 } from '../../load/tool.ts';
import type { Driver } from '../chaos/driver.ts';
import { send } from '../support/client.ts';
import { findGateway, forwardAsWritten, layCable } from './revisions-access.ts';
import { badCandidates, goodCandidate, wrongCandidate } from './revisions-candidates.ts';
import { type Cluster, drive, openCluster } from './support/cluster.ts';
import { run, until } from './support/command.ts';
import { type Change, imageOf, ingressVariables, readImages } from './support/overlay.ts';
import { isReady, listPods, podsOf } from './support/pods.ts';

const script = fileURLToPath(new URL('../../knative/revisions/revision.js', import.meta.url));
const photo = readFileSync('tests/images/test_image_1.jpg');
/** Where a reader of the page would expect the gateway. */
const addressByHand = 'http://127.0.0.1:8081';

/** Long enough for the pairs that a comparison asks for, several times. */
const seconds = 12;
const perSecond = 4;
const releaseWithinMs = 180_000;
/** A rollback is in full effect within this time. */
const rollbackWithinMs = 10_000;

const changes: readonly Change[] = [
  // One address sends for everybody.
  ingressVariables({ RATE: '1000', BURST: '1000', CONNECTIONS: '200' }),
  {
    kind: 'Service',
    name: 'classify-primary',
    patch: [
      // What crashes is given up, and told why, only after that; models load within a second or two.
      { op: 'add', path: '/spec/template/metadata/annotations/serving.knative.dev~1progress-deadline', value: '20s' },
      // Three revisions have a tag, and those before them drain for half a minute.
      { op: 'replace', path: '/spec/template/spec/containers/0/resources/requests/cpu', value: '20m' },
    ],
  },
];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

interface Begun {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Settles when it has said so. @throws Error with what it said when it ends before that */
  says(pattern: RegExp): Promise<void>;
}

describe('npm run revision on the cluster', () => {
  const measured: string[] = [];
  let cluster: Cluster;
  let gateway: Gateway;
  let driver: Driver;
  let k6: string;

  beforeAll(async () => {
    k6 = await ensureK6((text) => process.stderr.write(`${text}\n`));
    gateway = await findGateway();
    cluster = await openCluster('revisions', changes);
    driver = await drive(cluster, perSecond);
  }, 240_000);

  afterAll(async () => {
    driver?.stop();
    await gateway?.close();
    await cluster?.close();
    process.stderr.write(`${measured.join('\n')}\n`);
  }, 150_000);

  function begin(args: readonly string[], env: Readonly<Record<string, string>> = {}): Begun {
    const startedMs = performance.now();
    const child = spawn(process.execPath, [script, ...args, '--namespace', cluster.namespace], {
      env: { ...process.env, K6: k6, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        texts[name] += chunk;
      });
    }
    const ended = once(child, 'close').then(([code]) => ({
      code: code as number | null,
      ...texts,
      seconds: (performance.now() - startedMs) / 1000,
    }));
    const says = async (pattern: RegExp) => {
      while (!pattern.test(texts.stderr)) {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(texts.stderr);
        await sleep(50);
      }
    };
    return { child, ended, says };
  }

  const revision = (...args: readonly string[]) => begin(args).ended;
  const releaseArgs = (env: string) => [
    'release',
    '--env',
    env,
    '--address',
    gateway.address,
    '--seconds',
    `${seconds}`,
  ];
  const state = () => look({ service: 'classify-primary', namespace: cluster.namespace });

  /** What a release that took itself back must have left: everything as before, in traffic, tags and template. */
  async function expectAsBefore(before: State): Promise<void> {
    // The template has just been taken back as well, and the controller may not have seen it yet.
    const after = await until('a settled Service', async () => {
      const now = await state();
      return now.isRouted ? now : undefined;
    });
    const current = currentOf(before);
    expect([currentOf(after), shareOf(after, current)]).toEqual([current, 100]);
    expect([taggedOf(after, 'candidate'), taggedOf(after, 'previous')]).toEqual([
      undefined,
      taggedOf(before, 'previous'),
    ]);
    const { image, env } = revisionOf(after, current);
    expect(after.template).toEqual({ image, env });
  }

  /** What a release says last is how it gave the candidate everything, or why it did not. */
  function expectReleased({ code, stderr }: Ended): void {
    const last = stderr.trimEnd().split('\n').at(-1);
    expect([code, last]).toEqual([0, expect.stringMatching(/^revision: kn .* --traffic \S+=100 /)]);
  }

  /** Nobody who came by the front door went without an answer. */
  async function losesNobody<Result>(happen: () => Promise<Result>): Promise<Result> {
    const fromMs = performance.now();
    const result = await happen();
    const outcomes = await driver.outcomes(fromMs, performance.now());
    expect(outcomes.filter(({ kind }) => kind !== 'answer')).toEqual([]);
    expect(outcomes.length).toBeGreaterThan(0);
    return result;
  }

  describe.each([1, 2])('in round %i', (round) => {
    it('releases a good candidate, step by step', async () => {
      const before = await state();

      const released = await losesNobody(() => revision(...releaseArgs(goodCandidate(round).env)));

      measured.push(`round ${round}, good: released in ${released.seconds.toFixed(1)} s`);
      expectReleased(released);
      const after = await state();
      const serves = currentOf(after);
      expect(released.stdout).toBe(`${serves} serves\n`);
      expect(serves).not.toBe(currentOf(before));
      expect([shareOf(after, serves), taggedOf(after, 'previous')]).toEqual([100, currentOf(before)]);
    }, 200_000);

    it.each(badCandidates)(
      'takes a $name candidate back by itself',
      async ({ name, env, fault }) => {
        const before = await state();

        const { code, stdout, stderr, seconds } = await losesNobody(() => revision(...releaseArgs(env)));

        measured.push(`round ${round}, ${name}: taken back in ${seconds.toFixed(1)} s`);
        expect([code, stdout]).toEqual([1, '']);
        expect(stderr).toMatch(fault as RegExp);
        expect(stderr).toMatch(new RegExp(`; ${currentOf(before)} has all the traffic\\n$`));
        await expectAsBefore(before);
      },
      200_000,
    );
  });

  it('is not misled by a pod whose own port is forwarded to where a person would expect the gateway', async () => {
    const before = await state();
    const pod = (await listPods(cluster.namespace, podsOf('classify-primary'))).find(isReady);
    const what = ['-n', cluster.namespace, `pod/${pod?.metadata.name}`];
    const metrics = await forwardPort([...what, `${new URL(addressByHand).port}:8080`]);
    try {
      const { env, fault } = wrongCandidate;
      const release = ['release', '--env', env, '--seconds', `${seconds}`];

      const named = await revision(...release, '--address', addressByHand);
      const judged = await revision(...release);

      expect([named.code, named.stderr]).toEqual([1, expect.stringContaining('200 for a host that nobody has')]);
      expect([judged.code, judged.stderr]).toEqual([1, expect.stringMatching(fault as RegExp)]);
      await expectAsBefore(before);
    } finally {
      await metrics.close();
    }
  }, 200_000);

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'takes a release back that %s interrupts at 10 %%',
    async (signal) => {
      const before = await state();

      const { code, stderr } = await losesNobody(async () => {
        const { child, ended, says } = begin(releaseArgs('LOG_LEVEL=info'));
        await says(/gets 10 %/);
        await sleep(1500); // k6 is at it
        child.kill(signal);
        return ended;
      });

      const told = `interrupted by ${signal}; ${currentOf(before)} has all`;
      expect([code, stderr]).toEqual([1, expect.stringContaining(told)]);
      await expectAsBefore(before);
    },
    releaseWithinMs,
  );

  it(
    'takes a release back whose terminal is closed at 10 %',
    async () => {
      const before = await state();

      const { child, ended, says } = begin(releaseArgs('LOG_LEVEL=info'));
      await says(/gets 10 %/);
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      child.kill('SIGHUP');

      expect((await ended).code).toBe(1);
      await expectAsBefore(before);
    },
    releaseWithinMs,
  );

  it(
    'takes a release back when the API server, lost at 10 %, is there again',
    async () => {
      const before = await state();
      const cable = await layCable();
      try {
        const { ended, says } = begin(releaseArgs('LOG_LEVEL=info'), { KUBECONFIG: cable.kubeconfig });
        await says(/gets 10 %/);
        cable.cut();
        await says(/tries again/);
        cable.mend();
        const { code, stderr } = await ended;

        expect([code, stderr]).toEqual([1, expect.stringContaining(`; ${currentOf(before)} has all the traffic`)]);
        await expectAsBefore(before);
      } finally {
        cable.close();
      }
    },
    releaseWithinMs,
  );

  it(
    'begins anew where a release was killed at 10 %',
    async () => {
      const { child, ended, says } = begin(releaseArgs('LOG_LEVEL=info'));
      await says(/gets 10 %/);
      child.kill('SIGKILL');
      await ended;
      const between = await state();
      expect(shareOf(between, taggedOf(between, 'candidate') ?? '')).toBe(10);

      await sleep(seconds * 1000); // its k6 goes on until its time is over

      expectReleased(await losesNobody(() => revision(...releaseArgs('LOG_LEVEL=debug'))));
      const after = await state();
      expect(revisionOf(after, currentOf(after)).env.LOG_LEVEL).toBe('debug');
      expect(taggedOf(after, 'previous')).toBe(currentOf(between));
    },
    2 * releaseWithinMs,
  );

  it('is back at the previous revision within ten seconds of a rollback', async () => {
    const right = await topClass();
    expect((await revision('deploy', '--env', wrongCandidate.env)).code).toBe(0);
    expect((await revision('promote')).code).toBe(0);
    await until('a wrong answer', async () => ((await topClass()) === right ? undefined : true));
    let lastWrongMs = 0;
    let isOver = false;
    const startedMs = performance.now();
    const asking = Array.from({ length: 2 }, async () => {
      while (!isOver) {
        if ((await topClass()) !== right) lastWrongMs = performance.now();
      }
    });

    const { code, seconds } = await revision('rollback');

    await sleep(3000);
    isOver = true;
    await Promise.all(asking);
    const effectMs = lastWrongMs - startedMs;
    measured.push(
      `rollback: last wrong answer after ${(effectMs / 1000).toFixed(1)} s, ended after ${seconds.toFixed(1)} s`,
    );
    expect(code).toBe(0);
    expect(effectMs).toBeGreaterThan(0);
    expect(effectMs).toBeLessThan(rollbackWithinMs);
    expect(seconds * 1000).toBeLessThan(rollbackWithinMs);
  }, 120_000);

  it('has a recipe page of which every line works', async () => {
    const blocks = [...readFileSync('knative/revisions/README.md', 'utf8').matchAll(/```sh\n(.*?)```/gs)];
    const lines = blocks.flatMap(([, block]) => String(block).trim().split('\n'));
    const image = imageOf('primary', readImages());
    const port = await freePort();
    // The page's revision 1 is who serves now, its revision 2 the newest since the last change of the image.
    const serves = currentOf(await state());
    let newest = '';
    const asWritten = (line: string) =>
      line
        .replaceAll('classify-primary-00001', serves)
        .replaceAll('classify-primary-00002', newest)
        .replace(/registry\.example\/\S+/, image)
        .replace('--namespace understudy', `--namespace ${cluster.namespace}`)
        .replaceAll('.understudy.', `.${cluster.namespace}.`)
        .replaceAll('127.0.0.1:8081', `127.0.0.1:${port}`)
        .replace('8081:80', `${port}:80`)
        .replace(/^k6 /, `${k6} `)
        .replace(/SECONDS=\d+/, `SECONDS=${seconds}`);
    const perform = async (line: string) => {
      const { code, stdout, stderr } = await run('sh', ['-c', asWritten(line)], {
        withinMs: releaseWithinMs,
        env: { SUMMARY: '/dev/null' }, // of k6, which would leave it here
      });
      if (code !== 0) throw new Error(`${line}\n${stdout}${stderr}`);
      const settled = await until('the routing', async () => {
        const now = await state();
        return now.isRouted ? now : undefined;
      });
      if (/ --image .* --wait-timeout /.test(line)) newest = settled.revisions[0]?.name ?? '';
    };
    const isDropping = (line: string) => line.endsWith('--untag candidate --no-wait');
    const [forward = '', ...rest] = lines;
    const made = rest.slice(rest.findIndex((line) => / --image .* --wait-timeout /.test(line)));
    const dropped = made.findIndex(isDropping);

    expect(forward).toMatch(/^kubectl port-forward /);
    const forwarded = await forwardAsWritten(asWritten(forward));
    try {
      for (const line of rest.slice(0, rest.indexOf(made[0] as string))) await perform(line);
      // One that is dropped, with all lines up to that; then another, without those that drop it.
      for (const line of made.slice(0, dropped + 2)) await perform(line);
      expect(taggedOf(await state(), 'candidate')).toBeUndefined();
      for (const line of made.filter((_, index) => index !== dropped && index !== dropped + 1)) await perform(line);
    } finally {
      await forwarded.close();
    }
    const after = await state();
    expect(after.traffic.map(({ percent, isLatest, tag }) => [percent, isLatest, tag])).toEqual([[100, true, '']]);
  }, 400_000);

  async function topClass(): Promise<string> {
    const { text } = await send(cluster.door.origin, { headers: { 'content-type': 'image/jpeg' }, body: photo });
    return (JSON.parse(text) as { predictions: { class: string }[] }).predictions[0]?.class ?? '';
  }
});
