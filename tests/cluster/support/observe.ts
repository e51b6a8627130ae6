import { setTimeout as sleep } from 'node:timers/promises';
import type { Driver, Outcome } from '../../chaos/driver.ts';
import { type AccessLine, type Row, summarize } from '../../chaos/row.ts';
import type { Cluster } from './cluster.ts';
import { ingressLines } from './pods.ts';

/** Something that happens to the service while requests come in. */
export interface Happening {
  readonly name: string;
  /** Performs it; settles when it is over or repaired. */
  readonly happen: () => Promise<void>;
  /** Shortest duration of a row. @default 15000 */
  readonly shortestMs?: number;
}

/** A row of the table, and its requests. */
export interface Observed {
  readonly row: Row;
  readonly outcomes: readonly Outcome[];
}

/** Before the event and after the return to the Wide ResNet. */
const quietMs = 1000;

/** A hanging process is given up after 30 s, killed after 60 s more, and restarted. */
const returnWithinMs = 150_000;

/** Performs an event while the driver sends, waits for the Wide ResNet to answer again, and sums up the answers. */
export async function observe(
  cluster: Cluster,
  driver: Driver,
  { name, happen, shortestMs = 15_000 }: Happening,
): Promise<Observed> {
  const fromMs = performance.now();
  await sleep(quietMs);
  await happen();
  const endedMs = performance.now();
  const recoveredMs = await driver.untilPrimary(endedMs, AbortSignal.timeout(returnWithinMs)).then(
    () => performance.now(),
    () => undefined,
  );
  await sleep(Math.max(quietMs, fromMs + shortestMs - performance.now()));
  const toMs = performance.now();
  const outcomes = await driver.outcomes(fromMs, toMs);
  const times = { fromMs, endedMs, readyMs: undefined, recoveredMs, toMs };
  const lines = await accessLines(cluster.namespace, new Set(outcomes.map(({ requestId }) => requestId)));
  return { row: summarize({ name }, outcomes, lines, times), outcomes };
}

/** nginx's log lines of these requests; those of an ended pod are lost. */
async function accessLines(namespace: string, wanted: ReadonlySet<string>): Promise<ReadonlyMap<string, AccessLine>> {
  const ours = (await ingressLines(namespace)).filter(({ requestId }) => wanted.has(String(requestId)));
  return new Map(ours.map((line) => [String(line.requestId), line as unknown as AccessLine]));
}

/** The requests of a row that a function answered. */
export function answersOf({ outcomes }: Observed, tier: 'primary' | 'fallback'): readonly Outcome[] {
  return outcomes.filter((outcome) => outcome.kind === 'answer' && outcome.tier === tier);
}
