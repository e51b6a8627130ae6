import {
  candidateOf,
  currentOf,
  type Recipe,
  revisionOf,
  type State,
  StateError,
  shareOf,
  type Tag,
  type Target,
  taggedOf,
  tags,
} from './state.ts';

/** How the traffic is to be: percentages that sum to 100, and who has which of our tags. Other tags stay as they are. */
export interface Routing {
  readonly shares: Readonly<Record<string, number>>;
  readonly tagged: Readonly<Partial<Record<Tag, string>>>;
}

/** What of a new revision is asked for; what is not, is as in the revision that serves. */
export interface Change {
  readonly image?: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The arguments of one call of kn. */
export type Line = readonly string[];

/** How a candidate is brought in: two calls, since its name is known and it is ready only after the first. */
export interface Deployment {
  /** Makes the revision and holds the traffic where it is; undefined where the newest revision is taken as it is. */
  readonly make: Line | undefined;
  /** What holds once it is made. */
  readonly held: Routing;
  /** Gives it its tag, as the second step. */
  readonly tagged: (candidate: string) => Routing;
}

/**
 * A new revision: what serves now, and the change. Nothing of an earlier candidate stays in it.
 * Without a change the newest revision is taken, as somebody applied it.
 * @throws StateError where the newest revision serves already
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
    return { make: undefined, held, tagged };
  }
  const serving = revisionOf(state, current);
  const wanted = { image: change.image ?? serving.image, env: { ...serving.env, ...change.env } };
  // Named even where it is the same: kn would otherwise take the one of the newest revision.
  const recipe = ['--image', wanted.image, ...environment(state.template, wanted)];
  const make = [...update(state), ...recipe, ...difference(state, held), '--wait-timeout', String(waitSeconds)];
  return { make, held, tagged };
}

/** So many percent of the traffic to the candidate. */
export function planCanary(state: State, percent: number): Routing {
  const [candidate, current] = [readyCandidateOf(state), currentOf(state)];
  return { shares: { [candidate]: percent, [current]: 100 - percent }, tagged: keep(state, { candidate, current }) };
}

/** All traffic to the candidate; who served is remembered as previous. */
export function planPromotion(state: State): Routing {
  const [candidate, current] = [readyCandidateOf(state), currentOf(state)];
  return { shares: { [candidate]: 100 }, tagged: { current: candidate, previous: current } };
}

/** Takes the last step back: a candidate is dropped, and where there is none, the previous revision serves again. */
export function planRollback(state: State): Routing {
  const current = currentOf(state);
  const previous = taggedOf(state, 'previous');
  if (taggedOf(state, 'candidate') !== undefined || shareOf(state, current) < 100) {
    return { shares: { [current]: 100 }, tagged: { current, ...(previous !== undefined && { previous }) } };
  }
  if (previous === undefined || previous === '') {
    throw new StateError(
      `Expected a revision tagged candidate or previous for ${state.service} but received neither: nothing to go back to`,
    );
  }
  return { shares: { [previous]: 100 }, tagged: { current: previous } };
}

/** The call that brings the routing about; undefined where it is so already. */
export function routeLine(state: State, routing: Routing): Line | undefined {
  const changes = difference(state, routing);
  // Without waiting: kn would wait for the newest revision as well, which may be the broken one that loses its traffic.
  return changes.length === 0 ? undefined : [...update(state), ...changes, '--no-wait'];
}

/** The call that makes the template what that revision was made from, for whoever changes it next; undefined where it is. */
export function templateLine(state: State, revision: string): Line | undefined {
  const wanted = revisionOf(state, revision);
  const changes = [
    ...(state.template.image === wanted.image ? [] : ['--image', wanted.image]),
    ...environment(state.template, wanted),
  ];
  return changes.length === 0 ? undefined : [...update(state), ...changes, '--no-wait'];
}

/** The call that deletes revisions; undefined where there are none. */
export function deleteLine({ namespace }: State, revisions: readonly string[]): Line | undefined {
  return revisions.length === 0 ? undefined : ['revision', 'delete', ...revisions, '--namespace', namespace];
}

/**
 * The revisions that nothing needs: none with traffic or any tag, so never the previous one, and not the newest, which
 * Knative would make again.
 */
export function prunable({ traffic, revisions }: State): readonly string[] {
  const needed = new Set(traffic.map(({ revision }) => revision));
  return revisions
    .slice(1)
    .map(({ name }) => name)
    .filter((name) => !needed.has(name));
}

/** The newest revision, where it never became ready and nothing refers to it: its pod would begin again and again. */
export function unneeded({ traffic, revisions }: State): readonly string[] {
  return revisions
    .slice(0, 1)
    .filter(({ name, isReady }) => isReady !== true && traffic.every(({ revision }) => revision !== name))
    .map(({ name }) => name);
}

/** The state as it is to be after a call of `routeLine`: what a dry run goes on from. */
export function afterRouting(state: State, { shares, tagged }: Routing): State {
  const entries = tags.flatMap((tag) => (tagged[tag] === undefined ? [] : [[tagged[tag], tag] as const]));
  const others = state.traffic.filter(({ tag }) => tag !== '' && !(tags as readonly string[]).includes(tag));
  const rest = Object.entries(shares);
  const traffic: Target[] = others.map((target) => ({ ...target, percent: 0 }));
  for (const [revision, tag] of entries) traffic.push({ revision, tag, percent: 0, isLatest: false });
  for (const [revision, percent] of rest) {
    const at = traffic.findIndex((target) => target.revision === revision);
    if (at === -1) traffic.push({ revision, tag: '', percent, isLatest: false });
    else traffic[at] = { ...(traffic[at] as Target), percent };
  }
  return { ...state, traffic, isRouted: true };
}

/** Whether the Service asks for that routing. */
export function hasRouting(state: State, routing: Routing): boolean {
  return difference(state, routing).length === 0;
}

/** @throws StateError where it is not ready: the gateway would wait for it and leave the traffic as it is */
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

/** The previous revision stays remembered; besides it only who is named has a tag. */
function keep(state: State, named: Routing['tagged']): Routing['tagged'] {
  const previous = taggedOf(state, 'previous');
  return { ...(previous !== undefined && { previous }), ...named };
}

/** The arguments that lead to the routing, none where there is nothing to change. */
function difference(state: State, { shares, tagged }: Routing): Line {
  const changes: string[] = [];
  const names = new Set([...Object.keys(shares), ...state.traffic.map(({ revision }) => revision)]);
  // Also where the newest revision happens to be the one that is meant: it must not follow the next one.
  const isPinned = state.traffic.every(({ isLatest, percent }) => !isLatest || percent === 0);
  if (!isPinned || [...names].some((name) => shareOf(state, name) !== (shares[name] ?? 0))) {
    const parts = Object.entries(shares).map(([name, percent]) => `${name}=${percent}`);
    changes.push('--traffic', parts.join(','));
  }
  const moved = tags.filter((tag) => {
    const holder = state.traffic.find((target) => target.tag === tag);
    return holder?.revision !== tagged[tag] || holder?.isLatest === true;
  });
  const taken = moved.filter((tag) => state.traffic.some((target) => target.tag === tag));
  const given = moved.filter((tag) => tagged[tag] !== undefined);
  if (taken.length > 0) changes.push('--untag', taken.join(','));
  if (given.length > 0) changes.push('--tag', given.map((tag) => `${tagged[tag]}=${tag}`).join(','));
  return changes;
}

/** The arguments that turn the variables of one recipe into those of another. */
function environment(from: Recipe, to: Recipe): Line {
  const set = Object.entries(to.env).filter(([name, value]) => from.env[name] !== value);
  const removed = Object.keys(from.env).filter((name) => to.env[name] === undefined);
  return [...set.map(([name, value]) => `${name}=${value}`), ...removed.map((name) => `${name}-`)].flatMap((one) => [
    '--env',
    one,
  ]);
}
