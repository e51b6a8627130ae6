import type { ModelSpec } from '../card/card.ts';
import type { Run } from '../pool/queue.ts';
import { asProblem, type Problem } from '../problem.ts';
import type { Answer, Decoded, Precision, Reason, TaskInput } from '../task.ts';
import type { Verdict } from './breaker.ts';
import type { ModelChain, Prospect } from './chain.ts';
import { budgetFor, type Decision, decide, type Miss, retryAfter, takenOut } from './decide.ts';
import { refuseHopeless, waitsOf } from './hopeless.ts';
import type { ServedModel } from './place.ts';
import { primaryRequired, unanswered } from './refusal.ts';
import { laneOf } from './standing.ts';

export interface Question extends Prospect {
  readonly bytes: Uint8Array;
  /** What the client chose, as its task reads it. */
  readonly ask: unknown;
  /** Aborted with a Problem when the client's patience ends or the client has gone. */
  readonly signal: AbortSignal;
  /** Of a background question: settles when its decoding or run may begin; rejects with the signal's reason. */
  readonly untilTurn?: (() => Promise<void>) | undefined;
}

export interface Result {
  readonly answer: Answer;
  readonly output: unknown;
  readonly spec: ModelSpec;
  /** The decoded input for another model; undefined for one whose input would have to be decoded anew. */
  inputFor(spec: ModelSpec): TaskInput | undefined;
}

/** A part of the way, for Server-Timing, the metrics and the trace. */
export interface Step {
  readonly stage: 'decode' | 'queue' | 'model';
  /** On the clock of `performance.now()`. */
  readonly startMs: number;
  readonly ms: number;
  /** The model that was asked. */
  readonly model?: string;
  /** Why it did not answer. */
  readonly miss?: Miss;
}

/** What is known of a question, as far as it has come. */
export interface Progress {
  /** In the order in which they ended. */
  readonly steps: readonly Step[];
  /** What the task told of the upload. */
  readonly facts: Decoded['facts'];
  /** Why models did not answer. */
  readonly misses: readonly { readonly model: string; readonly status: string; readonly cause: string }[];
}

/** A question on its way. */
interface Course extends Progress {
  readonly question: Question;
  readonly chain: ModelChain;
  readonly startedMs: number;
  readonly inputs: Map<string, TaskInput>;
  readonly steps: Step[];
  readonly misses: ({ readonly model: string } & Miss)[];
  facts: Decoded['facts'];
}

/**
 * upload → input → model → output. Who answers is decided before the upload is decoded, and again after it: a model that would answer
 * too late is not asked; when one raises, overstays or is still loading, the next one answers in its place. An upload is decoded once
 * for models that take the same input, exactly for the primary model and as cheaply as its format allows for others. The result never
 * rejects; the progress can be read at any time.
 */
export function answer(
  question: Question,
  chain: ModelChain,
): { readonly progress: Progress; readonly result: Promise<Result | Problem> } {
  const startedMs = performance.now();
  const course: Course = { question, chain, startedMs, inputs: new Map(), steps: [], misses: [], facts: {} };
  return { progress: course, result: askModels(course).catch(asProblem) };
}

async function askModels(course: Course): Promise<Result> {
  const { question, chain } = course;
  refuseHopeless(chain, question);
  const candidates = chain.models.slice(0, question.strict ? 1 : undefined); // others may take their places meanwhile
  const releases = candidates.map(({ holds }) => holds.take());
  try {
    return await askInTurn(course, candidates, chain.isPrimaryServed);
  } finally {
    for (const release of releases) release();
  }
}

async function askInTurn(
  course: Course,
  candidates: readonly ServedModel[],
  isPrimaryServed: boolean,
): Promise<Result> {
  const { question, chain, misses } = course;
  let reason: Reason | null = chain.tier === 'fallback' ? 'failover' : isPrimaryServed ? null : 'error';
  for (const [rank, model] of candidates.entries()) {
    const standby = candidates.slice(rank + 1).find(({ pool }) => pool.isReady());
    const precision = isPrimaryServed && rank === 0 ? 'exact' : 'reduced';
    const run = await askModel(course, model, standby, precision);
    noteRun(course, model.spec.name, run);
    if (run.status === 'done') return resultOf(course, model.spec, run.output, reason);
    if (run.status === 'unfit') throw run.problem;
    misses.push({ model: model.spec.name, status: run.status, cause: run.cause });
    reason ??= run.status;
  }
  const after = retryAfter(waitsOf(chain, candidates));
  throw question.strict ? primaryRequired(after, misses[0]?.cause) : unanswered(misses, after);
}

function noteRun({ steps, startedMs }: Course, model: string, run: Run): void {
  const nowMs = performance.now();
  if (run.status === 'done') {
    const ranMs = nowMs - run.modelMs;
    const startMs = ranMs - run.prepareMs;
    steps.push({ stage: 'queue', startMs: startMs - run.queueMs, ms: run.queueMs, model });
    steps.push({ stage: 'decode', startMs, ms: run.prepareMs, model });
    steps.push({ stage: 'model', startMs: ranMs, ms: run.modelMs, model });
  } else if (run.status !== 'unfit') {
    const last = steps.at(-1);
    const startMs = last ? last.startMs + last.ms : startedMs;
    steps.push({ stage: 'model', startMs, ms: nowMs - startMs, model, miss: run });
  }
}

