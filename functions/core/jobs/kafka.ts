import { type Admin, type Consumer, type ConsumerConfig, Kafka, logLevel, Partitioners, type Producer } from 'kafkajs';
import type { Log } from '../observe/log.ts';
import type { Message } from './binding.ts';
import { lagOf, oldestOf } from './lag.ts';

/** A message as it was read. */
export interface Delivery extends Message {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
}

/** Whether a delivery is done with, or to come again after a pause; others of its partition wait for as long. */
export type Verdict = { readonly isDone: true } | { readonly isDone: false; readonly afterMs: number };

/** A cluster of brokers. It connects at the first call, and again when the brokers have been away. */
export interface Cluster {
  /** Settles when all replicas have the message. Rejects when none says so in time; the message may be there all the same. */
  send(topic: string, message: Message): Promise<void>;
  /** How many messages of these topics their groups have not done with; topics that are not there have none. */
  lag(topics: readonly string[]): Promise<number>;
  /** When the oldest of these messages was sent, in milliseconds since 1970, to the second; undefined without one. */
  oldestAt(topics: readonly string[]): Promise<number | undefined>;
  /** Makes what is not there, as many partitions for each. */
  makeTopics(topics: readonly string[], partitions: number): Promise<void>;
  /** Reads a topic as a member of its group, each partition in order, and settles when it has joined. */
  read(topic: string, handle: (delivery: Delivery) => Promise<Verdict>): Promise<Reader>;
  close(): Promise<void>;
}

export interface Reader {
  /** Finishes what it holds and leaves the group. */
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** HOST:PORT of some of the brokers. */
  readonly brokers: readonly string[];
  /** What the brokers' logs call us. */
  readonly clientId: string;
  readonly log: Log;
}

/** What a client that waits for its 202 may wait for a broker; one that is there answers in milliseconds. */
const callMs = 4000;

/** Of a broker's single answer. */
const timesMs = { connectionTimeout: 1000, requestTimeout: 3000 };

/** A reader that is killed holds its partitions for so long. Its heart beats beside the event loop's little work, five times as often. */
const sessionTimeout = 15_000;
const heartbeatMs = 3000;

/** From a reader that has fallen for good to the next one. */
const rejoinMs = 1000;

/** Longer than any run of a job: a reader finishes it before it hands its partitions over. */
const rebalanceTimeout = 130_000;

/** Some twenty records: the partitions that were fetched together wait for the slowest of them. */
const maxBytesPerPartition = 16_384;

export function connectKafka({ brokers, clientId, log }: ClusterOptions): Cluster {
  const kafka = new Kafka({
    clientId,
    brokers: [...brokers],
    ...timesMs,
    retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 500 },
    logLevel: logLevel.WARN,
    // Some lines for each second of an outage, and some for each start of a group: what matters of it is logged by who asked.
    logCreator: () => (entry) => log('debug', 'kafka client', { detail: entry.log.message, cause: entry.log.error }),
  });
  // Not idempotent: kafkajs 2.2.4 uses the sequence number of a message that it has given up for the next one, and where the broker
  // has the first, it takes the second for a repeat and drops it with a good answer. A job that is sent twice does no harm.
  const producer = lazily(async () => {
    const made = kafka.producer({ allowAutoTopicCreation: false, createPartitioner: Partitioners.DefaultPartitioner });
    await made.connect();
    return made;
  });
  const admin = lazily(async () => {
    const made = kafka.admin();
    await made.connect();
    return made;
  });

  /** Those that are there: a question about another one fails, after a while. */
  async function known(topics: readonly string[]): Promise<readonly string[]> {
    const there = await (await admin.get()).listTopics();
    return topics.filter((topic) => there.includes(topic));
  }

  return {
    send: (topic, { key = null, value, headers }) =>
      within(callMs, async () => {
        const messages = [{ key, value: Buffer.from(value), headers: { ...headers } }];
        await (await producer.get()).send({ topic, acks: -1, timeout: timesMs.requestTimeout, messages });
      }),
    lag: (topics) =>
      within(callMs, async () => {
        const behind = await Promise.all((await known(topics)).map(async (topic) => lagOf(await admin.get(), topic)));
        return behind.flat().reduce((sum, { count }) => sum + count, 0);
      }),
    oldestAt: async (topics) => {
      const times = await Promise.all((await known(topics)).map(async (topic) => oldestOf(await admin.get(), topic)));
      const oldest = Math.min(...times.map((at) => at ?? Number.POSITIVE_INFINITY));
      return Number.isFinite(oldest) ? oldest : undefined;
    },
    async makeTopics(topics, partitions) {
      const there = await known(topics);
      const missing = topics.filter((topic) => !there.includes(topic));
      const wanted = missing.map((topic) => ({ topic, numPartitions: partitions }));
      if (wanted.length > 0) await (await admin.get()).createTopics({ topics: wanted, waitForLeaders: true });
    },
    read: (topic, handle) => readOn(kafka, { topic, handle, log }),
    async close() {
      await Promise.all([producer.close(), admin.close()]);
    },
  };
}

