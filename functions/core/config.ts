import type { KafkaConfig } from './jobs/kafka-queue.ts';
import { type JobsConfig, readJobsConfig, readKafkaConfig } from './jobs/settings.ts';
import { type Expect, openReading } from './reading.ts';
import type { ModelSlot, ReadInteger, Task } from './task.ts';
import { readTraceConfig, type TraceConfig } from './telemetry.ts';

/** A model folder to serve, NAME or NAME@VERSION, and the one that is served in its place where it cannot be. */
export interface ModelChoice {
  readonly folder: string;
  readonly embedded: string;
}

/** What the environment decides about a function. Every limit in bytes or milliseconds, as its name says. */
export interface Config<Settings = unknown> {
  /** Largest upload. */
  readonly maxUploadBytes: number;
  /** Patience when the client names none. */
  readonly deadlineMs: number;
  /** Longest predicted time, waits included, for which the lead model is chosen while a standby model is ready. */
  readonly primaryBudgetMs: number;
  /** Inference threads of each model, one session each. @default the cores that the cgroup allows */
  readonly workers: number;
  /** Folder of model folders. @default "models" below the working directory */
  readonly modelsDir: string;
  /** The lead model first. */
  readonly models: readonly ModelChoice[];
  /** What the task reads from the environment. */
  readonly settings: Settings;
  /** Share, 0 to 1, of the lead model's answers that the standby model computes as well when cores are idle. @default 0 */
  readonly shadowShare: number;
  /** Longest drain after SIGTERM. @default 25000 */
  readonly drainMs: number;
  /** Asked by a primary in trouble, so that the fallback is awake before it is needed; empty: no request is made. @default "" */
  readonly wakeUrl: string;
  /** Asked by a primary that starts, whether another one leads: then it is ready only with its own lead model; empty: no request is made. @default "" */
  readonly peerUrl: string;
  /** What the platform calls this revision of the function, as every answer does; empty where there is none. @default "" */
  readonly revision: string;
  /** Undefined where no job is taken. */
  readonly jobs: JobsConfig | undefined;
  /** Where traces go; absent: none are made. */
  readonly traces: TraceConfig | undefined;
  /** Least severe log line that is written. @default "info" */
  readonly logLevel: LogLevel;
}

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** An environment that cannot be started with; the message has one line for each faulty variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads a Config; pure given `env`. An empty variable counts as absent.
 * @throws ConfigError that names every faulty variable
 */
export function loadConfig<Settings>(
  task: Pick<Task<never, never, never, Settings>, 'defaults' | 'models' | 'settings'>,
  cores: number,
  env: NodeJS.ProcessEnv = process.env,
): Config<Settings> {
  const { integer, expect, faults } = openReading(env);
  const { defaults, models } = task;
  const config: Config<Settings> = {
    maxUploadBytes: integer('MAX_UPLOAD_BYTES', { fallback: defaults.maxUploadBytes, min: 1, max: 1_073_741_824 }),
    deadlineMs: integer('DEADLINE_MS', { fallback: defaults.deadlineMs, min: 1, max: 30_000 }),
    primaryBudgetMs: integer('PRIMARY_BUDGET_MS', { fallback: defaults.primaryBudgetMs, min: 1, max: 30_000 }),
    workers: integer('WORKERS', { fallback: cores, min: 1, max: 64 }),
    modelsDir: env.MODELS_DIR || 'models',
    models: chooseModels(models, env, expect),
    settings: task.settings(integer),
    shadowShare: Number(env.SHADOW_SHARE || 0),
    drainMs: readDrainMs(integer),
    wakeUrl: env.WAKE_URL ?? '',
    peerUrl: env.PEER_URL ?? '',
    revision: env.K_REVISION ?? '',
    jobs: readJobsConfig(env, { integer, expect }),
    traces: readTraceConfig(env, expect),
    logLevel: logLevelOf(env),
  };
  const { deadlineMs, primaryBudgetMs } = config;
  expect(
    /^(0|1|0?\.\d+|1\.0+)$/.test(env.SHADOW_SHARE || '0'),
    'a number from 0 to 1',
    'SHADOW_SHARE',
    env.SHADOW_SHARE,
  );
  for (const [name, url] of Object.entries({ WAKE_URL: config.wakeUrl, PEER_URL: config.peerUrl })) {
    expect(url === '' || isHttpUrl(url), 'an http URL', name, url);
  }
  const isRevision = /^[a-z0-9.-]*$/.test(config.revision);
  expect(isRevision, 'lower-case letters, digits, - and .', 'K_REVISION', config.revision);
  judgeLogLevel(config, expect);
  const isBelow = primaryBudgetMs < deadlineMs;
  expect(isBelow, `less than DEADLINE_MS (${deadlineMs})`, 'PRIMARY_BUDGET_MS', String(primaryBudgetMs));
  if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  return config;
}

/** Where `npm start` keeps its jobs, below the folder of the project. */
const defaultStore = '.jobs';

