import { setTimeout as sleep } from 'node:timers/promises';
import { openGateway, proveService } from './gateway.ts';
import { comparisonOf, isTimeAlone, judgeTrial, smokeOf, type Trial } from './judge.ts';
import { look, type Subject } from './kn.ts';
import { type Before, beforeOf, CandidateError, deploy, route, say, takeBack } from './operate.ts';
import { type Change, planCanary, planPromotion, type Routing } from './plan.ts';
import { currentOf, type State, StateError, taggedOf } from './state.ts';

/** What a release needs besides the change. */
export interface Terms {
  /** Where this machine reaches the gateway of cluster-local Services; without it kubectl forwards a port. */
  readonly address: string | undefined;
  readonly k6: string;
  /** Seconds of a comparison; the smoke test takes half of it. */
  readonly seconds: number;
  /** How long the candidate may take to become ready. */
  readonly waitSeconds: number;
}

/** A release that failed; the message says why and which revision serves. */
export class ReleaseError extends Error {
  override readonly name = 'ReleaseError';
}

/** Percent of the traffic at which the candidate is compared, before it gets all. */
const stages = [10, 50] as const;

/** The API server may be away for a while, and the traffic must not stay split. */
const takeBackWithinMs = 120_000;
const tryAgainMs = 2000;

/**
 * Deploys, tries and compares a candidate and gives it the traffic step by step; returns its name.
 * @throws StateError where it cannot begin, before anything is changed
 * @throws ReleaseError when a step falls short or the signal aborts, after all traffic is back where it was
 */
export async function release(subject: Subject, wanted: Change, terms: Terms, signal: AbortSignal): Promise<string> {
  const gateway = await openGateway(terms.address, signal);
  try {
    const state = await look(subject, signal);
    await proveService(gateway.address, subject, state);
    return await releaseBy(gateway.address, state, wanted, terms, signal);
  } finally {
    await gateway.close();
  }
}

async function releaseBy(
  address: string,
  state: State,
  wanted: Change,
  terms: Terms,
  signal: AbortSignal,
): Promise<string> {
  const subject = { service: state.service, namespace: state.namespace };
  const before = beforeOf(state);
  let candidate: string | undefined;
  try {
    candidate = await deploy(subject, state, wanted, terms.waitSeconds, signal);
    say(`${candidate} is ready and gets no traffic; smoke test of ${terms.seconds / 2} s`);
    await pass(terms.k6, smokeOf(subject, address, candidate, terms.seconds / 2), signal);
    for (const percent of stages) {
      await step(subject, before, candidate, (now) => planCanary(now, percent), signal);
      say(`${candidate} gets ${percent} %; compared with ${before.current} for ${terms.seconds} s`);
      await pass(terms.k6, comparisonOf(subject, address, { ...before, candidate }, terms.seconds), signal);
    }
    await step(subject, before, candidate, planPromotion, signal);
    return candidate;
  } catch (fault) {
    if (fault instanceof StateError && candidate === undefined) throw fault; // nothing is changed yet
    const reason = fault instanceof Error ? fault.message : String(fault);
    say(`${reason}: takes it back`);
    throw new ReleaseError(`${reason}; ${await giveBack(subject, before, candidate)}`, { cause: fault });
  }
}

/** One movement of the traffic, unless somebody else has moved it since. */
async function step(
  subject: Subject,
  before: Before,
  candidate: string,
  plan: (state: State) => Routing,
  signal: AbortSignal,
): Promise<void> {
  const state = await look(subject, signal);
  const [serves, tagged] = [currentOf(state), taggedOf(state, 'candidate')];
  if (serves !== before.current || tagged !== candidate) {
    const received = `${serves} and ${tagged ?? 'no candidate'}`;
    throw new StateError(`Expected ${before.current} and the candidate ${candidate} but received ${received}`);
  }
  await route(subject, state, plan(state), signal);
}

/** @throws CandidateError with the limits that did not hold */
async function pass(k6: string, trial: Trial, signal: AbortSignal): Promise<void> {
  let clauses = await judgeTrial(k6, trial, signal);
  if (isTimeAlone(clauses)) {
    say(`${clauses.join('; ')}: compares once more`);
    clauses = await judgeTrial(k6, trial, signal);
  }
  if (clauses.length === 0) return;
  throw new CandidateError(`${trial.script === 'canary' ? 'comparison' : 'smoke test'}: ${clauses.join('; ')}`);
}

/** Takes back, repeatedly while the API server is away; returns how it ended. */
async function giveBack(subject: Subject, before: Before, candidate: string | undefined): Promise<string> {
  const deadlineMs = performance.now() + takeBackWithinMs;
  while (true) {
    try {
      await takeBack(subject, before, candidate);
      return `${before.current} has all the traffic`;
    } catch (fault) {
      const { message } = fault as Error;
      if (fault instanceof StateError) return message;
      if (performance.now() > deadlineMs) {
        return `not taken back (${message}): run the rollback or the release again once the cluster answers`;
      }
      say(`${message}: tries again`);
      await sleep(tryAgainMs);
    }
  }
}