interface Reading {
  readonly topic: string;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly log: Log;
}

/** Joins the group, anew whenever the library has given it up: it does so for a coordinator that is not there yet. */
async function readOn(kafka: Kafka, { topic, handle, log }: Reading): Promise<Reader> {
  let current: Consumer | undefined;
  let isStopped = false;

  async function join(): Promise<void> {
    while (!isStopped) {
      const consumer = kafka.consumer(memberOf(topic, () => !isStopped));
      current = consumer;
      consumer.on('consumer.crash', ({ payload: { error, restart } }) => {
        log('warn', 'reader of a topic fell', { topic, error });
        if (!restart) again();
      });
      // kafkajs continues a start that was under way when it was stopped.
      consumer.on('consumer.fetch_start', () => {
        if (isStopped) consumer.disconnect().catch(() => {});
      });
      try {
        await runOn(consumer, topic, handle);
        return;
      } catch (error) {
        log('warn', 'topic cannot be read', { topic, error });
        await consumer.disconnect().catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, rejoinMs));
      }
    }
  }

  function again(): void {
    setTimeout(join, rejoinMs).unref();
  }

  await join();
  return {
    async stop() {
      isStopped = true;
      await current?.disconnect();
    },
  };
}

function memberOf(topic: string, isWanted: () => boolean): ConsumerConfig {
  return {
    groupId: topic,
    sessionTimeout,
    heartbeatInterval: heartbeatMs,
    rebalanceTimeout,
    maxBytesPerPartition,
    maxWaitTimeInMs: 1000,
    allowAutoTopicCreation: false,
    // It starts a reader again that fell while it was stopped, for ever.
    retry: { retries: 5, initialRetryTime: 300, maxRetryTime: 5000, restartOnFailure: async () => isWanted() },
  };
}

async function runOn(consumer: Consumer, topic: string, handle: Reading['handle']): Promise<void> {
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: 64, // all that one reader is likely to have
    async eachBatch({ batch: { partition, messages }, resolveOffset, commitOffsetsIfNecessary, ...run }) {
      const { heartbeat, isRunning, isStale, pause } = run;
      const beats = setInterval(() => heartbeat().catch(() => {}), heartbeatMs); // one that fails does so again below
      try {
        for (const { key, value, headers = {}, offset } of messages) {
          if (!isRunning() || isStale()) return;
          const verdict = await handle({
            topic,
            partition,
            offset,
            key: key?.toString(),
            value: value ?? Buffer.alloc(0),
            headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, String(text ?? '')])),
          });
          if (!verdict.isDone) {
            setTimeout(pause(), verdict.afterMs).unref();
            return;
          }
          const next = String(BigInt(offset) + 1n);
          // That of the consumer does nothing once it is being stopped.
          await commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition, offset: next }] }] });
          resolveOffset(offset);
          await heartbeat();
        }
      } finally {
        clearInterval(beats);
      }
    },
  });
}

/** Made by the first call that needs it, and anew after one that failed. */
function lazily<Made extends Producer | Admin>(make: () => Promise<Made>) {
  let made: Promise<Made> | undefined;
  return {
    get(): Promise<Made> {
      made ??= make().catch((fault) => {
        made = undefined;
        throw fault;
      });
      return made;
    },
    close: async () => (await made?.catch(() => undefined))?.disconnect(),
  };
}

/** @throws Error where it has not settled in time; it may still do so later, unheard */
async function within<T>(ms: number, task: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Expected an answer of Kafka within ${ms} ms but received none`)), ms);
  });
  const done = task();
  done.catch(() => {});
  return Promise.race([done, late]).finally(() => clearTimeout(timer));
}
