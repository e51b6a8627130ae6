import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { consumeCommand } from '../../functions/launch.ts';
import { send } from '../support/client.ts';
import { makeFolder, removeFolder, until, useStack } from '../support/stack.ts';
import { describeWith, kafkaLibraries } from './tools/cache.ts';
import { createKafka } from './tools/kafka.ts';
import { keep } from './tools/program.ts';
import type { Server } from './tools/server.ts';

jest.setTimeout(120_000);

describeWith(kafkaLibraries)('npm start with Kafka', () => {
  const use = useStack();
  let folder: string;
  let broker: Server;

  beforeEach(async () => {
    folder = makeFolder();
    broker = await createKafka(folder);
    await broker.start();
  }, 60_000);

  afterEach(async () => {
    await broker?.kill();
    removeFolder(folder);
  });

  it('runs what it has accepted in a function of its own, and ends with all its programs', async () => {
    const stack = await use.start({
      FUNCTIONS: 'digits',
      KAFKA_BROKERS: broker.address,
      JOBS_STORE: join(use.folder(), 'jobs'),
    });
    await stack.healthy();
    await stack.says(/"message":"consuming"/);
    const origin = `http://127.0.0.1:${stack.port}`;
    const headers = { 'content-type': 'image/png', prefer: 'respond-async' };
    const body = readFileSync('tests/images/digit.png');

    let path = '';
    // A broker that has just been made has no coordinator of groups at first, and a job is refused then.
    await until(
      async () => {
        const { status, headers: answered } = await send(origin, { path: '/predict', headers, body });
        path = String(answered.location);
        return status === 202;
      },
      60_000,
      () => 'Expected a job to be accepted',
    );
    let text = '';
    await until(
      async () => {
        text = (await send(origin, { method: 'GET', path })).text;
        return text.includes('"succeeded"');
      },
      60_000,
      () => `Expected an end but received ${text}`,
    );

    await stack.says(/"message":"job ended","job":"\w+"/);
    expect(stack.programs('FUNCTION_TARGET=events')).toHaveLength(1);
    expect(stack.programs('consume.js')).toHaveLength(1);
    stack.child.kill('SIGTERM');
    expect(await stack.exited).toEqual([0, null]);
  });
});

describeWith(kafkaLibraries)('consume', () => {
  it('ends when it is told to, also when the broker goes with it', async () => {
    const folder = makeFolder();
    const broker = await createKafka(folder);
    await broker.start();
    const consume = keep('consume', consumeCommand, { KAFKA_BROKERS: broker.address });
    try {
      const isReading = () => consume.lines.some(({ message }) => message === 'consuming');
      await until(isReading, 60_000, 'Expected a consumer');

      const held = consume.hold('SIGTERM').then(() => 'ended');
      await broker.kill();

      // Sooner than a container's ten seconds.
      expect(await Promise.race([held, sleep(9000, 'still runs', { ref: false })])).toBe('ended');
    } finally {
      await consume.kill();
      await broker.kill();
      removeFolder(folder);
    }
  });
});
