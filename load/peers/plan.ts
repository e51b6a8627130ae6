import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The families side by side; ours is `understudy`. */
export const families = ['understudy', 'strict', 'fastapi', 'litserve', 'bentoml', 'ray'] as const;
export type Family = (typeof families)[number];

/** Where a server lives, which run.ts decides. */
export interface Place {
  readonly root: string;
  readonly port: number;
  /** How many requests a tuned peer may hold: what all lanes finish within 0.8 s. */
  readonly inFlight: number;
  /** A folder in which every process that runs the model leaves a file named after itself. */
  readonly pids: string;
}

/** One way to start one of them. */
export interface System {
  readonly name: string;
  /** How the tables and plots call it. */
  readonly label: string;
  readonly family: Family;
  readonly tuned: boolean;
  /** What its clients send besides the photo. */
  readonly headers: Readonly<Record<string, string>>;
  readonly command: (place: Place) => readonly [string, ...string[]];
  readonly env: (place: Place) => Readonly<Record<string, string>>;
}

/** Cores that every system gets, and so the lanes of each. */
export const cores = 2;

const startScript = fileURLToPath(new URL('../../ingress/start.js', import.meta.url));
const peers = (root: string) => join(root, 'load/peers');

function ours(name: string, label: string, tuned: boolean, headers: Readonly<Record<string, string>>): System {
  return {
    name,
    label,
    family: name.startsWith('strict') ? 'strict' : 'understudy',
    tuned,
    headers,
    command: () => [process.execPath, startScript],
    env: ({ root, port }) => ({
      PORT: String(port),
      MODELS_DIR: join(peers(root), 'build/models'),
      // One client sends here what the ingress grants to many.
    }),
  };
}

type PeerCommand = (folder: string, place: Place, tuned: boolean) => readonly [string, ...string[]];

function peer(family: Family, label: string, command: PeerCommand): readonly [System, System] {
  const start = (tuned: boolean): System => ({
    name: tuned ? `${family}-tuned` : family,
    label: tuned ? `${label}, tuned` : label,
    family,
    tuned,
    headers: {},
    command: (place) => command(join(peers(place.root), 'build/venvs', family, 'bin'), place, tuned),
    env: ({ root, port, inFlight, pids }) => ({
      PEER_MODEL: join(peers(root), 'build/models/wide-resnet'),
      PEER_PORT: String(port),
      PEER_LANES: String(cores),
      PEER_PIDS: pids,
      ...(tuned ? { PEER_IN_FLIGHT: String(inFlight) } : {}),
      PYTHONPATH: peers(root),
      PYTHONDONTWRITEBYTECODE: '1',
      // None of them is to call home while it is measured.
      BENTOML_DO_NOT_TRACK: 'True',
      BENTOML_HOME: join(peers(root), 'build/bentoml'),
      RAY_USAGE_STATS_ENABLED: '0',
    }),
  });
  return [start(false), start(true)];
}

const local = (port: number) => ['--host', '127.0.0.1', '--port', String(port)];
const oneSecond = { 'x-deadline-ms': '1000' };

/**
 * Ours as shipped, ours for clients that say how long they wait, ours for clients that take no other model (which is ours
 * without the understudy), and each peer as its maker ships it and as its documentation advises.
 */
export const systems: readonly System[] = [
  ours('understudy', 'Understudy', false, {}),
  ours('understudy-tuned', 'Understudy, 1 s deadline', true, oneSecond),
  ours('strict-tuned', 'Understudy off, 1 s deadline', true, { prefer: 'handling=strict', ...oneSecond }),
  ...peer('fastapi', 'FastAPI', (bin, { port }, tuned) => [
    join(bin, 'uvicorn'),
    'serve_fastapi:app',
    ...local(port),
    ...(tuned ? ['--workers', String(cores)] : []),
  ]),
  ...peer('litserve', 'LitServe', (bin, { root }) => [join(bin, 'python'), join(peers(root), 'serve_litserve.py')]),
  ...peer('bentoml', 'BentoML', (bin, { root, port }) => [
    join(bin, 'bentoml'),
    'serve',
    'serve_bentoml:WideResnet',
    ...local(port),
    '--working-dir',
    peers(root),
  ]),
  ...peer('ray', 'Ray Serve', (bin, { root }) => [join(bin, 'python'), join(peers(root), 'serve_ray.py')]),
];

export const scenarios = ['parity', 'inputs', 'closed', 'open', 'sigterm', 'kill', 'stop'] as const;
export type Scenario = (typeof scenarios)[number];

/** Clients that each wait for their answer before they ask again. */
export const clientCounts = [1, 2, 8] as const;
/** Offered load as a multiple of the single model's capacity. */
export const loadFactors = [0.5, 0.9, 1.5, 2, 3] as const;

const points: Readonly<Partial<Record<Scenario, readonly number[]>>> = { closed: clientCounts, open: loadFactors };
/** Their outcome does not vary with time: once is enough. */
const onlyOnce: readonly Scenario[] = ['parity', 'inputs'];

/** One measurement: a server is started for it, and ended after it. */
export interface Job {
  readonly system: System;
  readonly scenario: Scenario;
  /** Clients or load factor, where the scenario has several. */
  readonly point?: number;
  readonly repeat: number;
}

/** Where the outcome of a job is kept, below the folder of results. */
export function fileOf({ system, scenario, point, repeat }: Job): string {
  return join(system.name, `${[scenario, ...(point === undefined ? [] : [point]), repeat].join('-')}.json`);
}

/**
 * All jobs in the order in which they run: the systems take turns at every point, each repeat beginning with another of
 * them, so that what else the machine does falls on all of them.
 */
export function planJobs(chosen: readonly System[], wanted: readonly Scenario[], repeats: number): readonly Job[] {
  const jobs: Job[] = [];
  for (let repeat = 1; repeat <= repeats; repeat += 1) {
    const first = Math.floor(((repeat - 1) * chosen.length) / repeats);
    const inTurn = [...chosen.slice(first), ...chosen.slice(0, first)];
    for (const scenario of wanted) {
      if (repeat > 1 && onlyOnce.includes(scenario)) continue;
      for (const point of points[scenario] ?? [undefined]) {
        jobs.push(...inTurn.map((system) => ({ system, scenario, ...(point === undefined ? {} : { point }), repeat })));
      }
    }
  }
  return jobs;
}