/** What the environment decides about jobs, for operators. @throws ConfigError */
export function loadJobs(env: NodeJS.ProcessEnv = process.env): JobsConfig {
  const reading = openReading(env);
  const config = readJobsConfig({ ...env, JOBS_STORE: env.JOBS_STORE || defaultStore }, reading);
  if (reading.faults.length > 0 || !config) throw new ConfigError(reading.faults.join('\n'));
  return config;
}

function readDrainMs(integer: ReadInteger): number {
  return integer('DRAIN_MS', { fallback: 25_000, min: 0, max: 600_000 });
}

function logLevelOf(env: NodeJS.ProcessEnv): LogLevel {
  return (env.LOG_LEVEL || 'info') as LogLevel;
}

function judgeLogLevel({ logLevel }: Pick<Config, 'logLevel'>, expect: Expect): void {
  expect(logLevels.includes(logLevel), `one of ${logLevels.join(', ')}`, 'LOG_LEVEL', logLevel);
}

/** Answers, metrics and routes tell two models by their names, so each name is served once. */
function chooseModels(slots: readonly ModelSlot[], env: NodeJS.ProcessEnv, expect: Expect): readonly ModelChoice[] {
  const choices: (ModelChoice & Pick<ModelSlot, 'variable'>)[] = [];
  for (const { embedded, variable = '' } of slots) {
    const folder = env[variable] || embedded;
    expect(isFolderName(folder), 'a model folder, NAME or NAME@VERSION,', variable, folder);
    const same = choices.find((other) => nameOf(other.folder) === nameOf(folder));
    if (same && variable === '') continue;
    expect(!same, `another model than ${same?.variable}'s (${same?.folder})`, variable, folder);
    choices.push({ folder, embedded, variable });
  }
  return choices.map(({ folder, embedded }) => ({ folder, embedded }));
}

/** No slash, and nothing that a path understands otherwise. */
export function isFolderName(text: string): boolean {
  return /^[\w-][\w.-]*(@[\w.-]+)?$/.test(text);
}

/** The name in NAME or NAME@VERSION. */
export function nameOf(folder: string): string {
  return folder.replace(/@.*/, '');
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && new URL(text).protocol === 'http:';
}

/**
 * Keeps ONNX Runtime from sending usage data to its maker and from writing its queue into the temporary folder, unless the
 * environment asks for it. It reads the process' own environment when it is loaded, so this comes first. And the SDK of AWS from
 * writing seven lines at each start on Node 20 about its versions to come: ours is pinned.
 */
export function disableTelemetry(env: NodeJS.ProcessEnv = process.env): void {
  env.ORT_DISABLE_TELEMETRY ??= '1';
  env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
}

/** The tasks of a function that takes the events of several: those that EVENTS_TASKS names, or all. @throws ConfigError */
export function loadEventTasks<Named extends { readonly name: string }>(
  known: readonly Named[],
  env: NodeJS.ProcessEnv = process.env,
): readonly Named[] {
  const text = env.EVENTS_TASKS || known.map(({ name }) => name).join();
  const asked = text.split(',').map((name) => name.trim());
  if (asked.every((name) => known.some((task) => task.name === name)))
    return known.filter(({ name }) => asked.includes(name));
  const names = known.map(({ name }) => name).join(', ');
  throw new ConfigError(`Expected some of ${names} for EVENTS_TASKS but received ${JSON.stringify(text)}`);
}

/** What a consumer of Kafka needs. @throws ConfigError */
export function loadConsume(
  env: NodeJS.ProcessEnv = process.env,
): KafkaConfig & Pick<Config, 'drainMs' | 'logLevel'> & { readonly eventsUrl: string } {
  const { integer, expect, faults } = openReading(env);
  const kafka = readKafkaConfig(env, expect);
  expect(kafka !== undefined, 'HOST:PORT, or some with commas,', 'KAFKA_BROKERS', '');
  const eventsUrl = env.EVENTS_URL || 'http://127.0.0.1:8080';
  expect(isHttpUrl(eventsUrl), 'an http URL', 'EVENTS_URL', eventsUrl);
  const drainMs = readDrainMs(integer);
  const logLevel = logLevelOf(env);
  judgeLogLevel({ logLevel }, expect);
  if (!kafka || faults.length > 0) throw new ConfigError(faults.join('\n'));
  return { ...kafka, eventsUrl, drainMs, logLevel };
}

/**
 * The two variables that the platform sets and only our own boot reads.
 * @param targets names of the functions that can be started, the default one first
 * @throws ConfigError
 */
export function loadBoot(
  targets: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): { readonly port: number; readonly target: string } {
  const { integer, expect, faults } = openReading(env);
  const port = integer('PORT', { fallback: 8080, min: 0, max: 65_535 });
  const target = env.FUNCTION_TARGET || String(targets[0]);
  expect(targets.includes(target), targets.join(' or '), 'FUNCTION_TARGET', target);
  if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  return { port, target };
}
