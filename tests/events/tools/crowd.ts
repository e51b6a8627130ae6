import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, send } from '../../support/client.ts';
import type { Stage } from './stage.ts';

export type TaskName = keyof Stage['origins'];

/** An upload with its task, and the answer that a synchronous client has for it. */
export interface Photo {
  readonly task: TaskName;
  readonly bytes: Buffer;
  /** Status of the synchronous answer. */
  readonly status: number;
  readonly answer: string;
}

export interface Accepted {
  readonly id: string;
  readonly key: string;
  readonly photo: Photo;
}

const paths = { digits: '/predict', classify: '/classify' } as const;
const headers = { 'content-type': 'application/octet-stream' };

/** Asks as a synchronous client does; one whose answer was degraded asks again. */
export async function askNow(stage: Stage, task: TaskName, bytes: Buffer): Promise<Answer> {
  for (;;) {
    const answer = await send(stage.origins[task], { path: paths[task], headers, body: bytes });
    if (answer.status < 500 && !answer.headers['x-degraded']) return answer;
    await sleep(200);
  }
}

/** Orders one job. @throws the socket's error */
export function order(
  stage: Stage,
  { task, bytes }: Photo,
  key: string,
  further: Record<string, string> = {},
): Promise<Answer> {
  const asking = { ...headers, prefer: 'respond-async', 'idempotency-key': key, ...further };
  return send(stage.origins[task], { path: paths[task], headers: asking, body: bytes });
}

/** Clients that order jobs one after another, each until it is accepted, as a client does that comes again when it is told to. */
export interface Crowd {
  readonly accepted: readonly Accepted[];
  /** Statuses of all answers but 202; 0 stands for none. */
  readonly refusals: ReadonlyMap<number, number>;
  /** Settles when all jobs are accepted. */
  readonly done: Promise<void>;
}

export function startCrowd(
  stage: Stage,
  photos: readonly Photo[],
  { jobs, clients, pauseMs }: { readonly jobs: number; readonly clients: number; readonly pauseMs: number },
): Crowd {
  const accepted: Accepted[] = [];
  const refusals = new Map<number, number>();
  let next = 0;

  async function client(): Promise<void> {
    while (next < jobs) {
      const n = next;
      next += 1;
      const photo = photos[n % photos.length] as Photo;
      const key = `job ${n}`;
      for (;;) {
        const answer = await order(stage, photo, key).catch(() => undefined);
        if (answer?.status === 202) {
          accepted.push({ id: String(answer.headers.location).replace('/jobs/', ''), key, photo });
          break;
        }
        const status = answer?.status ?? 0;
        refusals.set(status, (refusals.get(status) ?? 0) + 1);
        await sleep(500);
      }
      await sleep(pauseMs);
    }
  }

  return { accepted, refusals, done: Promise.all(Array.from({ length: clients }, client)).then(() => {}) };
}

/** Synchronous requests, one after another, with the times of those that were answered. */
export interface Probe {
  stop(): Promise<readonly number[]>;
}

export function startProbe(stage: Stage, { task, bytes }: Photo, pauseMs: number): Probe {
  const times: number[] = [];
  let isStopped = false;
  async function run(): Promise<void> {
    while (!isStopped) {
      const answer = await send(stage.origins[task], { path: paths[task], headers, body: bytes }).catch(
        () => undefined,
      );
      if (answer?.status === 200) times.push(answer.ms);
      await sleep(pauseMs);
    }
  }
  const running = run();
  return {
    async stop() {
      isStopped = true;
      await running;
      return times;
    },
  };
}

/** Median, and the time of the slowest of a hundred. */
export function describeTimes(times: readonly number[]): string {
  const sorted = times.toSorted((one, other) => one - other);
  const [median, late] = [0.5, 0.99].map((share) => sorted[Math.floor(share * sorted.length)] ?? Number.NaN);
  return `${times.length} answers, median ${median?.toFixed(0)} ms, p99 ${late?.toFixed(0)} ms`;
}
