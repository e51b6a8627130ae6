/** What a Service is made from, as far as a release changes it. */
export interface Recipe {
  readonly image: string;
  /** Variables with a value of their own; those taken from a ConfigMap or Secret are left alone. */
  readonly env: Readonly<Record<string, string>>;
}

/** One revision, as the cluster tells of it. */
export interface Revision extends Recipe {
  readonly name: string;
  /** `false` once the platform has given it up, `null` while it starts. */
  readonly isReady: boolean | null;
  /** Why it is not ready, in the platform's words; empty where it is. */
  readonly reason: string;
  readonly pods: number;
  readonly createdAt: string;
}

/** One entry of the Service's traffic: a revision may have several, one a tag. */
export interface Target {
  readonly revision: string;
  readonly percent: number;
  /** Empty where it has none. */
  readonly tag: string;
  /** Whether the entry follows the newest ready revision instead of naming one. */
  readonly isLatest: boolean;
}

/** Everything that the verbs decide by: it is read from the cluster each time and kept nowhere else. */
export interface State {
  readonly service: string;
  readonly namespace: string;
  /** What the next revision would be made from. */
  readonly template: Recipe;
  /** As asked for; the gateway follows when `isRouted`. */
  readonly traffic: readonly Target[];
  readonly isRouted: boolean;
  /** The newest first. */
  readonly revisions: readonly Revision[];
}

/** The three tags of this program. */
export const tags = ['current', 'previous', 'candidate'] as const;
export type Tag = (typeof tags)[number];

/** The Service is not in a state that the verb can begin from; the message says what is missing. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

interface Container {
  readonly image: string;
  readonly ports?: readonly unknown[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
}

interface Status {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
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
  readonly status?: Status & { readonly latestReadyRevisionName?: string };
}

/** The part of `kn revision list -o json` that is read. */
export interface RevisionsJson {
  readonly items?: readonly {
    readonly metadata: {
      readonly name: string;
      readonly creationTimestamp: string;
      readonly labels?: Readonly<Record<string, string>>;
    };
    readonly spec: { readonly containers: readonly Container[] };
    readonly status?: Status & { readonly actualReplicas?: number };
  }[];
}

const generationLabel = 'serving.knative.dev/configurationGeneration';

/** Puts together what two answers of kn tell. */
export function readState(service: ServiceJson, revisions: RevisionsJson): State {
  const { metadata, spec, status } = service;
  const items = revisions.items ?? [];
  const generationOf = ({ metadata: { labels } }: (typeof items)[number]) => Number(labels?.[generationLabel] ?? 0);
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
    revisions: items
      .toSorted((one, other) => generationOf(other) - generationOf(one))
      .map(({ metadata, spec, status }) => {
        const ready = conditionOf(status, 'Ready');
        const container = conditionOf(status, 'ContainerHealthy');
        // The container's last words, where it has any, tell more than that time is over.
        const { reason, message } = (container?.status === 'False' ? container : ready) ?? {};
        return {
          name: metadata.name,
          ...recipeOf(spec.containers),
          isReady: ready?.status === 'True' ? true : ready?.status === 'False' ? false : null,
          reason: ready?.status === 'True' ? '' : [reason, message].filter(Boolean).join(': '),
          pods: status?.actualReplicas ?? 0,
          createdAt: metadata.creationTimestamp,
        };
      }),
  };
}

function conditionOf(status: Status | undefined, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

function recipeOf(containers: readonly Container[]): Recipe {
  // The one that serves: the others of a pod must have no port.
  const { image = '', env = [] } = containers.find(({ ports }) => ports !== undefined) ?? containers[0] ?? {};
  const plain = env.filter(({ valueFrom }) => valueFrom === undefined);
  return { image, env: Object.fromEntries(plain.map(({ name, value = '' }) => [name, value])) };
}

/** The revision that has the tag. */
export function taggedOf({ traffic }: State, tag: Tag): string | undefined {
  return traffic.find((target) => target.tag === tag)?.revision;
}

/** Percent of the traffic that a revision is meant to get. */
export function shareOf({ traffic }: State, revision: string): number {
  return traffic.filter((target) => target.revision === revision).reduce((sum, { percent }) => sum + percent, 0);
}

/**
 * The revision that serves: of those with traffic and without the tag `candidate` the one tagged `current`, else the one with most.
 * A tag that somebody left behind on a revision without traffic does not count.
 */
export function currentOf(state: State): string {
  const candidate = taggedOf(state, 'candidate');
  const tagged = taggedOf(state, 'current');
  const serving = [...new Set(state.traffic.map(({ revision }) => revision))]
    .filter((revision) => revision !== candidate && shareOf(state, revision) > 0)
    .toSorted((one, other) => shareOf(state, other) - shareOf(state, one));
  const current = tagged !== undefined && serving.includes(tagged) ? tagged : (serving[0] ?? tagged);
  if (current === undefined || current === '') {
    throw new StateError(`Expected a revision with traffic for ${state.service} but received none`);
  }
  return current;
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
  if (candidate !== undefined && candidate !== '') return candidate;
  throw new StateError(`Expected a revision tagged candidate for ${state.service} but received none: deploy one first`);
}
