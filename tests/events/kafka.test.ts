import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import { toMessage } from '../../functions/core/jobs/binding.ts';
import {
  type Cluster,
  connectKafka,
  type Delivery,
  type Reader,
  type Verdict,
} from '../../functions/core/jobs/kafka.ts';
import { createKafkaQueue } from '../../functions/core/jobs/kafka-queue.ts';
import { topicsOf } from '../../functions/core/jobs/topics.ts';
import { until } from '../support/stack.ts';
import { describeWith, kafkaLibraries } from './tools/cache.ts';
import { eventOf } from './tools/event.ts';
import { createKafka } from './tools/kafka.ts';
import type { Server } from './tools/server.ts';

jest.setTimeout(120_000);

const done: Verdict = { isDone: true };
const message = (text: string) => ({ key: text, value: Buffer.from(text), headers: { name: text } });

describeWith(kafkaLibraries)('a queue in Kafka', () => {
  let folder: string;
  let broker: Server;
  let topic: string;
  let count = 0;
  const clusters: Cluster[] = [];
  const readers: Reader[] = [];

  const connect = () => {
    const cluster = connectKafka({ brokers: [broker.address], clientId: 'test', log: () => {} });
    clusters.push(cluster);
    return cluster;
  };

  /** Reads and notes the values, in the order in which they were done with. */
  async function read(cluster: Cluster, handle: (delivery: Delivery) => Promise<Verdict> = async () => done) {
    const values: string[] = [];
    const reader = await cluster.read(topic, async (delivery) => {
      const verdict = await handle(delivery);
      if (verdict.isDone) values.push(Buffer.from(delivery.value).toString());
      return verdict;
    });
    readers.push(reader);
    return { values, reader };
  }

  const untilCount = (values: readonly string[], wanted: number) =>
    until(
      () => values.length >= wanted,
      60_000,
      () => `Expected ${wanted} messages but received ${values}`,
    );

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kafka-test-'));
    broker = await createKafka(folder);
    await broker.start();
  }, 120_000);

  afterEach(async () => {
    await Promise.all(readers.splice(0).map((reader) => reader.stop()));
    await Promise.all(clusters.splice(0).map((cluster) => cluster.close()));
  });

  afterAll(async () => {
    await broker?.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  async function makeTopic(partitions: number): Promise<Cluster> {
    count += 1;
    topic = `test-${count}`;
    const cluster = connect();
    await cluster.makeTopics([topic], partitions);
    return cluster;
  }

  it('brings a message with its key, value and headers, each once', async () => {
    const cluster = await makeTopic(3);
    const texts = Array.from({ length: 100 }, (_, i) => `message ${i}`);
    const seen: Delivery[] = [];
    const { values } = await read(cluster, async (delivery) => {
      seen.push(delivery);
      return done;
    });

    await Promise.all(texts.map((text) => cluster.send(topic, message(text))));
    await untilCount(values, texts.length);

    expect([...values].sort()).toEqual([...texts].sort());
    expect(seen.every(({ key, headers, value }) => key === String(value) && headers.name === key)).toBe(true);
    await until(async () => (await cluster.lag([topic])) === 0, 10_000, 'Expected no lag');
  });

  it('brings a message again that is not done with, after its pause, and holds no other partition up', async () => {
    const cluster = await makeTopic(3);
    const tries: number[] = [];
    const { values } = await read(cluster, async ({ key }) => {
      if (key !== 'held') return done;
      tries.push(performance.now());
      return tries.length < 3 ? { isDone: false, afterMs: 500 } : done;
    });

    await cluster.send(topic, message('held'));
    await until(() => tries.length > 0, 30_000, 'Expected a delivery');
    for (let i = 0; i < 30; i += 1) await cluster.send(topic, message(`other ${i}`));
    await untilCount(values, 31);

    const [first = 0, second = 0, third = 0] = tries;
    expect(tries).toHaveLength(3);
    expect(Math.min(second - first, third - second)).toBeGreaterThanOrEqual(499);
  });

  it('brings what a reader has not done with to the next one', async () => {
    const cluster = await makeTopic(1);
    for (const text of ['one', 'two', 'three']) await cluster.send(topic, message(text));
    const first = await read(cluster, async ({ key }) => (key === 'one' ? done : { isDone: false, afterMs: 600_000 }));
    await untilCount(first.values, 1);

    expect(await cluster.lag([topic])).toBe(2);
    await readers.pop()?.stop();
    const second = await read(connect());
    await untilCount(second.values, 2);

    expect(second.values).toEqual(['two', 'three']);
  });

  it('finishes the message in hand when it is stopped', async () => {
    const cluster = await makeTopic(1);
    const finishes: (() => void)[] = [];
    const { values } = await read(cluster, () => new Promise((resolve) => finishes.push(() => resolve(done))));
    for (const text of ['one', 'two']) await cluster.send(topic, message(text));
    await until(() => finishes.length > 0, 30_000, 'Expected a delivery');

    const stopped = readers.pop()?.stop();
    setTimeout(() => finishes[0]?.(), 200);
    await stopped;

    expect(values).toEqual(['one']);
    expect(await cluster.lag([topic])).toBe(1);
  });

  it('shares the partitions of a topic among its readers', async () => {
    const cluster = await makeTopic(4);
    const [one, other] = [await read(cluster), await read(connect())];
    const all = () => [...one.values, ...other.values];

    for (let i = 0; i < 200; i += 1) await cluster.send(topic, message(`message ${i}`));
    await untilCount(all(), 0);
    await until(
      () => new Set(all()).size === 200,
      60_000,
      () => `Expected 200 messages but received ${all().length}`,
    );

    expect(Math.min(one.values.length, other.values.length)).toBeGreaterThan(0);
  });

  it('takes no message for a topic that is not there', async () => {
    await expect(connect().send('missing', message('lost'))).rejects.toThrow(/./);
    expect(await connect().lag(['missing'])).toBe(0);
  });

  it('counts the jobs that wait in all of its topics, and tells when the oldest came', async () => {
    topic = 'queue';
    const { main, retries, dead } = topicsOf(topic);
    const cluster = connect();
    await cluster.makeTopics([main, ...retries.map(({ name }) => name), dead], 2);
    const queue = createKafkaQueue({ brokers: [broker.address], topic }, () => {});
    await until(
      () =>
        queue.backlog('classify').then(
          ({ count, oldestAt }) => count === 0 && oldestAt === undefined,
          () => false,
        ),
      30_000,
      'Expected no job',
    );

    const sentAt = Date.now();
    await queue.send(eventOf({ id: 'a'.repeat(26) }));
    await cluster.send(String(retries[1]?.name), toMessage(eventOf({ id: 'b'.repeat(26) })));
    await cluster.send(dead, message('dead'));
    await until(async () => (await queue.backlog('classify')).count === 2, 10_000, 'Expected two jobs');

    const { oldestAt = 0 } = await queue.backlog('classify');
    expect(Math.abs(oldestAt - sentAt)).toBeLessThan(2000);
    await queue.close();
  });

  it('refuses within seconds while the broker is away, and recovers by itself with all that was accepted', async () => {
    const cluster = await makeTopic(3);
    const { values } = await read(cluster);
    const accepted: string[] = [];
    const send = async (text: string) => {
      await cluster.send(topic, message(text));
      accepted.push(text);
    };
    for (let i = 0; i < 20; i += 1) await send(`before ${i}`);
    await broker.kill();

    const startedMs = performance.now();
    const calls = [cluster.send(topic, message('refused')), cluster.lag([topic])];
    for (const call of calls) await expect(call).rejects.toThrow(/./);
    expect(performance.now() - startedMs).toBeLessThan(20_000); // four seconds each, on a machine that is busy

    await broker.start();
    for (let i = 0; i < 20; i += 1) {
      const text = `after ${i}`;
      await until(
        () =>
          send(text).then(
            () => true,
            () => false,
          ),
        60_000,
        () => `Expected a broker for ${text}`,
      );
    }
    await until(
      () => accepted.every((text) => values.includes(text)),
      60_000,
      () => `Expected all of ${accepted.length} but received ${values}`,
    );
  });
});