function resultOf({ chain, inputs }: Course, spec: ModelSpec, output: unknown, reason: Reason | null): Result {
  const { name: model, version } = spec;
  return {
    answer: { model, version, tier: chain.tier, degraded: reason !== null, reason },
    output,
    spec,
    inputFor: (other) => inputs.get(chain.decoder.keyOf(other)),
  };
}

/** Asks a model. A reduced input that turns out unfit in its worker is decoded anew, exactly: the fault may be its own. */
async function askModel(
  course: Course,
  model: ServedModel,
  standby: ServedModel | undefined,
  precision: Precision,
): Promise<Run> {
  const run = await askOnce(course, model, standby, precision);
  if (run.status !== 'unfit' || precision === 'exact') return run;
  course.inputs.delete(course.chain.decoder.keyOf(model.spec));
  return askOnce(course, model, standby, 'exact');
}

/** Asks unless the answer would come too late, which is judged before decoding if a standby model is ready. */
async function askOnce(
  course: Course,
  model: ServedModel,
  standby: ServedModel | undefined,
  precision: Precision,
): Promise<Run> {
  const { question, chain, inputs } = course;
  const { decoder } = chain;
  const isDecoded = inputs.has(decoder.keyOf(model.spec));
  const early = standby && decideNow(course, model, standby, isDecoded ? 0 : decoder.predictMs());
  if (early?.asks === false) return early.miss;
  const input = await decodeFor(course, model.spec, precision);
  if (!decoder.suits(input, model.spec)) return { status: 'error', cause: 'it takes no such input' };
  if (question.untilTurn) await question.untilTurn();
  const decision = decideNow(course, model, standby, 0);
  if (!decision.asks) return decision.miss;
  const ticket = model.breaker.admit();
  if ((standby || question.strict) && !ticket) return takenOut;
  const isBackground = question.untilTurn !== undefined;
  const timeoutMs = isBackground ? Math.min(decision.timeoutMs, longestBackgroundMs) : decision.timeoutMs;
  const run = await model.pool.run(input, timeoutMs, question.signal, isBackground);
  // One upload that is tried again and again must not take the model from those who wait.
  ticket?.record(isBackground && run.status !== 'done' ? 'unknown' : verdictOn(run, decision.hasWholeBudget));
  return run;
}

/** As long as the most patient client waits whose connection is held; a run that takes longer hangs. */
const longestBackgroundMs = 30_000;

function decideNow(
  { question, chain, startedMs }: Course,
  model: ServedModel,
  standby: ServedModel | undefined,
  decodeMs: number,
): Decision {
  const { pool, breaker } = model;
  const nowMs = performance.now();
  // What has been received is worth a try if it is in time on average. With a longer patience a try that fails would be a 504 that the
  // ingress counts as an outage, where a refusal counts for nothing.
  const isTried = !standby && !question.strict && question.deadlineMs - startedMs <= chain.primaryBudgetMs;
  const lane = {
    ...laneOf(model),
    absence: pool.absence(),
    isStale: pool.isStale(),
    decodeMs,
    predictedMs: isTried ? pool.expectMs(decodeMs) : pool.predictMs(decodeMs),
    retryInMs: breaker.retryInMs(),
  };
  const leftMs = question.deadlineMs - nowMs;
  if (!standby) return decide(lane, { leftMs, budgetMs: undefined, allowedMs: leftMs });
  const spare = { standbyMs: standby.pool.predictMs(), budgetMs: chain.primaryBudgetMs, spentMs: nowMs - startedMs };
  // What remains of a background run is no load: it takes nothing of the time that the model has.
  const budgetMs = budgetFor(lane, spare) + pool.backgroundMs();
  return decide(lane, { leftMs, budgetMs, allowedMs: chain.standing.allowedMs(budgetMs, lane, laneOf(standby)) });
}

/** Decodes once for each key. */
async function decodeFor(course: Course, spec: ModelSpec, precision: Precision): Promise<TaskInput> {
  const { question, chain, inputs, steps } = course;
  const { bytes, ask, signal } = question;
  const key = chain.decoder.keyOf(spec);
  const known = inputs.get(key);
  if (known) return known;
  if (question.untilTurn) await question.untilTurn();
  const isBackground = question.untilTurn !== undefined;
  const startedMs = performance.now();
  const { decoded, waitedMs } = await chain.decoder.decode(bytes, { spec, ask, precision, isBackground }, signal);
  inputs.set(key, decoded.input);
  steps.push({ stage: 'queue', startMs: startedMs, ms: waitedMs });
  const decodingMs = startedMs + waitedMs;
  steps.push({ stage: 'decode', startMs: decodingMs, ms: performance.now() - decodingMs });
  course.facts = decoded.facts;
  return decoded.input;
}

/** A time-out counts against the model only if the run had its full budget. */
function verdictOn(run: Run, hadBudget: boolean): Verdict {
  if (run.status === 'done' || run.status === 'unfit') return 'success';
  return run.status === 'error' || (run.status === 'timeout' && run.overstayed && hadBudget) ? 'failure' : 'unknown';
}
