/** What the environment decides about a function. Every limit in bytes, pixels or milliseconds, as its name says. */
export interface Config {
  /** Largest upload. @default 10485760 */
  readonly maxUploadBytes: number;
  /** Largest image, judged before it is decoded. @default 40000000 */
  readonly maxPixels: number;
  /** Patience when the client names none. @default 5000 */
  readonly deadlineMs: number;
  /** Longest predicted time, waits included, for which the primary model is chosen while MobileNet stands by. @default 1000 */
  readonly primaryBudgetMs: number;
  /** Inference threads of the leading model, one session each. @default the cores that the cgroup allows */
  readonly workers: number;
  /** Folder of model folders. @default "models" below the working directory */
  readonly modelsDir: string;
  /** Folder, NAME or NAME@VERSION, of the model that leads in the primary. @default "wide-resnet" */
  readonly primaryModel: string;
  /** Folder of the model that stands by there and is alone in the fallback. @default "mobilenet" */
  readonly fallbackModel: string;
  /** Share, 0 to 1, of the primary model's answers that the model standing by gives, too, when cores are idle. @default 0 */
  readonly shadowShare: number;
  /** Longest drain after SIGTERM. @default 25000 */
  readonly drainMs: number;
  /** Asked by a primary in trouble, so that the fallback is awake before it is needed; empty: nobody is. @default "" */
  readonly wakeUrl: string;
  /** Asked by a primary that starts, whether another one leads: then it is ready only with its own lead model; empty: nobody is. @default "" */
  readonly peerUrl: string;
  /** What the platform calls this revision of the function, as every answer does; empty where there is none. @default "" */
  readonly revision: string;
  /** Least severe log line that is written. @default "info" */
  readonly logLevel: LogLevel;
}

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The models that this project ships; they are served where a chosen one cannot be. */
export const embeddedModels = { primaryModel: 'wide-resnet', fallbackModel: 'mobilenet' } as const;

/** An environment that cannot be started with; the message has one line for each faulty variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

interface Range {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
}

/**
 * Reads a Config; pure given `env`. An empty variable counts as absent.
 * @throws ConfigError that names every faulty variable
 */
export function loadConfig(cores: number, env: NodeJS.ProcessEnv = process.env): Config {
  const faults: string[] = [];
  const integer = (name: string, { fallback, min, max }: Range): number => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    faults.push(`Expected a whole number from ${min} to ${max} for ${name} but received ${JSON.stringify(text)}`);
    return fallback;
  };

  const config: Config = {
    maxUploadBytes: integer('MAX_UPLOAD_BYTES', { fallback: 10_485_760, min: 1, max: 1_073_741_824 }),
    maxPixels: integer('MAX_PIXELS', { fallback: 40_000_000, min: 1, max: 268_402_689 }),
    deadlineMs: integer('DEADLINE_MS', { fallback: 5000, min: 1, max: 30_000 }),
    primaryBudgetMs: integer('PRIMARY_BUDGET_MS', { fallback: 1000, min: 1, max: 30_000 }),
    workers: integer('WORKERS', { fallback: cores, min: 1, max: 64 }),
    modelsDir: env.MODELS_DIR || 'models',
    primaryModel: env.PRIMARY_MODEL || embeddedModels.primaryModel,
    fallbackModel: env.FALLBACK_MODEL || embeddedModels.fallbackModel,
    shadowShare: Number(env.SHADOW_SHARE || 0),
    drainMs: integer('DRAIN_MS', { fallback: 25_000, min: 0, max: 600_000 }),
    wakeUrl: env.WAKE_URL ?? '',
    peerUrl: env.PEER_URL ?? '',
    revision: env.K_REVISION ?? '',
    logLevel: (env.LOG_LEVEL || 'info') as LogLevel,
  };
  const { primaryModel, fallbackModel } = config;
  for (const [name, folder] of Object.entries({ PRIMARY_MODEL: primaryModel, FALLBACK_MODEL: fallbackModel })) {
    if (isFolderName(folder)) continue;
    faults.push(`Expected a model folder, NAME or NAME@VERSION, for ${name} but received ${JSON.stringify(folder)}`);
  }
  // Answers, metrics and routes tell two models by their names.
  if (nameOf(primaryModel) === nameOf(fallbackModel)) {
    faults.push(
      `Expected another model than PRIMARY_MODEL's (${primaryModel}) for FALLBACK_MODEL but received "${fallbackModel}"`,
    );
  }
  if (!/^(0|1|0?\.\d+|1\.0+)$/.test(env.SHADOW_SHARE || '0')) {
    faults.push(`Expected a number from 0 to 1 for SHADOW_SHARE but received ${JSON.stringify(env.SHADOW_SHARE)}`);
  }
  for (const [name, url] of Object.entries({ WAKE_URL: config.wakeUrl, PEER_URL: config.peerUrl })) {
    if (url === '' || isHttpUrl(url)) continue;
    faults.push(`Expected an http URL for ${name} but received ${JSON.stringify(url)}`);
  }
  if (!/^[a-z0-9.-]*$/.test(config.revision)) {
    faults.push(
      `Expected lower-case letters, digits, - and . for K_REVISION but received ${JSON.stringify(config.revision)}`,
    );
  }
  if (!logLevels.includes(config.logLevel)) {
    faults.push(`Expected one of ${logLevels.join(', ')} for LOG_LEVEL but received "${config.logLevel}"`);
  }
  if (config.primaryBudgetMs >= config.deadlineMs) {
    faults.push(
      `Expected less than DEADLINE_MS (${config.deadlineMs}) for PRIMARY_BUDGET_MS but received "${config.primaryBudgetMs}"`,
    );
  }
  if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  return config;
}

/** No slash, and nothing that a path understands otherwise. */
function isFolderName(text: string): boolean {
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
 * environment asks for it. It reads the process' own environment when it is loaded, so this comes first.
 */
export function disableTelemetry(env: NodeJS.ProcessEnv = process.env): void {
  env.ORT_DISABLE_TELEMETRY ??= '1';
}

/** The two variables that the platform sets and only our own boot reads. @throws ConfigError */
export function loadBoot(env: NodeJS.ProcessEnv = process.env): { readonly port: number; readonly target: string } {
  const port = Number(env.PORT || 8080);
  const target = env.FUNCTION_TARGET || 'primary';
  const faults: string[] = [];
  if (!/^\d*$/.test(env.PORT ?? '') || port > 65_535) {
    faults.push(`Expected a whole number from 0 to 65535 for PORT but received ${JSON.stringify(env.PORT)}`);
  }
  if (target !== 'primary' && target !== 'fallback') {
    faults.push(`Expected primary or fallback for FUNCTION_TARGET but received ${JSON.stringify(target)}`);
  }
  if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  return { port, target };
}
