import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Driver } from '../../chaos/driver.ts';
import type { Row } from '../../chaos/row.ts';
import { toMarkdown } from '../../chaos/table.ts';
import { type Cluster, drive, type openCluster, useCluster } from './cluster.ts';
import { strike } from './inside.ts';
import { answersOf, type Happening, type Observed, observe } from './observe.ts';
import type { Pod } from './pods.ts';

/** At this rate two cores suffice for the service, a cold start and the cluster itself. */
export const perSecond = 10;

/** A cluster under steady requests. */
export interface Driven {
  readonly cluster: Cluster;
  /** Performs an event, of which no request may notice a fault. */
  observe(happening: Happening): Promise<Observed>;
}

/** The same as `useCluster`, under steady requests; prints a row for each event in the end. */
export function useDrivenCluster(...options: Parameters<typeof openCluster>): Driven {
  const rows: Row[] = [];
  let driver: Driver | undefined;
  // Before that of `useCluster`, which closes what the driver asks.
  afterAll(() => {
    driver?.stop();
    process.stderr.write(`${toMarkdown(rows, [])}\nThe driver was at most ${driver?.latestMs().toFixed(0)} ms late.\n`);
  });
  const cluster = useCluster(...options);
  beforeAll(async () => {
    driver = await drive(cluster, perSecond);
  });
  return {
    cluster,
    async observe(happening) {
      const observed = await observe(cluster, driver as Driver, happening);
      rows.push(observed.row);
      expect(observed.row.faults).toEqual([]);
      return observed;
    },
  };
}

/** How the primary is lost, and which tier must have answered meanwhile. */
export interface Loss extends Happening {
  readonly isAnsweredBy: readonly ('primary' | 'fallback')[];
}

/** How the process of its pod is lost, whatever runs that. */
export function processLosses(primary: () => Promise<Pod>): readonly Loss[] {
  const whereToStrike = async () => {
    const { metadata, spec } = await primary();
    return { podUid: metadata.uid, nodeName: spec.nodeName ?? '' };
  };
  return [
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
  ];
}

/** A test for each loss, once `ready` has settled. */
export function itAnswersThrough(
  losses: readonly Loss[],
  title: string,
  { observe }: Driven,
  ready: () => Promise<unknown>,
): void {
  it.each(losses.map((loss) => [loss.name, loss] as const))(
    title,
    async (_, loss) => {
      await ready();

      const observed = await observe(loss);

      expect(loss.isAnsweredBy.map((tier) => answersOf(observed, tier).length)).not.toContain(0);
    },
    300_000,
  );
}
