import type { ReadInteger } from '../task.ts';

/** What the environment decides about jobs. */
export interface JobsConfig {
  /** Where uploads, records and results lie: a folder, or what an implementation of Store takes. */
  readonly store: string;
  /** Most jobs of a task that wait. */
  readonly max: number;
  /** How long a job can be asked for once it has ended, in milliseconds; and as long again that it was there. */
  readonly retentionMs: number;
  /** How long an upload is kept once its job has ended, in milliseconds. */
  readonly photoRetentionMs: number;
}

type Expect = (met: boolean, what: string, name: string, received: unknown) => void;

const hourMs = 3_600_000;

/** Undefined where there is no JOBS_STORE, so that no job is taken. */
export function readJobsConfig(
  env: NodeJS.ProcessEnv,
  { integer, expect }: { readonly integer: ReadInteger; readonly expect: Expect },
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
  };
  return config.store === '' ? undefined : config;
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: hourMs };

/** Milliseconds; undefined for a text of another form, or of more than 30 days. */
function readDuration(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(digits) * Number(unitsMs[unit]);
  return ms <= 30 * 24 * hourMs ? ms : undefined;
}
