import { readOverlay } from './kustomize.ts';

/** A Kubernetes object, as far as it is looked at. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata & { readonly name: string; namespace?: string };
  /** Of a ConfigMap. */
  readonly data?: Labels;
  readonly spec: {
    readonly replicas?: number;
    /** Of a HorizontalPodAutoscaler, as what follows. */
    readonly minReplicas?: number;
    readonly maxReplicas?: number;
    readonly scaleTargetRef?: { readonly apiVersion: string; readonly kind: string; readonly name: string };
    /** Of a PodDisruptionBudget. */
    readonly maxUnavailable?: number;
    readonly template: { readonly metadata: Metadata; readonly spec: PodSpec };
    readonly ports?: readonly { readonly name: string; readonly port: number; readonly targetPort: string }[];
    readonly selector: Labels & { readonly matchLabels: Labels };
    readonly podSelector: { readonly matchLabels: Labels };
    readonly ingress: readonly TrafficRule[];
    readonly egress: readonly TrafficRule[];
  };
}

/** What a NetworkPolicy lets through. */
export interface TrafficRule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly port: number; readonly protocol?: string }[];
}

interface Peer {
  readonly podSelector?: { readonly matchLabels: Labels };
}

export type Labels = Readonly<Record<string, string>>;

interface Metadata {
  readonly labels?: Labels;
  readonly annotations?: Labels;
}

export interface PodSpec {
  readonly containers: Container[];
  readonly volumes: readonly {
    readonly name: string;
    readonly emptyDir?: { readonly medium?: string; readonly sizeLimit?: string };
    readonly configMap?: { readonly name: string };
  }[];
  readonly automountServiceAccountToken?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly containerConcurrency?: number;
  readonly responseStartTimeoutSeconds?: number;
  readonly timeoutSeconds?: number;
}

export interface Container {
  readonly name: string;
  image: string;
  readonly ports: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[];
  readonly resources: { readonly requests: Labels; readonly limits: Labels };
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
  readonly securityContext: object;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
}

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port?: number | string };
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly failureThreshold?: number;
}

/** With Knative; `kubernetes` is without. */
export const overlays = ['development', 'production', 'gke'] as const;
export const folderOf = (overlay: string) => `knative/overlays/${overlay}`;

/** The objects of an overlay, and those that have pods. */
export interface Rendered {
  find(kind: string, name: string): Manifest;
  readonly all: readonly Manifest[];
  readonly pods: readonly Manifest[];
  readonly primary: Manifest;
  readonly fallback: Manifest;
  readonly clouds: Manifest;
  readonly digits: Manifest;
  readonly ingress: Manifest;
}

export function render(overlay: string): Rendered {
  const all = readOverlay(folderOf(overlay));
  const find = (kind: string, name: string): Manifest => {
    const found = all.find((object) => object.kind === kind && object.metadata.name === name);
    if (found === undefined) throw new Error(`Expected ${kind} ${name} in ${overlay} but received none`);
    return found;
  };
  const kind = all.some(isKnative) ? 'Service' : 'Deployment';
  const primary = find(kind, 'classify-primary');
  const fallback = find(kind, 'classify-fallback');
  const [clouds, digits] = [find(kind, 'clouds'), find(kind, 'digits')];
  const ingress = find('Deployment', 'ingress');
  const pods = [primary, fallback, clouds, digits, ingress];
  return { all, find, primary, fallback, clouds, digits, ingress, pods };
}

export const isKnative = ({ apiVersion }: Manifest) => apiVersion.startsWith('serving.knative.dev/');
export const podOf = ({ spec }: Manifest) => spec.template.spec;
export const containerOf = (object: Manifest) => podOf(object).containers[0] as Container;

/** The value of an annotation `autoscaling.knative.dev/NAME`. */
export const knob = (object: Manifest, name: string): string | undefined =>
  object.spec.template.metadata.annotations?.[`autoscaling.knative.dev/${name}`];
export const count = (object: Manifest, name: string): number => Number(knob(object, name));

/** A container's variables as its process sees them. */
export function environment(object: Manifest): Record<string, string> {
  const known: Record<string, string> = {};
  for (const { name, value, valueFrom } of containerOf(object).env) {
    const text = valueFrom === undefined ? value : object.metadata.namespace; // the only field that is referenced
    known[name] = String(text).replace(/\$\(([A-Z_]+)\)/g, (reference, other: string) => known[other] ?? reference);
  }
  return known;
}

/** Bytes of a quantity such as `512Mi`. @throws Error for any other unit */
export function bytesOf(quantity: string): number {
  const [, number, unit] = /^(\d+)(Ki|Mi|Gi)$/.exec(quantity) ?? [];
  if (number === undefined) throw new Error(`Expected a quantity in Ki, Mi or Gi but received "${quantity}"`);
  return Number(number) * 1024 ** (['Ki', 'Mi', 'Gi'].indexOf(unit as string) + 1);
}
