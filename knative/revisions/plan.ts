import {
  candidateOf,
  currentOf,
  type Recipe,
  revisionOf,
  type State,
  StateError,
  shareOf,
  type Tag,
  taggedOf,
  tags,
} from './state.ts';

/** Traffic as it should be: percentages that sum to 100, and the revisions with our tags. Other tags stay. */
export interface Routing {
  readonly shares: Readonly<Record<string, number>>;
  readonly tagged: Readonly<Partial<Record<Tag, string>>>;
}

/** What a new revision changes of the one that serves. */
export interface Change {
  readonly image?: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The arguments of one call of kn. */
export type Line = readonly string[];

/** How a candidate comes in: two calls, since its name is known and it is ready only after the first. */
export interface Deployment {
  /** Makes the revision and holds the traffic where it is; undefined where the newest revision is taken as it is. */
  readonly make: Line | undefined;
  /** The routing that gives it its tag. */
  readonly tagged: (candidate: string) => Routing;
}

/**
 * A new revision: the one that serves, and the change. Nothing of an earlier candidate stays in it. Without a change the
 * newest revision is taken as it is.
 * @throws StateError where that one serves already
 */
export function planDeployment(state: State, change: Change, waitSeconds: number): Deployment {
  const current = currentOf(state);
  const held = { shares: { [current]: 100 }, tagged: keep(state, { current }) };
  const tagged = (candidate: string) => ({ ...held, tagged: { ...held.tagged, candidate } });
  if (change.image === undefined && Object.keys(change.env).length === 0) {
    if (state.revisions[0]?.name === current) {
      throw new StateError(
        `Expected --image or --env for deploy but received neither, and the newest revision, ${current}, serves already`,
      );
    }
    return { make: undefined, tagged };
  }
  const serving = revisionOf(state, current);
  const wanted = { image: change.image ?? serving.image, env: { ...serving.env, ...change.env } };
  // Named even where it is the same: kn would otherwise take the one of the newest revision.
  const recipe = ['--image', wanted.image, ...environment(state.template, wanted)];
  const make = [...update(state), ...recipe, ...difference(state, held), '--wait-timeout', String(waitSeconds)];
  return { make, tagged };
}

/** Gives the candidate so many percent of the traffic. */
export function planCanary(state: State, percent: number): Routing {
  const [candidate, current] = [readyCandidateOf(state), currentOf(state)];
  return { shares: { [candidate]: percent, [current]: 100 - percent }, tagged: keep(state, { candidate, current }) };
}

/** Gives the candidate all traffic; the revision that served becomes `previous`. */
export function planPromotion(state: State): Routing {
  const [candidate, current] = [readyCandidateOf(state), currentOf(state)];
  return { shares: { [candidate]: 100 }, tagged: { current: candidate, previous: current } };
}

/** Takes the last step back: drops a candidate; without one, the previous revision serves again. */
export function planRollback(state: State): Routing {
  const current = currentOf(state);
  const previous = taggedOf(state, 'previous');
  if (taggedOf(state, 'candidate') !== undefined || shareOf(state, current) < 100) {
    return { shares: { [current]: 100 }, tagged: keep(state, { current }) };
  }
  if (previous) return { shares: { [previous]: 100 }, tagged: { current: previous } };
  throw new StateError(
    `Expected a revision tagged candidate or previous for ${state.service} but received neither: nothing to go back to`,
  );
}

/** The call that leads to the routing; undefined where it is in place. */
export function routeLine(state: State, routing: Routing): Line | undefined {
  const changes = difference(state, routing);
  // kn would also wait for the newest revision, which may be the broken one that loses its traffic.
  return changes.length === 0 ? undefined : [...update(state), ...changes, '--no-wait'];
}

/** Whether the Service asks for that routing. */
export function hasRouting(state: State, routing: Routing): boolean {
  return difference(state, routing).length === 0;
}

/** The call that makes the template equal to that revision; undefined where it is. */
export function templateLine(state: State, revision: string): Line | undefined {
  const wanted = revisionOf(state, revision);
  const image = state.template.image === wanted.image ? [] : ['--image', wanted.image];
  const changes = [...image, ...environment(state.template, wanted)];
  return changes.length === 0 ? undefined : [...update(state), ...changes, '--no-wait'];
}

/** The call that deletes the newest revision, where it never became ready and nothing refers to it: its pod would restart forever. */
export function removalLine({ namespace, traffic, revisions: [newest] }: State): Line | undefined {
  if (newest === undefined || newest.isReady === true) return undefined;
  if (traffic.some(({ revision }) => revision === newest.name)) return undefined;
  return ['revision', 'delete', newest.name, '--namespace', namespace];
}

/** @throws StateError where it is not ready: the gateway would wait for it and keep the traffic where it is */
function readyCandidateOf(state: State): string {
  const candidate = revisionOf(state, candidateOf(state));
  if (candidate.isReady) return candidate.name;
  throw new StateError(
    `Expected ${candidate.name} to be ready but received ${candidate.reason || 'no word of it yet'}`,
  );
}

function update({ service, namespace }: State): Line {
  return ['service', 'update', service, '--namespace', namespace];
}

/** The named tags, and the previous revision's. */
function keep(state: State, named: Routing['tagged']): Routing['tagged'] {
  const previous = taggedOf(state, 'previous');
  return { ...(previous !== undefined && { previous }), ...named };
}

/** The arguments that lead to the routing, none where there is nothing to change. */
function difference(state: State, { shares, tagged }: Routing): Line {
  const changes: string[] = [];
  const names = new Set([...Object.keys(shares), ...state.traffic.map(({ revision }) => revision)]);
  // Also where the newest revision happens to be the right one: the traffic must not follow the next one.
  const isPinned = state.traffic.every(({ isLatest, percent }) => !isLatest || percent === 0);
  if (!isPinned || [...names].some((name) => shareOf(state, name) !== (shares[name] ?? 0))) {
    const parts = Object.entries(shares).map(([name, percent]) => `${name}=${percent}`);
    changes.push('--traffic', parts.join(','));
  }
  const holderOf = (tag: Tag) => state.traffic.find((target) => target.tag === tag);
  const moved = tags.filter((tag) => holderOf(tag)?.revision !== tagged[tag] || holderOf(tag)?.isLatest === true);
  const taken = moved.filter((tag) => holderOf(tag) !== undefined);
  const given = moved.filter((tag) => tagged[tag] !== undefined);
  if (taken.length > 0) changes.push('--untag', taken.join(','));
  if (given.length > 0) changes.push('--tag', given.map((tag) => `${tagged[tag]}=${tag}`).join(','));
  return changes;
}

/** The arguments that turn the variables of one recipe into those of another. */
function environment(from: Recipe, to: Recipe): Line {
  const set = Object.entries(to.env).filter(([name, value]) => from.env[name] !== value);
  const removed = Object.keys(from.env).filter((name) => to.env[name] === undefined);
  const changes = [...set.map(([name, value]) => `${name}=${value}`), ...removed.map((name) => `${name}-`)];
  return changes.flatMap((one) => ['--env', one]);
}
