import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Driver } from '../chaos/driver.ts';
import type { Row } from '../chaos/row.ts';
import { toMarkdown } from '../chaos/table.ts';
import { type Cluster, drive, openCluster } from './support/cluster.ts';
import { kubectl } from './support/command.ts';
import { strike } from './support/inside.ts';
import { answersOf, type Happening, observe } from './support/observe.ts';
import { forOneAddress, functionVariable, scaling } from './support/overlay.ts';
import { podsOf, untilPods, untilZero } from './support/pods.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

/** At this rate two cores suffice for the service, a cold start and the cluster itself. */
const perSecond = 10;

/** How the primary is lost, and which tier must have answered meanwhile. */
interface Loss extends Happening {
  readonly isAnsweredBy: readonly ('primary' | 'fallback')[];
}

/** Before each loss the fallback has to be at zero, so its last pod stays no longer than necessary. */
const changes = [forOneAddress, scaling('classify-fallback', { 'scale-to-zero-pod-retention-period': '0s' })];

const noModels = functionVariable('classify-primary', 'MODELS_DIR', '/nowhere');

describe('a cluster whose fallback is at zero', () => {
  const rows: Row[] = [];
  let cluster: Cluster;
  let driver: Driver;

  beforeAll(async () => {
    cluster = await openCluster('failover', changes);
    driver = await drive(cluster, perSecond);
  }, 240_000);

  afterAll(async () => {
    driver?.stop();
    process.stderr.write(`${toMarkdown(rows, [])}\nThe driver was at most ${driver?.latestMs().toFixed(0)} ms late.\n`);
    await cluster?.close();
  }, 150_000);

  const primary = async () => {
    const [pod] = await untilPods(cluster.namespace, 'classify-primary', 1);
    if (pod === undefined) throw new Error('Expected a pod of the primary but received none');
    return pod;
  };
  const whereToStrike = async () => {
    const { metadata, spec } = await primary();
    return { podUid: metadata.uid, nodeName: spec.nodeName ?? '' };
  };

  const losses: readonly Loss[] = [
    {
      name: "the primary's pod is deleted at once",
      // The activator holds requests until there is another pod: mostly the primary itself answers.
      isAnsweredBy: ['primary'],
      async happen() {
        const now = ['--grace-period=0', '--force'];
        await kubectl(['-n', cluster.namespace, 'delete', 'pods', '-l', podsOf('classify-primary'), ...now]);
      },
    },
    {
      name: 'the primary crashes as often as it starts',
      isAnsweredBy: ['fallback'],
      happen: async () => strike({ ...(await whereToStrike()), signal: 'SIGKILL', times: 3, withinMs: 60_000 }),
    },
    {
      name: 'the primary hangs',
      isAnsweredBy: ['fallback'],
      shortestMs: 45_000, // nothing else happens in the 30 s before it is found to hang
      happen: async () => strike({ ...(await whereToStrike()), signal: 'SIGSTOP', times: 1, withinMs: 10_000 }),
    },
    {
      name: 'the primary is scaled to zero by force for 15 s',
      isAnsweredBy: ['fallback'],
      async happen() {
        const deployment = `deployment/${(await primary()).metadata.labels['serving.knative.dev/revision']}-deployment`;
        for (const endMs = performance.now() + 15_000; performance.now() < endMs; ) {
          await kubectl(['-n', cluster.namespace, 'scale', deployment, '--replicas=0']);
        }
      },
    },
    {
      name: "the primary's Service is deleted and applied again 10 s later",
      isAnsweredBy: ['fallback'],
      async happen() {
        await kubectl(['-n', cluster.namespace, 'delete', 'ksvc', 'classify-primary']);
        await sleep(10_000);
        await cluster.apply(changes);
      },
    },
    {
      name: "the primary's Service is deployed anew without models and put right after 20 s",
      isAnsweredBy: ['fallback'],
      async happen() {
        await kubectl(['-n', cluster.namespace, 'delete', 'ksvc', 'classify-primary']);
        await cluster.deploy([...changes, noModels]);
        await sleep(20_000);
        await cluster.apply(changes);
      },
    },
  ];

  it.each(losses.map((loss) => [loss.name, loss] as const))(
    'answers every request, from zero, when %s',
    async (_, loss) => {
      await primary();
      await untilZero(cluster.namespace, 'classify-fallback');

      const observed = await observe(cluster, driver, loss);

      rows.push(observed.row);
      expect(observed.row.faults).toEqual([]);
      expect(loss.isAnsweredBy.map((tier) => answersOf(observed, tier).length)).not.toContain(0);
    },
    300_000,
  );
});
