/** What a Service is made from, as far as a release changes it. */
export interface Recipe {
  readonly image: string;
  /** Variables with a literal value; those from a ConfigMap or Secret stay as they are. */
  readonly env: Readonly<Record<string, string>>;
}

/** One revision in the cluster. */
export interface Revision extends Recipe {
  readonly name: string;
  /** `false` once Knative has given it up, `null` while it starts. */
  readonly isReady: boolean | null;
  /** Why it is not ready, in Knative's words; empty where it is. */
  readonly reason: string;
}

/** One entry of the Service's traffic: a revision may have several, one per tag. */
export interface Target {
  readonly revision: string;
  readonly percent: number;
  /** Empty where it has none. */
  readonly tag: string;
  /** Whether the entry follows the newest ready revision instead of naming one. */
  readonly isLatest: boolean;
}

/** All that the verbs decide by. It is read from the cluster each time and stored nowhere else. */
export interface State {
  readonly service: string;
  readonly namespace: string;
  /** What the next revision would be made from. */
  readonly template: Recipe;
  /** As requested; the gateway follows when `isRouted`. */
  readonly traffic: readonly Target[];
  readonly isRouted: boolean;
  /** The newest first. */
  readonly revisions: readonly Revision[];
}

/** The tags that this program sets. */
export const tags = ['current', 'previous', 'candidate'] as const;
export type Tag = (typeof tags)[number];

/** The Service is in no state that the verb can begin from; the message says what is missing. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

interface Container {
  readonly image: string;
  readonly ports?: readonly unknown[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
}

interface Status {
  readonly observedGeneration?: number;
  readonly latestReadyRevisionName?: string;
  readonly conditions?: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason?: string;
    readonly message?: string;
  }[];
}

/** The part of `kn service describe -o json` that is read. */
export interface ServiceJson {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly generation: number };
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly Container[] } };
    readonly traffic?: readonly {
      readonly revisionName?: string;
      readonly latestRevision?: boolean;
      readonly percent?: number;
      readonly tag?: string;
    }[];
  };
  readonly status?: Status;
}

interface RevisionJson {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: { readonly containers: readonly Container[] };
  readonly status?: Status;
}

/** The part of `kn revision list -o json` that is read. */
export interface RevisionsJson {
  readonly items?: readonly RevisionJson[];
}

/** Combines the two answers of kn. */
export function readState({ metadata, spec, status }: ServiceJson, { items = [] }: RevisionsJson): State {
  const generationOf = ({ metadata: { labels } }: RevisionJson) =>
    Number(labels?.['serving.knative.dev/configurationGeneration'] ?? 0);
  return {
    service: metadata.name,
    namespace: metadata.namespace,
    template: recipeOf(spec.template.spec.containers),
    traffic: (spec.traffic ?? []).map(({ revisionName, latestRevision = false, percent = 0, tag = '' }) => ({
      revision: latestRevision ? (status?.latestReadyRevisionName ?? '') : (revisionName ?? ''),
      percent,
      tag,
      isLatest: latestRevision,
    })),
    isRouted:
      status?.observedGeneration === metadata.generation && conditionOf(status, 'RoutesReady')?.status === 'True',
    revisions: items.toSorted((one, other) => generationOf(other) - generationOf(one)).map(readRevision),
  };
}

function readRevision({ metadata, spec, status }: RevisionJson): Revision {
  const ready = conditionOf(status, 'Ready');
  const container = conditionOf(status, 'ContainerHealthy');
  // The container's last words, where it has any, say more than that time is over.
  const { reason, message } = (container?.status === 'False' ? container : ready) ?? {};
  return {
    name: metadata.name,
    ...recipeOf(spec.containers),
    isReady: ready?.status === 'True' ? true : ready?.status === 'False' ? false : null,
    reason: ready?.status === 'True' ? '' : [reason, message].filter(Boolean).join(': '),
  };
}

function conditionOf(status: Status | undefined, type: string) {
  return status?.conditions?.find((condition) => condition.type === type);
}

function recipeOf(containers: readonly Container[]): Recipe {
  // Only the container that serves has a port.
  const { image = '', env = [] } = containers.find(({ ports }) => ports !== undefined) ?? containers[0] ?? {};
  const plain = env.filter(({ valueFrom }) => valueFrom === undefined);
  return { image, env: Object.fromEntries(plain.map(({ name, value = '' }) => [name, value])) };
}

/** The revision with the tag. */
export function taggedOf({ traffic }: State, tag: Tag): string | undefined {
  return traffic.find((target) => target.tag === tag)?.revision;
}

/** Percent of the traffic that a revision is meant to get. */
export function shareOf({ traffic }: State, revision: string): number {
  return traffic.filter((target) => target.revision === revision).reduce((sum, { percent }) => sum + percent, 0);
}

/** The revisions with traffic. */
export function servingOf(state: State): readonly string[] {
  return [...new Set(state.traffic.map(({ revision }) => revision))].filter((name) => shareOf(state, name) > 0);
}

/**
 * The revision that serves: among those with traffic and without the tag `candidate` the one tagged `current`, else the one
 * with the largest share. A tag on a revision without traffic does not count.
 */
export function currentOf(state: State): string {
  const candidate = taggedOf(state, 'candidate');
  const tagged = taggedOf(state, 'current');
  const serving = servingOf(state)
    .filter((revision) => revision !== candidate)
    .toSorted((one, other) => shareOf(state, other) - shareOf(state, one));
  const current = tagged !== undefined && serving.includes(tagged) ? tagged : (serving[0] ?? tagged);
  if (current) return current;
  throw new StateError(`Expected a revision with traffic for ${state.service} but received none`);
}

/** The revision of that name. @throws StateError where the cluster has none */
export function revisionOf(state: State, name: string): Revision {
  const found = state.revisions.find((revision) => revision.name === name);
  if (found !== undefined) return found;
  throw new StateError(`Expected revision ${name} of ${state.service} but received none of that name`);
}

/** The revision tagged `candidate`. @throws StateError where there is none */
export function candidateOf(state: State): string {
  const candidate = taggedOf(state, 'candidate');
  if (candidate) return candidate;
  throw new StateError(`Expected a revision tagged candidate for ${state.service} but received none: deploy one first`);
}
