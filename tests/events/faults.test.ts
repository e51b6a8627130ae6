import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { connectKafka, type Delivery } from '../../functions/core/jobs/kafka.ts';
import { topicsOf } from '../../functions/core/jobs/topics.ts';
import { send } from '../support/client.ts';
import { drawDigit } from '../support/drawn.ts';
import { until } from '../support/stack.ts';
import { describeWith, kafkaLibraries, versitygw } from './tools/cache.ts';
import { type Accepted, askNow, describeTimes, order, type Photo, startCrowd, startProbe } from './tools/crowd.ts';
import { limitedFolder } from './tools/disk.ts';
import { judgeEnds, readJob, untilEnded } from './tools/judge.ts';
import { openStage, type Stage } from './tools/stage.ts';

/** On two idle cores it takes five; a busy machine has other things to do. */
jest.setTimeout(1_500_000);

/** Through all faults together, in a stream that lasts as long as they do. */
const jobs = Number(process.env.EVENTS_JOBS || 2000);
const clients = 6;
const faultsMs = 130_000;

const digitsOf = (pens: readonly number[]) =>
  Promise.all(
    Array.from({ length: 10 }, (_, digit) => pens.map((pen) => drawDigit(digit, { pen }).png().toBuffer())).flat(),
  );

const otherType = { ce_specversion: '1.0', ce_source: '/elsewhere', ce_type: 'com.example.other' };
const foreign = [
  {
    key: 'foreign 1',
    value: Buffer.from('{}'),
    headers: { ...otherType, ce_id: '1', 'content-type': 'application/json' },
  },
  { key: 'foreign 2', value: Buffer.from('{}'), headers: {} },
  { key: 'foreign 3', value: Buffer.from('no JSON'), headers: { 'content-type': 'application/json' } },
];

