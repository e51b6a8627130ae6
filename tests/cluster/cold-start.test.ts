import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import { median } from '../../load/report.ts';
import { useCluster } from './support/cluster.ts';
import { startClient } from './support/inside.ts';
import { listPods, podsOf, untilPods } from './support/pods.ts';
import { copyFallback, partsTable, totalMs, type Wake, wakeInTurn } from './support/wake.ts';

jest.setTimeout(300_000);

const copies = 10;

/** A request that fails over is then answered within half of the default deadline. */
const medianWithinMs = 2500;

/** The development overlay's window, and how long the last pod stays after it. */
const awakeMs = 6000 + 10_000;

/** The autoscaler works every 2 s, and the answer came before its log was read. */
const autoscalerTickMs = 2000;

describe('a fallback at zero', () => {
  const cluster = useCluster('cold-start');
  let wakes: readonly Wake[];
  let last: string;
  let lastAnsweredMs: number;

  beforeAll(async () => {
    await startClient(cluster.namespace);
    const services = await copyFallback(cluster.namespace, copies);
    wakes = await wakeInTurn(cluster.namespace, services);
    last = services.at(-1) as string;
    lastAnsweredMs = performance.now();
  }, 400_000);

  it('answers within 2.5 s, in the median of ten wakes', () => {
    process.stderr.write(`Cold start of the fallback, ${wakes.length} wakes, ms:\n\n${partsTable(wakes)}\n`);

    expect(wakes).toHaveLength(copies);
    expect(median(wakes.map(totalMs))).toBeLessThanOrEqual(medianWithinMs);
  });

  it('is at zero again by itself when its window and its retention are over, and not before', async () => {
    const during = await listPods(cluster.namespace, podsOf(last));

    await untilPods(cluster.namespace, last, 0);

    expect(during).toHaveLength(1);
    expect(performance.now() - lastAnsweredMs).toBeGreaterThan(awakeMs - autoscalerTickMs);
  });
});
