import { createServer, type ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createAsking } from '../../functions/core/jobs/asking.ts';
import { type Message, toMessage, toRequest } from '../../functions/core/jobs/binding.ts';
import { createDeliver, type Reply } from '../../functions/core/jobs/deliver.ts';
import { lastAt, withinMs } from '../../functions/core/jobs/patience.ts';
import { topicsOf } from '../../functions/core/jobs/topics.ts';
import { freePort } from '../../ingress/port.ts';
import { eventOf } from '../events/tools/event.ts';
import { listen } from '../support/listen.ts';

const topics = topicsOf('jobs');
const event = eventOf();
const nowAt = 1_000_000;
const longest = Number.POSITIVE_INFINITY;

/** Delivers a message as it lies in a topic, and tells what was sent on. */
async function deliver(reply: Reply, topic = topics.main, headers: Message['headers'] = {}) {
  const sent: { topic: string; message: Message }[] = [];
  const message = toMessage(event);
  const run = createDeliver({
    topics,
    ask: async () => reply,
    send: async (topic, message) => void sent.push({ topic, message }),
    onDelivered: () => {},
    now: () => nowAt,
  });
  const verdict = await run({
    ...message,
    topic,
    partition: 3,
    offset: '42',
    headers: { ...message.headers, ...headers },
  });
  return { verdict, sent };
}

describe('an event between Kafka and HTTP', () => {
  it('is a record in binary mode, and a request in binary mode', () => {
    const message = toMessage(event);

    expect(message).toMatchObject({
      key: event.id,
      headers: { ce_specversion: '1.0', ce_id: event.id, ce_type: event.type, ce_source: '/jobs', ce_time: event.time },
    });
    expect(JSON.parse(String(message.value))).toEqual(event.data);
    expect(toRequest(message)).toEqual({
      headers: {
        'ce-specversion': '1.0',
        'ce-id': event.id,
        'ce-type': event.type,
        'ce-source': '/jobs',
        'ce-time': event.time,
        'content-type': 'application/json',
      },
      body: message.value,
    });
  });

  it('has at most 64 KiB', () => {
    const query = 'x'.repeat(16_384); // more than nginx and Node take
    const { value } = toMessage(eventOf({ data: { ...event.data, parameters: { query, headers: {}, strict: true } } }));

    expect(value.length).toBeLessThan(65_536);
  });

  it('encodes what a header cannot hold, as the binding says, and leaves other headers behind', () => {
    const message = {
      key: undefined,
      value: Buffer.from('{}'),
      headers: { ce_subject: 'a "ü" 50%', other: 'x', 'ce_BAD-1': 'x' },
    };

    expect(toRequest(message).headers).toEqual({
      'ce-subject': 'a%20%22%C3%BC%22%2050%25',
      'content-type': 'application/octet-stream',
    });
  });
});

