import { setTimeout as sleep } from 'node:timers/promises';
import type { ModelSpec } from '../../functions/core/card/card.ts';
import { answer, type Question } from '../../functions/core/chain/answer.ts';
import { createBreaker } from '../../functions/core/chain/breaker.ts';
import type { ModelChain } from '../../functions/core/chain/chain.ts';
import { createHolds } from '../../functions/core/chain/holds.ts';
import type { Pool } from '../../functions/core/pool/pool.ts';
import type { Run } from '../../functions/core/pool/queue.ts';
import { Problem } from '../../functions/core/problem.ts';
import type { TaskInput } from '../../functions/core/task.ts';

const never = new AbortController().signal;
export const done = { status: 'done', output: 'dog', queueMs: 1, prepareMs: 1, modelMs: 2 } as const;

/** A model whose input has this key. */
export function specOf(name: string, details = 'same'): ModelSpec {
  const file = { variant: 'portable', path: '', files: [], optimizedBy: null };
  return { folder: name, name, version: '1', input: { name: 'image' }, output: { name: 'logits' }, details, ...file };
}

export interface Lane {
  readonly end: Run;
  readonly predictedMs?: number;
  readonly expectedMs?: number;
  readonly isIdle?: boolean;
  readonly isStale?: boolean;
  readonly meanMs?: number;
  readonly failures?: number;
}

/** A chain whose models end their runs as told and write down what they were given. */
export function chainOf(
  ends: readonly (Run | Lane)[],
  {
    tier = 'primary',
    isPrimaryServed = true,
    keys = ['same', 'same'],
    decodeMs = 0,
    isDecoderIdle = true,
    isSettled = [true, true] as readonly boolean[],
    isDecoderSettled = true,
    waitedMs = 3,
    takesMs = 0,
    unsuited = [] as readonly string[],
    allowedMs = Number.POSITIVE_INFINITY,
  } = {},
) {
  const runs: { model: string; input: TaskInput; timeoutMs: number }[] = [];
  const precisions: string[] = [];
  const models = ends.map((given, rank) => {
    const {
      end,
      predictedMs = 0,
      expectedMs = predictedMs,
      isIdle = true,
      isStale = false,
      meanMs = predictedMs,
      failures = 0,
    } = 'end' in given ? given : ({ end: given } as Lane);
    const spec = specOf(['wide-resnet', 'mobilenet'][rank] as string, keys[rank]);
    const run = async (input: TaskInput, timeoutMs: number) => {
      runs.push({ model: spec.name, input, timeoutMs });
      return end;
    };
    const isReady = () => end.status === 'done' || end.status === 'overload' || end.status === 'timeout';
    const breaker = createBreaker({ failures: () => 3, openMs: 5000, onChange: () => {} });
    for (let i = 0; i < failures; i += 1) breaker.admit()?.record('failure');
    return {
      spec,
      breaker,
      holds: createHolds(),
      pool: {
        run,
        isReady,
        absence: () => (end.status === 'warming' ? end : undefined),
        predictMs: (afterMs = 0) => afterMs + predictedMs,
        expectMs: (afterMs = 0, coming = 0) => afterMs + expectedMs + coming * meanMs,
        isIdle: () => isIdle,
        isStale: () => isStale,
        isSettled: () => isSettled[rank],
        meanMs: () => meanMs,
        backgroundMs: () => 0,
      } as unknown as Pool,
    };
  });
  const decode = async (_bytes: unknown, { precision }: { precision: string }) => {
    precisions.push(precision);
    await sleep(takesMs);
    return { decoded: { input: { data: new Uint8Array(48) }, facts: { width: 8 } }, waitedMs };
  };
  const keyOf = ({ details }: ModelSpec) => String(details);
  const suits = (_input: unknown, { name }: ModelSpec) => !unsuited.includes(name);
  const decoder = {
    decode,
    keyOf,
    suits,
    predictMs: () => decodeMs,
    isIdle: () => isDecoderIdle,
    isSettled: () => isDecoderSettled,
  };
  const standing = { allowedMs: (budgetMs: number) => Math.min(budgetMs, allowedMs) };
  const chain = { tier, models, isPrimaryServed, primaryBudgetMs: 1000, standing, decoder } as unknown as ModelChain;
  return { chain, runs, precisions, decodes: () => precisions.length };
}

/** Everything that is known of a question when it has ended. */
export async function settle(chain: ModelChain, question: Partial<Question> = {}) {
  const whole = {
    bytes: new Uint8Array(1),
    ask: {},
    strict: false,
    deadlineMs: performance.now() + 5000,
    signal: never,
  };
  const { progress, result } = answer({ ...whole, ...question }, chain);
  return { result: await result, ...progress };
}

/** Who answers. @throws Problem */
export async function ask(chain: ModelChain, question: Partial<Question> = {}) {
  const { result } = await settle(chain, question);
  if (result instanceof Problem) throw result;
  return result.answer;
}
