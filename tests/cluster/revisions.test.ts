import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { forwardPort, type Gateway } from '../../knative/revisions/gateway.ts';
import { look } from '../../knative/revisions/kn.ts';
import { currentOf, revisionOf, type State, shareOf, taggedOf } from '../../knative/revisions/state.ts';
import { ensureK6 } from '../../load/tool.ts';
import type { Driver } from '../chaos/driver.ts';
import { send } from '../support/client.ts';
import { findGateway, layCable } from './revisions-access.ts';
import { badCandidates, changes, goodCandidate, wrongCandidate } from './revisions-candidates.ts';
import { performPage } from './revisions-page.ts';
import { beginRevision, expectReleased } from './revisions-program.ts';
import { type Cluster, drive, openCluster } from './support/cluster.ts';
import { until } from './support/command.ts';
import { isReady, listPods, podsOf } from './support/pods.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');
/** Where a reader of the page would expect the gateway. */
const addressByHand = 'http://127.0.0.1:8081';

/** Several times what the pairs of a comparison need. */
const seconds = 12;
const perSecond = 4;
const releaseWithinMs = 180_000;
/** A rollback is in full effect within this time. */
const rollbackWithinMs = 10_000;

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

  const begin = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    beginRevision([...args, '--namespace', cluster.namespace], { K6: k6, ...env });
  const revision = (...args: readonly string[]) => begin(args).ended;
  const releaseArgs = (env: string) =>
    `release --env ${env} --address ${gateway.address} --seconds ${seconds}`.split(' ');
  const state = () => look({ service: 'classify-primary', namespace: cluster.namespace });

  /** After a take-back traffic, tags and template must be as before. */
  async function expectAsBefore(before: State): Promise<void> {
    // The controller may not have seen the restored template yet.
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

  /** Every request through nginx was answered meanwhile. */
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

  it('is not misled by a forwarded pod at the usual address of the gateway', async () => {
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

  it.each([
    ['SIGINT', false],
    ['SIGTERM', false],
    ['SIGHUP', true],
  ] as const)(
    'takes a release back that %s interrupts at 10 %% (terminal closed: %s)',
    async (signal, isClosed) => {
      const before = await state();

      const { code, stderr } = await losesNobody(async () => {
        const { child, ended, says } = begin(releaseArgs('LOG_LEVEL=info'));
        await says(/gets 10 %/);
        await sleep(1500); // k6 is running
        if (isClosed) for (const stream of [child.stdout, child.stderr]) stream?.destroy();
        child.kill(signal);
        return ended;
      });

      expect(code).toBe(1);
      if (!isClosed) expect(stderr).toContain(`interrupted by ${signal}; ${currentOf(before)} has all`);
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

      await sleep(seconds * 1000); // its k6 runs on until its time is over

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
    const effect = `last wrong answer after ${(effectMs / 1000).toFixed(1)} s`;
    measured.push(`rollback: ${effect}, ended after ${seconds.toFixed(1)} s`);
    expect(code).toBe(0);
    expect(effectMs).toBeGreaterThan(0);
    expect(effectMs).toBeLessThan(rollbackWithinMs);
    expect(seconds * 1000).toBeLessThan(rollbackWithinMs);
  }, 120_000);

  it('has a page of which every line works', async () => {
    await performPage({ state, k6, namespace: cluster.namespace, seconds, withinMs: releaseWithinMs });

    const after = await state();
    expect(after.traffic.map(({ percent, isLatest, tag }) => [percent, isLatest, tag])).toEqual([[100, true, '']]);
  }, 400_000);

  async function topClass(): Promise<string> {
    const { text } = await send(cluster.door.origin, { headers: { 'content-type': 'image/jpeg' }, body: photo });
    return (JSON.parse(text) as { predictions: { class: string }[] }).predictions[0]?.class ?? '';
  }
});