describe('what becomes of a delivery', () => {
  it('is done with after an end', async () => {
    expect(await deliver({ status: 'done' })).toEqual({ verdict: { isDone: true }, sent: [] });
  });

  it('comes again itself while the function is away', async () => {
    const { verdict, sent } = await deliver({ status: 'away', afterMs: 1234, cause: 'refused' });

    expect(verdict).toEqual({ isDone: false, afterMs: 1234 });
    expect(sent).toEqual([]);
  });

  it.each([
    [topics.main, 'jobs-retry-1', 0, 1000, longest],
    ['jobs-retry-1', 'jobs-retry-2', 0, 5000, longest],
    ['jobs-retry-2', 'jobs-retry-3', 0, 25_000, longest],
    ['jobs-retry-3', 'jobs-retry-3', 0, 25_000, longest],
    [topics.main, 'jobs-retry-1', 9000, 9000, longest],
    ['jobs-retry-1', 'jobs-retry-2', 0, 5000, 5000],
    ['jobs-retry-1', 'jobs-retry-1', 0, 1000, 4999],
    ['jobs-retry-3', 'jobs-retry-2', 0, 5000, 24_999],
    [topics.main, 'jobs-retry-1', 0, 300, 300],
  ])('goes from %s to %s, to come after %s ms at the earliest', async (topic, next, afterMs, waitMs, withinMs) => {
    const { verdict, sent } = await deliver({ status: 'later', afterMs, withinMs, cause: 'it raised' }, topic, {
      ...(topic !== topics.main && {
        understudy_topic: 'jobs',
        understudy_partition: '1',
        understudy_offset: '7',
        understudy_attempt: '4',
      }),
    });

    expect(verdict).toEqual({ isDone: true });
    expect(sent).toEqual([{ topic: next, message: expect.objectContaining({ key: event.id }) }]);
    expect(sent[0]?.message.headers).toMatchObject({
      ce_id: event.id,
      understudy_topic: 'jobs',
      understudy_partition: topic === topics.main ? '3' : '1',
      understudy_offset: topic === topics.main ? '42' : '7',
      understudy_attempt: topic === topics.main ? '1' : '5',
      understudy_cause: 'it raised',
      understudy_due_at: String(nowAt + waitMs),
    });
  });

  it('comes in time for another model than the lead model, whatever its patience', async () => {
    const isInTime = async (patienceMs: number) => {
      const job = { createdAt: nowAt, deadlineAt: nowAt + patienceMs };
      let [at, topic] = [nowAt, topics.main];
      while (at < lastAt(job)) {
        const within = withinMs(job, at);
        const { sent } = await deliver({ status: 'later', afterMs: 0, withinMs: within, cause: '' }, topic);
        topic = String(sent[0]?.topic);
        at += Number(sent[0]?.message.headers.understudy_due_at) - nowAt;
      }
      return at < job.deadlineAt;
    };
    const patiencesS = Array.from({ length: 500 }, (_, i) => Math.round(86_400 ** ((i + 1) / 500)));
    const late = [];
    for (const patienceS of patiencesS) if (!(await isInTime(1000 * patienceS))) late.push(patienceS);
    expect(late).toEqual([]);
  });

  it('waits until it is due', async () => {
    const reply: Reply = { status: 'done' };

    expect((await deliver(reply, 'jobs-retry-1', { understudy_due_at: String(nowAt + 1) })).verdict).toEqual({
      isDone: false,
      afterMs: 1,
    });
    expect((await deliver(reply, 'jobs-retry-1', { understudy_due_at: String(nowAt) })).verdict).toEqual({
      isDone: true,
    });
  });

  it('goes to the dead where nobody can do anything with it', async () => {
    const { verdict, sent } = await deliver({ status: 'done', dead: 'no event' }, 'jobs-retry-1', {
      understudy_due_at: '1',
      understudy_topic: 'jobs',
    });

    expect(verdict).toEqual({ isDone: true });
    expect(sent).toEqual([{ topic: 'jobs-dead', message: expect.objectContaining({ value: toMessage(event).value }) }]);
    expect(sent[0]?.message.headers).toMatchObject({ understudy_cause: 'no event', understudy_topic: 'jobs' });
    expect(sent[0]?.message.headers).not.toHaveProperty('understudy_due_at');
  });
});

describe('what a function says of an event', () => {
  let respond: (response: ServerResponse) => void;
  const server = createServer((request, response) => request.resume().on('end', () => respond(response)));
  let ask: ReturnType<typeof createAsking>;

  beforeAll(async () => {
    ask = createAsking(await listen(server));
  });

  afterAll(() => void server.close().closeAllConnections());

  it.each<[status: number, headers: Record<string, string>, reply: object]>([
    [204, {}, { status: 'done', dead: undefined }],
    [204, { 'x-dead-letter': 'no event of a job' }, { status: 'done', dead: 'no event of a job' }],
    [503, { 'retry-after': '5', 'x-job-attempts': '2' }, { status: 'later', afterMs: 5000 }],
    [503, { 'retry-after': '5' }, { status: 'away', afterMs: 5000 }],
    [503, {}, { status: 'away', afterMs: 1000 }],
    [429, { 'retry-after': '2' }, { status: 'away', afterMs: 2000 }],
    [500, {}, { status: 'later', cause: 'answer 500' }],
    [408, {}, { status: 'later', cause: 'answer 408' }],
    [400, {}, { status: 'done', dead: 'answer 400' }],
    [415, {}, { status: 'done', dead: 'answer 415' }],
  ])('understands %s with %j', async (status, headers, reply) => {
    respond = (response) => response.writeHead(status, headers).end();

    expect(await ask(toRequest(toMessage(event)))).toMatchObject(reply);
  });

  it('lets others come first after a function that hung up: it may have died of this one', async () => {
    respond = (response) => response.destroy();

    expect(await ask(toRequest(toMessage(event)))).toMatchObject({ status: 'later' });
  });

  it('knows a function that is not there', async () => {
    const asked = createAsking(`http://127.0.0.1:${await freePort()}`)(toRequest(toMessage(event)));

    expect(await asked).toMatchObject({ status: 'away', cause: expect.stringContaining('ECONNREFUSED') });
  });
});