describeWith(kafkaLibraries, versitygw)('jobs through all that can happen', () => {
  const disk = limitedFolder('256m');
  let stage: Stage;
  let photos: readonly Photo[];
  const accepted: Accepted[] = [];
  /** Jobs that must not succeed, by id. */
  const failing = new Map<string, string>();

  const read = (id: string) => readJob(stage.store, id);

  async function acceptOne(photo: Photo, key: string, headers: Record<string, string> = {}): Promise<Accepted> {
    let id = '';
    await until(
      async () => {
        const answer = await order(stage, photo, key, headers).catch(() => undefined);
        id = String(answer?.headers.location).replace('/jobs/', '');
        return answer?.status === 202;
      },
      60_000,
      () => `Expected ${key} to be accepted`,
    );
    return { id, key, photo };
  }

  beforeAll(async () => {
    stage = await openStage({}, disk.folder);
    await stage.untilReady();
    const bytes = [
      ...(await digitsOf([7, 10])).map((body) => ['digits', body] as const),
      ...[1, 2, 3, 4].map((n) => ['classify', readFileSync(`tests/images/test_image_${n}.jpg`)] as const),
      ['digits', Buffer.from('a poisoned photo')] as const,
    ];
    const answered: Photo[] = [];
    for (const [task, body] of bytes) {
      const { status, text } = await askNow(stage, task, body);
      answered.push({ task, bytes: body, status, answer: text });
    }
    photos = answered;
  }, 240_000);

  afterAll(async () => {
    await stage?.close();
    disk.remove();
  }, 60_000);

  it('ends each accepted job once, with the bytes of the synchronous answer', async () => {
    const { broker, s3, programs, store } = stage;
    const say = (text: string) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
    const photo = photos.find(({ task }) => task === 'classify') as Photo;
    const calm = startProbe(stage, photo, 100);
    await sleep(8000);
    say(`synchronous before: ${describeTimes(await calm.stop())}`);
    const probe = startProbe(stage, photo, 500);
    const crowd = startCrowd(stage, photos, { jobs, clients, pauseMs: (faultsMs * clients) / jobs });
    const steps: [name: string, step: () => unknown][] = [
      ['kill -9 of a consumer', () => programs.consume.kill()],
      ['kill -9 of events', () => programs.events.kill()],
      [
        'kill -9 of the S3 server',
        async () => {
          await s3.kill();
          await sleep(3000);
          await s3.start();
        },
      ],
      ['kill -9 of a function that takes jobs', () => programs.digits.kill()],
      [
        'kill -9 of the broker',
        async () => {
          await broker.kill();
          await broker.start();
        },
      ],
      ['kill -9 of the other consumer', () => programs.other.kill()],
      [
        'a full disk',
        async () => {
          disk.fill();
          await sleep(4000);
          disk.empty();
        },
      ],
      ['photos that change while their jobs wait', () => changePhotos()],
      ['records that are none of ours', () => sendForeign()],
      ['one key from ten clients at once', () => orderAtOnce()],
      [
        'a broker that is away for a minute',
        async () => {
          await broker.kill();
          const endMs = performance.now() + 60_000;
          const answers = [await order(stage, photos[0] as Photo, 'while away')];
          expect(answers.map(({ status }) => status)).toEqual([503]);
          await sleep(endMs - performance.now());
          await broker.start();
        },
      ],
      [
        'kill -9 of both consumers and of events',
        () => Promise.all([programs.consume, programs.other, programs.events].map((p) => p.kill())),
      ],
    ];
    for (const [name, step] of steps) {
      await sleep(3000);
      say(name);
      await step();
    }
    await crowd.done;
    accepted.push(...crowd.accepted);
    say(`all ${accepted.length} accepted, refused before: ${JSON.stringify([...crowd.refusals])}`);

    const ended = await untilEnded(stage.store, accepted);
    say(`all ended; synchronous meanwhile: ${describeTimes(await probe.stop())}`);
    expect(await judgeEnds(stage, { accepted, ended, failing })).toEqual([]);
    expect(new Set(accepted.map(({ id }) => id)).size).toBe(accepted.length);
    expect(accepted.length).toBeGreaterThanOrEqual(jobs);
    await judgeDead();
    for await (const key of store.list('dead/')) throw new Error(`Expected no dead job but received ${key}`);
  });

  /** Takes `events` down, so that the photos change before anybody has read them. */
  async function changePhotos(): Promise<void> {
    await stage.programs.events.hold();
    const [photo] = photos as [Photo];
    const [gone, other] = [await acceptOne(photo, 'photo that goes'), await acceptOne(photo, 'photo that changes')];
    await stage.store.delete((await read(gone.id))?.photo.key ?? '');
    await stage.store.put((await read(other.id))?.photo.key ?? '', Buffer.from('other bytes'));
    for (const { id } of [gone, other]) failing.set(id, 'UPLOAD_LOST');
    accepted.push(gone, other);
    stage.programs.events.release();
  }

  /** A record of another type, one that is no event, and one that is no JSON. */
  async function sendForeign(): Promise<void> {
    const cluster = connectKafka({ brokers: [stage.broker.address], clientId: 'test', log: () => {} });
    for (const message of foreign) await cluster.send(topicsOf(stage.topic).main, message);
    await cluster.close();
  }

  /** The records of others, and no job's, are in the topic of the dead, each with where it came from. They came there after the jobs before them. */
  async function judgeDead(): Promise<void> {
    const { main, dead } = topicsOf(stage.topic);
    const cluster = connectKafka({ brokers: [stage.broker.address], clientId: 'test', log: () => {} });
    const found: Delivery[] = [];
    const reader = await cluster.read(dead, async (delivery) => {
      found.push(delivery);
      return { isDone: true };
    });
    await until(
      () => found.length >= foreign.length,
      180_000,
      () => `Expected three dead but received ${found.length}`,
    );
    await reader.stop();
    await cluster.close();
    expect(new Set(found.map(({ key }) => key))).toEqual(new Set(foreign.map(({ key }) => key)));
    for (const { headers } of found) {
      expect(headers).toMatchObject({
        understudy_topic: main,
        understudy_partition: expect.stringMatching(/^\d+$/),
        understudy_offset: expect.stringMatching(/^\d+$/),
        understudy_attempt: '1',
        understudy_cause: expect.stringMatching(/./),
      });
    }
  }

  async function orderAtOnce(): Promise<void> {
    const [photo] = photos as [Photo];
    const answers = await Promise.all(Array.from({ length: 10 }, () => order(stage, photo, 'at once')));
    const ids = new Set(answers.map(({ headers }) => headers.location));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(202));
    expect(ids.size).toBe(1);
    accepted.push({ id: String([...ids][0]).replace('/jobs/', ''), key: 'at once', photo });
  }

  it('expires a job whose deadline passes while nobody consumes, and leaves it so', async () => {
    const { programs } = stage;
    await Promise.all([programs.consume.hold('SIGTERM'), programs.other.hold('SIGTERM')]);
    const { id } = await acceptOne(photos[0] as Photo, 'late', { 'x-deadline-ms': '2000' });

    await until(
      async () => (await send(stage.origins.digits, { method: 'GET', path: `/jobs/${id}` })).text.includes('"expired"'),
      60_000,
      'Expected an end',
    );
    const before = await read(id);
    for (const program of [programs.consume, programs.other]) program.release();
    const isDelivered = () =>
      [programs.consume, programs.other].some(({ lines }) =>
        lines.some(({ message, job }) => message === 'delivered' && job === id),
      );
    await until(isDelivered, 120_000, 'Expected a delivery');

    expect(before?.state).toBe('expired');
    expect(await read(id)).toEqual(before);
  });
});
