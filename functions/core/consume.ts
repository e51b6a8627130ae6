import { loadConsume } from './config.ts';
import { openStdout } from './files.ts';
import { createAsking } from './jobs/asking.ts';
import { createDeliver, type Reply } from './jobs/deliver.ts';
import { connectKafka, type Delivery, type Reader } from './jobs/kafka.ts';
import { topicsOf } from './jobs/topics.ts';
import { createLog, gatherLines, type Log } from './observe/log.ts';

/** So many runs can be under way at a time, in one function or several. */
const partitions = 6;

/** Of a broker that is away at the start. */
const againMs = 1000;

/** Reads the topics of a queue and hands their messages to the function that runs jobs, until it is drained. */
export interface Consume {
  /** Finishes the messages in hand. */
  drain(): Promise<void>;
}

/** @throws ConfigError */
export function startConsume(): Consume {
  const { brokers, topic, eventsUrl, logLevel, drainMs } = loadConsume();
  const log = createLog(logLevel, gatherLines(openStdout()));
  const topics = topicsOf(topic);
  const cluster = connectKafka({ brokers, clientId: 'understudy-consume', log });
  const deliver = createDeliver({
    topics,
    ask: createAsking(eventsUrl),
    send: cluster.send,
    onDelivered: (delivery, reply) => log(...lineOf(delivery, reply)),
  });
  const read = [topics.main, ...topics.retries.map(({ name }) => name)];
  let isDraining = false;

  async function open(): Promise<readonly Reader[]> {
    for (let tries = 0; !isDraining; tries += 1) {
      try {
        await cluster.makeTopics([...read, topics.dead], partitions);
        const readers = await Promise.all(read.map((name) => cluster.read(name, deliver)));
        log('info', 'consuming', { topics: read, events: eventsUrl });
        return readers;
      } catch (error) {
        if (tries === 0) log('error', 'kafka is away', { brokers: brokers.join(), error });
        await new Promise((resolve) => setTimeout(resolve, againMs));
      }
    }
    return [];
  }

  const opened = open();
  return {
    async drain() {
      isDraining = true;
      log('info', 'drain begins');
      const late = setTimeout(() => process.exit(0), drainMs); // what is in hand comes again, to another
      await Promise.all((await opened).map((reader) => reader.stop()));
      await cluster.close();
      log('info', 'drain ends');
      late.unref(); // a connection may be left that holds the process
    },
  };
}

function lineOf({ topic, partition, offset, headers }: Delivery, reply: Reply): Parameters<Log> {
  const { status, ...why } = reply;
  const severity = status === 'done' ? (reply.dead === undefined ? 'info' : 'error') : 'warn';
  return [severity, 'delivered', { job: headers.ce_id, topic, partition, offset, status, ...why }];
}
