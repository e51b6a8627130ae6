import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Driver } from '../chaos/driver.ts';
import type { Row } from '../chaos/row.ts';
import { toMarkdown } from '../chaos/table.ts';
import { type Cluster, drive, openCluster } from './support/cluster.ts';
import { kubectl, until } from './support/command.ts';
import { strike } from './support/inside.ts';
import { answersOf, type Happening, observe } from './support/observe.ts';
import { forOneAddress, functionVariable, unscaled } from './support/overlay.ts';
import { isReady, listPods } from './support/pods.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

/** As `failover`. */
const perSecond = 10;

/** How the primary is lost, and which tier must have answered meanwhile. */
interface Loss extends Happening {
  readonly isAnsweredBy: readonly ('primary' | 'fallback')[];
}

const changes = [forOneAddress, unscaled('classify-primary'), unscaled('classify-fallback')];

const noModels = functionVariable('classify-primary', 'MODELS_DIR', '/nowhere', 'Deployment');
const ofPrimary = 'app.kubernetes.io/name=classify-primary';

describe('a cluster without Knative', () => {
  const rows: Row[] = [];
  let cluster: Cluster;
  let driver: Driver;

  beforeAll(async () => {
    cluster = await openCluster('plain', changes, 'kubernetes');
    driver = await drive(cluster, perSecond);
  }, 240_000);

  afterAll(async () => {
    driver?.stop();
    process.stderr.write(`${toMarkdown(rows, [])}\nThe driver was at most ${driver?.latestMs().toFixed(0)} ms late.\n`);
    await cluster?.close();
  }, 150_000);

  const inNamespace = (...args: readonly string[]) => kubectl(['-n', cluster.namespace, ...args]);
  const primary = () =>
    until('one pod of the primary, ready', async () => {
      const [pod, ...others] = await listPods(cluster.namespace, ofPrimary);
      return others.length === 0 && pod !== undefined && isReady(pod) ? pod : undefined;
    });
  const whereToStrike = async () => {
    const { metadata, spec } = await primary();
    return { podUid: metadata.uid, nodeName: spec.nodeName ?? '' };
  };

  const losses: readonly Loss[] = [
    {
      name: "the primary's pod is deleted at once",
      isAnsweredBy: ['fallback'], // no activator holds requests until there is another
      async happen() {
        await inNamespace('delete', 'pods', '-l', ofPrimary, '--grace-period=0', '--force');
      },
    },
    {
      name: "the primary's pod is evicted",
      isAnsweredBy: ['primary'],
      async happen() {
        await inNamespace('delete', 'pods', '-l', ofPrimary, '--wait=false'); // with its grace period
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
      name: 'the primary is scaled to zero for 15 s',
      isAnsweredBy: ['fallback'],
      async happen() {
        await inNamespace('scale', 'deployment/classify-primary', '--replicas=0');
        await sleep(15_000);
        await inNamespace('scale', 'deployment/classify-primary', '--replicas=1');
      },
    },
    {
      name: "the primary's Deployment is deleted and applied again 10 s later",
      isAnsweredBy: ['fallback'],
      async happen() {
        await inNamespace('delete', 'deployment', 'classify-primary');
        await sleep(10_000);
        await cluster.apply(changes);
      },
    },
    {
      name: 'a primary without models is rolled out and taken back after 20 s',
      isAnsweredBy: ['primary'],
      async happen() {
        await cluster.deploy([...changes, noModels]);
        await sleep(20_000);
        await cluster.apply(changes);
      },
    },
  ];

  it.each(losses.map((loss) => [loss.name, loss] as const))(
    'answers every request when %s',
    async (_, loss) => {
      await primary();

      const observed = await observe(cluster, driver, loss);

      rows.push(observed.row);
      expect(observed.row.faults).toEqual([]);
      expect(loss.isAnsweredBy.map((tier) => answersOf(observed, tier).length)).not.toContain(0);
    },
    300_000,
  );
});
