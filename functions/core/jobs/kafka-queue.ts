import type { Log } from '../observe/log.ts';
import { toMessage } from './binding.ts';
import type { Backlog, Queue } from './queue.ts';
import { topicsOf } from './topics.ts';

/** Where the brokers are, and what the queue is called there. */
export interface KafkaConfig {
  /** HOST:PORT of some of them. */
  readonly brokers: readonly string[];
  readonly topic: string;
}

/** A count of what waits is kept for so long, and the age of the oldest, which takes some twenty questions. */
const countMs = 1000;
const ageMs = 15_000;

/** A queue that other programs work through: KafkaSource, or `consume`. It holds the jobs of all tasks, and counts them together. */
export function createKafkaQueue({ brokers, topic }: KafkaConfig, log: Log): Queue {
  const { main, retries } = topicsOf(topic);
  const topics = [main, ...retries.map(({ name }) => name)];
  // The library takes 12 MiB and up to 0.3 s, which a function without Kafka has no use for.
  const cluster = import('./kafka.ts').then(({ connectKafka }) =>
    connectKafka({ brokers, clientId: 'understudy', log }),
  );
  const count = remembered(countMs, async () => (await cluster).lag(topics));
  const oldestAt = remembered(ageMs, async () => (await cluster).oldestAt(topics));
  const reach = reporting(log, { brokers: brokers.join(), topic });
  return {
    send: (event) => reach(async () => (await cluster).send(main, toMessage(event))),
    backlog: () =>
      reach(async (): Promise<Backlog> => {
        const waiting = await count();
        return { count: waiting, oldestAt: waiting === 0 ? undefined : await oldestAt() };
      }),
    close: async () => (await cluster).close(),
  };
}

/** Asks once for all that ask in the meantime, and not again before the answer is so old. */
function remembered<T>(forMs: number, ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => {
    answer ??= ask().then(
      (known) => {
        setTimeout(forget, forMs).unref();
        return known;
      },
      (fault) => {
        forget();
        throw fault;
      },
    );
    return answer;
  };
  function forget(): void {
    answer = undefined;
  }
}

/** Writes a line when the brokers go away, and one when they are back. */
function reporting(log: Log, fields: Readonly<Record<string, unknown>>) {
  let isAway = false;
  return async <T>(call: () => Promise<T>): Promise<T> => {
    try {
      const result = await call();
      if (isAway) log('info', 'kafka is back', fields);
      isAway = false;
      return result;
    } catch (error) {
      if (!isAway) log('error', 'kafka is away', { ...fields, error });
      isAway = true;
      throw error;
    }
  };
}
