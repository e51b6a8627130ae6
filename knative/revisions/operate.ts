import { setTimeout as sleep } from 'node:timers/promises';
import { callKn, KnError, look, type Subject, toShell } from './kn.ts';
import {
  type Change,
  deleteLine,
  hasRouting,
  type Line,
  planDeployment,
  planRollback,
  type Routing,
  routeLine,
  templateLine,
  unneeded,
} from './plan.ts';
import { currentOf, type Revision, type State, StateError, shareOf, taggedOf } from './state.ts';

/** The candidate is not what it has to be; the message says why. */
export class CandidateError extends Error {
  override readonly name = 'CandidateError';
}

/** Who served and who was remembered when something began: what is gone back to. */
export interface Before {
  readonly current: string;
  readonly previous: string | undefined;
}

/** A gateway follows in a second or two; a rollback has to be in effect within ten. */
const routedWithinMs = 30_000;
const lookAgainMs = 250;

/** Tells the person at the terminal. */
export function say(text: string): void {
  process.stderr.write(`revision: ${text}\n`);
}

/** Runs a call of kn that changes something, and shows it. */
export async function change(line: Line, signal?: AbortSignal): Promise<void> {
  say(toShell(line));
  await callKn(line, signal);
}

/** What a release or a rollback may have to go back to. */
export function beforeOf(state: State): Before {
  return { current: currentOf(state), previous: taggedOf(state, 'previous') };
}

/** Brings a routing about and waits until the gateway has it. @throws KnError when it does not in time */
export async function route(subject: Subject, state: State, routing: Routing, signal?: AbortSignal): Promise<State> {
  const line = routeLine(state, routing);
  if (line !== undefined) await change(line, signal);
  const deadlineMs = performance.now() + routedWithinMs;
  let fault: unknown;
  while (performance.now() < deadlineMs) {
    const now = await look(subject, signal).catch((cause) => {
      signal?.throwIfAborted();
      fault = cause; // the API server may be away for a moment
      return undefined;
    });
    if (now?.isRouted && hasRouting(now, routing)) return now;
    await sleep(lookAgainMs);
    signal?.throwIfAborted();
  }
  const seen = fault instanceof Error ? fault.message : 'another';
  throw new KnError(
    `Expected the new routing of ${subject.service} within ${routedWithinMs / 1000} s but received ${seen}`,
  );
}

/**
 * Makes a candidate, without traffic, and gives it its tag as soon as it is ready.
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
  if (make === undefined) {
    const newest = state.revisions[0];
    if (newest?.isReady !== true) throw notReady(newest?.name, newest?.reason || undefined);
    await route(subject, state, tagged(newest.name), signal);
    return newest.name;
  }
  const deadlineMs = performance.now() + waitSeconds * 1000;
  const fault = await change(make, signal).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  signal?.throwIfAborted();
  const isNew = ({ name }: Revision) => state.revisions.every((known) => known.name !== name);
  let now = await look(subject, signal);
  let made = now.revisions.find(isNew);
  while (made !== undefined && mayBecomeReady(made) && performance.now() < deadlineMs) {
    await sleep(lookAgainMs);
    now = await look(subject, signal);
    made = now.revisions.find(isNew);
  }
  if (made === undefined) throw fault ?? new CandidateError('Expected a new revision but received none');
  if (made.isReady !== true) throw notReady(made.name, made.reason || (fault as Error | undefined)?.message);
  await route(subject, now, tagged(made.name), signal);
  return made.name;
}

/** kn gives up at the first bad word; a node may be on its way, or an old pod on its way out, and kn's connection may be lost. */
function mayBecomeReady({ isReady, reason }: Revision): boolean {
  return isReady === null || (isReady === false && reason.startsWith('Unschedulable'));
}

function notReady(name = 'a revision', reason = 'no word of it'): CandidateError {
  return new CandidateError(`Expected ${name} to become ready but received ${reason}`);
}

/** Takes the last step back and tells who serves now. */
export async function rollback(subject: Subject): Promise<string> {
  const state = await look(subject);
  const routing = planRollback(state);
  const now = await route(subject, state, routing);
  const current = currentOf(now);
  await cleanUp(now, current);
  return current;
}

/**
 * Gives all traffic back to who had it before `candidate` came, and leaves nothing of the candidate behind but its revision,
 * or not even that where it never became ready.
 * @throws StateError where somebody else has moved the traffic meanwhile: then it stays as it is
 */
export async function takeBack(subject: Subject, before: Before, candidate: string | undefined): Promise<void> {
  const state = await look(subject);
  const serves = currentOf(state);
  if (serves !== before.current && serves !== candidate) {
    throw new StateError(
      `Expected ${before.current} to serve but received ${serves}: somebody else has moved the traffic`,
    );
  }
  const isAside = shareOf(state, before.current) === 100 && taggedOf(state, 'candidate') === undefined;
  const { current, previous } = before;
  const isThere = state.revisions.some(({ name }) => name === previous);
  const tagged = { current, ...(previous !== undefined && isThere && { previous }) };
  await cleanUp(isAside ? state : await route(subject, state, { shares: { [current]: 100 }, tagged }), current);
}

/** Makes the template what serves, so that whoever changes it next begins from there, and ends a revision that never began. */
async function cleanUp(state: State, current: string): Promise<void> {
  const restore = templateLine(state, current);
  const removal = deleteLine(state, unneeded(state));
  if (restore !== undefined) await change(restore);
  // Only behind a newer revision: Knative makes the newest one again.
  if (restore !== undefined && removal !== undefined) await change(removal);
}
