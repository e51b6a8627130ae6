import type { FunctionName } from '../functions/launch.ts';

/** A setting that the user has to change; the message says which. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/** A task as a whole: the functions that answer it, and a request to try, without its address. */
export interface System {
  readonly functions: readonly [FunctionName, ...FunctionName[]];
  readonly path: string;
  readonly example: string;
}

/** By FUNCTIONS. */
export const systems = {
  classify: {
    functions: ['primary', 'fallback'],
    path: '/classify',
    example: '-F image=@tests/images/test_image_1.jpg',
  },
  digits: { functions: ['digits'], path: '/predict', example: '-F image=@tests/images/digit.png' },
  clouds: { functions: ['clouds'], path: '/infer?format=rle', example: '-F image=@tests/images/patch.tif' },
} as const satisfies Record<string, System>;

export type SystemName = keyof typeof systems;

export interface Settings {
  readonly port: number;
  /** Longest drain. */
  readonly drainMs: number;
  /** Where the edge's metrics are served on loopback; undefined for nowhere. */
  readonly metricsPort: number | undefined;
  /** What runs, in the order of `systems`. */
  readonly chosen: readonly SystemName[];
}

/** What `npm start` reads; an empty variable counts as absent. @throws StartError */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  return {
    port: whole(env, 'PORT', 8080, 65_535),
    metricsPort: env.METRICS_PORT ? whole(env, 'METRICS_PORT', 0, 65_535) : undefined,
    drainMs: whole(env, 'DRAIN_MS', 25_000, 600_000),
    chosen: choose(env.FUNCTIONS || Object.keys(systems).join()),
  };
}

/** The switches of the edge, which the renderer judges. */
export function readSwitches({ CORS_ORIGINS = '', API_KEYS_FILE = '' }: NodeJS.ProcessEnv) {
  return { CORS_ORIGINS, API_KEYS_FILE };
}

function whole(env: NodeJS.ProcessEnv, name: string, fallback: number, max: number): number {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new StartError(`Expected a whole number from 1 to ${max} for ${name} but received ${JSON.stringify(text)}`);
}

function choose(text: string): readonly SystemName[] {
  const asked = text.split(',').map((name) => name.trim());
  const names = Object.keys(systems) as SystemName[];
  if (asked.every((name) => names.some((known) => known === name))) return names.filter((name) => asked.includes(name));
  const known = `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
  throw new StartError(`Expected ${known}, or some with commas, for FUNCTIONS but received ${JSON.stringify(text)}`);
}
