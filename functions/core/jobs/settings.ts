import type { Expect, Reading } from '../reading.ts';
import { isS3Address } from './address.ts';
import type { KafkaConfig } from './kafka-queue.ts';
import { isTopic } from './topics.ts';

/** What the environment decides about jobs. */
export interface JobsConfig {
  /** Where uploads, records and results lie: a folder, or s3://BUCKET/PREFIX. */
  readonly store: string;
  /** Most jobs of a task that wait. */
  readonly max: number;
  /** How long a job can be asked for once it has ended, in milliseconds; and as long again that it was there. */
  readonly retentionMs: number;
  /** How long an upload is kept once its job has ended, in milliseconds. */
  readonly photoRetentionMs: number;
  /** Where jobs wait; undefined for a spool in the store. */
  readonly kafka: KafkaConfig | undefined;
  /** Hosts, with a port where that is not 443, that may be told of the end of a job. */
  readonly callbackHosts: readonly string[];
  /** With which such a call is signed. */
  readonly callbackSecret: string;
}

const hourMs = 3_600_000;

/** Of CALLBACK_SECRET: 128 bits in hexadecimal. */
const shortestSecret = 32;

/** Undefined where there is no JOBS_STORE, so that no job is taken. */
export function readJobsConfig(
  env: NodeJS.ProcessEnv,
  { integer, expect }: Pick<Reading, 'integer' | 'expect'>,
): JobsConfig | undefined {
  const duration = (name: string, fallbackMs: number) => {
    const text = env[name] || `${fallbackMs}ms`;
    const ms = readDuration(text);
    expect(ms !== undefined, 'a duration of at most 30 days such as 24h, 90m, 60s or 500ms', name, text);
    return ms ?? fallbackMs;
  };
  const config = {
    store: env.JOBS_STORE ?? '',
    max: integer('JOBS_MAX', { fallback: 10_000, min: 1, max: 1_000_000 }),
    retentionMs: duration('JOB_RETENTION', 24 * hourMs),
    photoRetentionMs: duration('PHOTO_RETENTION', hourMs),
    kafka: readKafkaConfig(env, expect),
    callbackHosts: (env.CALLBACK_HOSTS ?? '').split(/[ ,]+/).filter((host) => host !== ''),
    callbackSecret: env.CALLBACK_SECRET ?? '',
  };
  const { callbackHosts, callbackSecret } = config;
  const isStore = !config.store.startsWith('s3:') || isS3Address(config.store);
  expect(isStore, 'a folder or s3://BUCKET/PREFIX', 'JOBS_STORE', config.store);
  const areHosts = callbackHosts.every((host) => /^[a-z0-9.-]+(?::\d{1,5})?$/.test(host));
  expect(areHosts, 'host names in lower case, with commas,', 'CALLBACK_HOSTS', env.CALLBACK_HOSTS);
  const isSigned = callbackHosts.length === 0 || callbackSecret.length >= shortestSecret;
  const received = callbackSecret === '' ? 'none' : 'a shorter one';
  expect(isSigned, `${shortestSecret} characters or more with CALLBACK_HOSTS`, 'CALLBACK_SECRET', received);
  return config.store === '' ? undefined : config;
}

/** Undefined where there is no KAFKA_BROKERS. */
export function readKafkaConfig(env: NodeJS.ProcessEnv, expect: Expect): KafkaConfig | undefined {
  const { KAFKA_BROKERS: addresses = '', KAFKA_TOPIC } = env;
  if (addresses === '') return undefined;
  const brokers = addresses.split(',').map((address) => address.trim());
  const areBrokers = brokers.every((address) => /^[^\s:,]+:\d{1,5}$/.test(address));
  expect(areBrokers, 'HOST:PORT, or some with commas,', 'KAFKA_BROKERS', addresses);
  const topic = KAFKA_TOPIC || 'understudy.jobs';
  expect(isTopic(topic), 'at most 200 of A-Za-z0-9._-', 'KAFKA_TOPIC', topic);
  return { brokers, topic };
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: hourMs };

/** Milliseconds; undefined for a text of another form, or of more than 30 days. */
function readDuration(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(digits) * Number(unitsMs[unit]);
  return ms <= 30 * 24 * hourMs ? ms : undefined;
}
