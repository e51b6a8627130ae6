import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect } from '@jest/globals';
import { Problem, type ProblemCode, problems, problemType, toProblemJson } from '../../functions/core/problem.ts';
import { type Answer, type Sent, send } from './client.ts';
import { type NginxOptions, type RunningNginx, startNginx } from './nginx.ts';
import { answer, type Behavior, startUpstream, type Upstream } from './upstream.ts';

export const megabyte = 1024 * 1024;
/** Bytes of the largest body that the ingress accepts. */
export const largestBody = 10 * megabyte + 64 * 1024;
export const photo = randomBytes(20_000);
export const problemJson = 'application/problem+json';

/** The time-outs, shortened: 8 s, 30 s and 32 s of a silent function, 15 s of a silent client, 5 s of an open breaker. */
export const hasty = {
  'proxy_read_timeout 8s': 'proxy_read_timeout 500ms',
  'proxy_read_timeout 30s': 'proxy_read_timeout 900ms',
  'proxy_read_timeout 32s': 'proxy_read_timeout 900ms',
  'client_body_timeout 15s': 'client_body_timeout 1s',
  'fail_timeout=5s': 'fail_timeout=1s',
};
export const withoutBreaker = { ...hasty, 'max_fails=3': 'max_fails=0' };

type Whole = ReturnType<typeof answer>;

/** A function's own problem, as it leaves the function. */
export function own(code: ProblemCode, headers: Record<string, string> = {}): Whole {
  const problem = toProblemJson(new Problem(code, 'The words of the function'), 'r-1');
  return answer(problems[code].status, { 'content-type': problemJson, ...headers }, JSON.stringify(problem));
}

/** Somebody else's answer, such as a gateway's. */
export const plain = (status: number): Whole => answer(status, { 'content-type': 'text/plain' }, 'no healthy upstream');

export const busy = own('BUSY', { 'x-reason': 'busy', 'retry-after': '7' });
export const deadline = own('DEADLINE_EXCEEDED', { 'x-reason': 'deadline' });
export const starting = own('STARTING', { 'x-reason': 'starting', 'retry-after': '2' });
export const strictRefusal = own('PRIMARY_REQUIRED', { 'x-reason': 'strict', 'retry-after': '9' });
export const queueFull = answer(
  503,
  { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  'pending request queue full\n',
);
export const refused = 'refused';
export type Fault = Behavior | typeof refused;

/** Faults of a tier that count for the breaker. */
export const outages: readonly [string, Fault][] = [
  ['500 INTERNAL', own('INTERNAL')],
  ['502', plain(502)],
  ['503 STARTING', starting],
  ['503 of a gateway', plain(503)],
  ['504 of a gateway', plain(504)],
  ['refused', refused],
  ['reset before the body', { kind: 'reset', when: 'before body' }],
  ['reset after the body', { kind: 'reset', when: 'after body' }],
  ['500 before the body was read', { kind: 'early', status: 500, after: 'closes' }],
  ['a broken header', { kind: 'garbled' }],
  ['silence', { kind: 'silent' }],
];
/** Faults that do not. */
export const noOutages: readonly [string, Fault][] = [
  ['503 BUSY', busy],
  ['503 of a full queue', queueFull],
  ['504 DEADLINE_EXCEEDED', deadline],
  ['404 of a gateway', answer(404, { 'content-type': 'text/plain' }, '')],
];

export const bodies: readonly [string, Sent & { readonly body: Buffer }][] = [
  ['20 kB', { body: photo }],
  ['10 MB', { body: randomBytes(10 * megabyte) }],
  ['3 MB, chunked', { body: randomBytes(3 * megabyte), chunked: true }],
];

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Runs `work` while the tier misbehaves. */
export async function whileFaulty<T>(tier: Upstream, fault: Fault, work: () => Promise<T>): Promise<T> {
  if (fault !== refused) {
    tier.behave(fault);
    return work();
  }
  await tier.refuse();
  try {
    return await work();
  } finally {
    await tier.open();
  }
}

export function expectProblem(answered: Pick<Answer, 'status' | 'headers' | 'text'>, code: ProblemCode): void {
  expect(answered.headers['content-type']).toMatch(/^application\/problem\+json(; charset=utf-8)?$/);
  const id = answered.headers['x-request-id'];
  expect(JSON.parse(answered.text)).toEqual({
    type: problemType(code),
    ...problems[code],
    detail: expect.stringMatching(/./),
    instance: id,
    code,
  });
  expect(answered.status).toBe(problems[code].status);
  expect(id).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
}

/** An upstream for each function and an nginx in front of them, for a test file's top level. Each test begins with upstreams that answer 200. */
export interface Ingress {
  readonly primary: Upstream;
  readonly fallback: Upstream;
  readonly clouds: Upstream;
  readonly digits: Upstream;
  readonly nginx: RunningNginx;
  /** Starts nginx, in place of one that runs. */
  start(options?: NginxOptions): Promise<void>;
  /** One POST /classify of a photo, unless `sent` says otherwise. */
  post(sent?: Sent): Promise<Answer>;
  /** So many of them at once. */
  burst(count: number, sent?: Sent): Promise<Answer[]>;
  /** Tiers of so many answers, one after the other. */
  tiersOf(count: number): Promise<unknown[]>;
}

export function useIngress(): Ingress {
  let primary: Upstream;
  let fallback: Upstream;
  let clouds: Upstream;
  let digits: Upstream;
  let nginx: RunningNginx | undefined;

  beforeAll(async () => {
    primary = await startUpstream('primary');
    fallback = await startUpstream('fallback');
    clouds = await startUpstream('clouds');
    digits = await startUpstream('digits');
  });
  beforeEach(() => {
    for (const upstream of [primary, fallback, clouds, digits]) upstream.behave(answer(200));
  });
  afterAll(async () => {
    await nginx?.stop();
    for (const upstream of [primary, fallback, clouds, digits]) await upstream.close();
  });

  const running = (): RunningNginx => {
    if (nginx === undefined) throw new Error('Expected a started nginx but received none');
    return nginx;
  };
  const post = (sent: Sent = {}) => send(running().origin, { body: photo, ...sent });
  return {
    get primary() {
      return primary;
    },
    get fallback() {
      return fallback;
    },
    get clouds() {
      return clouds;
    },
    get digits() {
      return digits;
    },
    get nginx() {
      return running();
    },
    async start(options = { shorten: hasty }) {
      const old = nginx;
      nginx = undefined;
      await old?.stop();
      const ports = { primary: primary.port, fallback: fallback.port, clouds: clouds.port, digits: digits.port };
      nginx = await startNginx(ports, options);
    },
    post,
    burst: (count, sent) => Promise.all(Array.from({ length: count }, () => post(sent))),
    async tiersOf(count) {
      const tiers = [];
      for (let i = 0; i < count; i += 1) tiers.push((await post()).headers['x-tier']);
      return tiers;
    },
  };
}
