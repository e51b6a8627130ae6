import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';

// As CommonJS: it has no types of its own.
const { load, loadAll } = createRequire(import.meta.url)('js-yaml') as {
  load(text: string): unknown;
  loadAll(text: string): unknown[];
};

/** A Kubernetes object, as far as it is looked at. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata & { readonly name: string; namespace?: string };
  /** Of a ConfigMap. */
  readonly data?: Labels;
  readonly spec: {
    readonly replicas?: number;
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

interface Kustomization {
  readonly namespace?: string;
  readonly resources?: readonly string[];
  readonly components?: readonly string[];
  readonly configMapGenerator?: readonly {
    readonly name: string;
    readonly files: readonly string[];
    readonly options: { readonly labels: Labels };
  }[];
  readonly images?: readonly {
    readonly name: string;
    readonly newName: string;
    readonly newTag?: string;
    readonly digest?: string;
  }[];
  readonly patches?: readonly {
    readonly target: { readonly kind: string; readonly name: string };
    readonly patch: string;
  }[];
}

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value: unknown;
}

/**
 * What `kubectl kustomize` makes of a folder, without kubectl and without the hash in a ConfigMap's name. It knows what our
 * kustomizations use and nothing else; where there is kubectl, a test compares the two.
 */
export function readOverlay(folder: string): readonly Manifest[] {
  const {
    namespace,
    resources = [],
    components = [],
    configMapGenerator = [],
    patches = [],
  } = readKustomization(folder);
  const images = [folder, ...components.map((component) => join(folder, component))].flatMap(
    (folder) => readKustomization(folder).images ?? [],
  );
  const objects = [
    ...resources.flatMap((resource) => {
      const path = join(folder, resource);
      return resource.endsWith('.yaml') ? (loadAll(readFileSync(path, 'utf8')) as Manifest[]) : readOverlay(path);
    }),
    ...configMapGenerator.map(({ name, files, options }) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, labels: options.labels },
      data: Object.fromEntries(files.map((file) => [file, readFileSync(join(folder, file), 'utf8')])),
    })),
  ] as Manifest[];
  for (const { target, patch } of patches) {
    const object = objects.find(({ kind, metadata }) => kind === target.kind && metadata.name === target.name);
    if (object === undefined) throw new Error(`Expected ${target.kind} ${target.name} for a patch but received none`);
    const changes = load(patch) as object | readonly Operation[];
    if (Array.isArray(changes)) for (const operation of changes) operate(object, operation);
    else merge(object as unknown as Tree, changes as Tree);
  }
  for (const { kind, metadata, spec } of objects) {
    if (namespace !== undefined) Object.assign(metadata, kind === 'Namespace' ? { name: namespace } : { namespace });
    for (const container of spec?.template?.spec.containers ?? []) {
      const image = images.find(({ name }) => name === container.image);
      if (image === undefined) continue;
      container.image = `${image.newName}${image.digest === undefined ? `:${image.newTag}` : `@${image.digest}`}`;
    }
  }
  return objects;
}

function readKustomization(folder: string): Kustomization {
  return load(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')) as Kustomization;
}

/** One operation of a JSON Patch. @throws Error where it replaces what is not there, or is neither `add` nor `replace` */
function operate(object: object, { op, path, value }: Operation): void {
  const keys = path.split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop() as string;
  const parent = keys.slice(1).reduce<unknown>((part, key) => (part as Record<string, unknown>)?.[key], object);
  const isThere = parent instanceof Object && last in parent;
  if (!(parent instanceof Object) || !['add', 'replace'].includes(op) || (op === 'replace' && !isThere)) {
    throw new Error(`Expected "add", or "replace" of what is there, for ${path} but received "${op}"`);
  }
  Object.assign(parent, { [last]: value });
}

type Tree = Record<string, unknown>;

/** A strategic merge: maps key by key, lists of what has a name by that. */
function merge(object: Tree, patch: Tree): void {
  for (const [key, value] of Object.entries(patch)) {
    const known = object[key];
    if (Array.isArray(value) && Array.isArray(known)) object[key] = mergeNamed(known, value);
    else if (value instanceof Object && known instanceof Object) merge(known as Tree, value as Tree);
    else object[key] = value;
  }
}

/** What the patch names comes first. @throws Error for a name that is not there */
function mergeNamed(known: readonly Tree[], changed: readonly Tree[]): readonly Tree[] {
  const named = changed.map((one) => {
    const found = known.find(({ name }) => name === one.name);
    if (found === undefined) throw new Error(`Expected ${one.name} for a patch but received none of that name`);
    merge(found, one);
    return found;
  });
  return [...named, ...known.filter((one) => !named.includes(one))];
}

/** A program that builds a kustomization, with the arguments before the folder. */
export type Kustomize = readonly [file: string, ...args: string[]];

/** What KUBECTL names, else the first of kubectl and kustomize in PATH. */
export async function findKustomize(env: NodeJS.ProcessEnv = process.env): Promise<Kustomize | undefined> {
  const known: readonly Kustomize[] = [
    ['kubectl', 'kustomize'],
    ['kustomize', 'build'],
  ];
  const candidates: readonly Kustomize[] = env.KUBECTL ? [[env.KUBECTL, 'kustomize']] : known;
  for (const [file, ...args] of candidates) {
    const runs = await promisify(execFile)(file, [...args, '--help'], { env }).then(
      () => true,
      () => false,
    );
    if (runs) return [file, ...args];
  }
  return undefined;
}

/** What it really makes of a folder. @throws its stderr */
export async function buildOverlay([file, ...args]: Kustomize, folder: string): Promise<readonly Manifest[]> {
  const { stdout } = await promisify(execFile)(file, [...args, folder], { maxBuffer: 10_000_000 });
  return loadAll(stdout) as Manifest[];
}

/** Every YAML file below a folder. */
export function yamlFiles(folder: string): readonly string[] {
  return (readdirSync(folder, { recursive: true }) as string[])
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => join(folder, file))
    .sort();
}

/** Lines, with their numbers, whose value holds a number that no comment explains, beside it or right above; a hash is none. */
export function unexplainedNumbers(yaml: string): readonly string[] {
  const lines = yaml.split('\n');
  return lines.flatMap((line, index) => {
    const [, value = ''] = /^\s*(?:- )?(?:[^\s:#"]+: +)?(.*)$/.exec(line) ?? [];
    const holdsNumber = /(?<![\w.])-?\d/.test(value.replace(/(?:^|\s)#.*|sha256:.*/, ''));
    const isPath = /^\s*(?:- )?path: /.test(line);
    const isExplained = /\s# \S/.test(line) || /^\s*# \S/.test(lines[index - 1] ?? '');
    return holdsNumber && !isPath && !isExplained && !/^\s*#/.test(line) ? [`${index + 1}: ${line.trim()}`] : [];
  });
}

/** Bytes of a quantity such as `512Mi`. @throws Error for any other unit */
export function bytesOf(quantity: string): number {
  const [, number, unit] = /^(\d+)(Ki|Mi|Gi)$/.exec(quantity) ?? [];
  if (number === undefined) throw new Error(`Expected a quantity in Ki, Mi or Gi but received "${quantity}"`);
  return Number(number) * 1024 ** (['Ki', 'Mi', 'Gi'].indexOf(unit as string) + 1);
}
