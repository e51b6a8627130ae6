import { setTimeout as sleep } from 'node:timers/promises';
import { callKn, KnError, look, type Subject, toShell } from './kn.ts';
import {
  type Change,
  hasRouting,
  type Line,
  planDeployment,
  planRollback,
  type Routing,
  removalLine,
  routeLine,
  templateLine,
} from './plan.ts';
import { currentOf, type Revision, type State, StateError, shareOf, taggedOf } from './state.ts';

/** The candidate does not meet a condition; the message says which. */
export class CandidateError extends Error {
  override readonly name = 'CandidateError';
}

/** The revisions that were current and previous at the start: the target of a take-back. */
export interface Before {
  readonly current: string;
  readonly previous: string | undefined;
}

/** A gateway follows in a second or two; a rollback has to be in effect within ten. */
const routedWithinMs = 30_000;
const lookAgainMs = 250;

/** Writes a message to the terminal. */
export function say(text: string): void {
  process.stderr.write(`revision: ${text}\n`);
}

/** Shows and runs a call of kn that changes something. */
async function change(line: Line, signal?: AbortSignal): Promise<void> {
  say(toShell(line));
  await callKn(line, signal);
}

export function beforeOf(state: State): Before {
  return { current: currentOf(state), previous: taggedOf(state, 'previous') };
}

/** Sets a routing and waits until the gateway follows. @throws KnError when it does not in time */
export async function route(subject: Subject, state: State, routing: Routing, signal?: AbortSignal): Promise<State> {
  const line = routeLine(state, routing);
  if (line !== undefined) await change(line, signal);
  const deadlineMs = performance.now() + routedWithinMs;
  let seen = 'another';
  while (performance.now() < deadlineMs) {
    const now = await look(subject, signal).catch((fault: Error) => {
      signal?.throwIfAborted();
      seen = fault.message; // the API server may be away for a moment
      return undefined;
    });
    if (now?.isRouted && hasRouting(now, routing)) return now;
    await sleep(lookAgainMs);
    signal?.throwIfAborted();
  }
  throw new KnError(
    `Expected the new routing of ${subject.service} within ${routedWithinMs / 1000} s but received ${seen}`,
  );
}

/**
 * Makes a candidate without traffic and tags it as soon as it is ready; returns its name.
 * @throws CandidateError when it does not become ready, StateError where there is nothing to deploy; neither moved any traffic
 */
export async function deploy(
  subject: Subject,
  state: State,
  wanted: Change,
  waitSeconds: number,
  signal?: AbortSignal,
): Promise<string> {
  const { make, tagged } = planDeployment(state, wanted, waitSeconds);
  const made = make === undefined ? { now: state, revision: state.revisions[0] } : await create(make);
  const { now, revision, fault } = { fault: undefined, ...made };
  if (revision?.isReady !== true) {
    const reason = revision?.reason || fault?.message || 'no word of it';
    throw new CandidateError(`Expected ${revision?.name ?? 'a revision'} to become ready but received ${reason}`);
  }
  await route(subject, now, tagged(revision.name), signal);
  return revision.name;

  async function create(line: Line): Promise<{ now: State; revision: Revision; fault: Error | undefined }> {
    const deadlineMs = performance.now() + waitSeconds * 1000;
    const fault = await change(line, signal).then(
      () => undefined,
      (cause: Error) => cause,
    );
    signal?.throwIfAborted();
    for (;;) {
      const now = await look(subject, signal);
      const revision = now.revisions.find(({ name }) => state.revisions.every((known) => known.name !== name));
      if (revision === undefined) throw fault ?? new CandidateError('Expected a new revision but received none');
      if (!mayBecomeReady(revision) || performance.now() >= deadlineMs) return { now, revision, fault };
      await sleep(lookAgainMs);
    }
  }
}

/** kn gives up at the first fault; but a node may be starting, an old pod leaving, or kn's connection lost. */
function mayBecomeReady({ isReady, reason }: Revision): boolean {
  return isReady === null || (isReady === false && reason.startsWith('Unschedulable'));
}

/** Takes the last step back and returns the revision that serves now. */
export async function rollback(subject: Subject): Promise<string> {
  const state = await look(subject);
  const now = await route(subject, state, planRollback(state));
  const current = currentOf(now);
  await cleanUp(now, current);
  return current;
}

/**
 * Gives all traffic back to the revision that had it before `candidate` came. The candidate's revision stays, unless it never
 * became ready.
 * @throws StateError where the traffic was moved by somebody else: then it stays as it is
 */
export async function takeBack(subject: Subject, before: Before, candidate: string | undefined): Promise<void> {
  const state = await look(subject);
  const serves = currentOf(state);
  const { current, previous } = before;
  if (serves !== current && serves !== candidate) {
    throw new StateError(`Expected ${current} to serve but received ${serves}: somebody else has moved the traffic`);
  }
  const isAside = shareOf(state, current) === 100 && taggedOf(state, 'candidate') === undefined;
  const isThere = state.revisions.some(({ name }) => name === previous);
  const tagged = { current, ...(previous !== undefined && isThere && { previous }) };
  await cleanUp(isAside ? state : await route(subject, state, { shares: { [current]: 100 }, tagged }), current);
}

/** Makes the template equal to what serves, so that the next change begins there, and deletes a revision that never started. */
async function cleanUp(state: State, current: string): Promise<void> {
  const restore = templateLine(state, current);
  const removal = removalLine(state);
  if (restore !== undefined) await change(restore);
  // Only behind a newer revision: Knative makes the newest one again.
  if (restore !== undefined && removal !== undefined) await change(removal);
}
