/** What a client knows of the offsets of a topic and of a group; all numbers are texts. */
export interface Offsets {
  fetchTopicOffsets(
    topic: string,
  ): Promise<readonly { readonly partition: number; readonly high: string; readonly low: string }[]>;
  fetchOffsets(asked: {
    readonly groupId: string;
    topics: string[];
  }): Promise<readonly { readonly partitions: readonly { readonly partition: number; readonly offset: string }[] }[]>;
  /** The first offset since a time, in milliseconds since 1970; the end of the partition where there is none. */
  fetchTopicOffsetsByTimestamp(
    topic: string,
    at: number,
  ): Promise<readonly { readonly partition: number; readonly offset: string }[]>;
}

export interface Lag {
  readonly partition: number;
  /** Of the first message that is not done with. */
  readonly next: number;
  readonly count: number;
}

/** The partitions of a topic that the group of its name has not done with. */
export async function lagOf(admin: Offsets, topic: string): Promise<readonly Lag[]> {
  const ends = await admin.fetchTopicOffsets(topic);
  const [committed] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
  const offsets = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
  return ends
    .map(({ partition, high, low }) => {
      const next = Math.max(offsets.get(partition) ?? 0, Number(low));
      return { partition, next, count: Number(high) - next };
    })
    .filter(({ count }) => count > 0);
}

/** A month: no record of a job is older. */
const oldestMs = 30 * 24 * 3_600_000;

/** Brokers tell the first offset of a time, so the time of an offset is found by halves. */
export async function oldestOf(admin: Offsets, topic: string): Promise<number | undefined> {
  const behind = await lagOf(admin, topic);
  if (behind.length === 0) return undefined;
  let [from, to] = [Date.now() - oldestMs, Date.now()];
  while (to - from > 1000) {
    const middle = Math.floor((from + to) / 2);
    const first = await admin.fetchTopicOffsetsByTimestamp(topic, middle);
    const offsets = new Map(first.map(({ partition, offset }) => [partition, Number(offset)]));
    const isNewer = behind.every(({ partition, next }) => Number(offsets.get(partition)) <= next);
    if (isNewer) from = middle;
    else to = middle;
  }
  return from;
}
