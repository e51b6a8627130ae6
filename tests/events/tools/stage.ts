import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createS3Store } from '../../../functions/core/jobs/s3.ts';
import type { Store } from '../../../functions/core/jobs/store.ts';
import {
  behindOthers,
  consumeCommand,
  type FunctionName,
  functionCommand,
  memoryVariables,
} from '../../../functions/launch.ts';
import { freePort } from '../../../ingress/port.ts';
import { until } from '../../support/stack.ts';
import { createKafka } from './kafka.ts';
import { keep, type Program } from './program.ts';
import { createS3, type S3 } from './s3.ts';
import type { Server } from './server.ts';

/** Everything that jobs need, on this machine: a broker, an S3 server, the functions that take jobs, `events` and two consumers. */
export interface Stage {
  readonly broker: Server;
  readonly s3: S3;
  readonly store: Store;
  readonly topic: string;
  /** What the programs were started with. */
  readonly env: Readonly<Record<string, string>>;
  readonly programs: Readonly<Record<'digits' | 'primary' | 'events' | 'consume' | 'other', Program>>;
  /** Where jobs of a task are taken. */
  readonly origins: Readonly<Record<'digits' | 'classify', string>>;
  readonly eventsUrl: string;
  untilReady(): Promise<void>;
  close(): Promise<void>;
}

const readyWithinMs = 120_000;

/** @param bucketsFolder where the objects lie, below `folder` by default */
export async function openStage(
  further: Readonly<Record<string, string>> = {},
  bucketsFolder?: string,
): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'events-test-'));
  const [broker, s3] = [await createKafka(folder), await createS3(bucketsFolder ?? folder)];
  await Promise.all([broker.start(), s3.start()]);
  const ports = { digits: await freePort(), primary: await freePort(), events: await freePort() };
  const urlOf = (name: keyof typeof ports) => `http://127.0.0.1:${ports[name]}`;
  const topic = 'understudy.jobs';
  const env = {
    ...s3.env,
    KAFKA_BROKERS: broker.address,
    KAFKA_TOPIC: topic,
    JOBS_STORE: `s3://${s3.bucket}`,
    EVENTS_TASKS: 'classify,digits',
    EVENTS_URL: urlOf('events'),
    WORKERS: '1',
    ...further,
  };
  const serve = (name: FunctionName & keyof typeof ports, command = functionCommand(name)) =>
    keep(name, command, { ...memoryVariables(name), ...env, FUNCTION_TARGET: name, PORT: String(ports[name]) });
  const programs = {
    digits: serve('digits'),
    primary: serve('primary'),
    events: serve('events', behindOthers(functionCommand('events'))),
    consume: keep('consume', consumeCommand, env),
    other: keep('other', consumeCommand, env),
  };
  Object.assign(process.env, s3.env); // as the SDK reads it
  const isReady = (url: string) =>
    fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  return {
    broker,
    s3,
    store: createS3Store(env.JOBS_STORE),
    topic,
    env,
    programs,
    origins: { digits: urlOf('digits'), classify: urlOf('primary') },
    eventsUrl: urlOf('events'),
    async untilReady() {
      for (const name of Object.keys(ports) as (keyof typeof ports)[]) {
        await until(
          () => isReady(urlOf(name)),
          readyWithinMs,
          () => `Expected ${name} to be ready`,
        );
      }
      const isConsuming = () => programs.consume.lines.some(({ message }) => message === 'consuming');
      await until(isConsuming, readyWithinMs, 'Expected a consumer');
    },
    async close() {
      await Promise.all(Object.values(programs).map((program) => program.hold()));
      await Promise.all([broker.kill(), s3.kill()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
