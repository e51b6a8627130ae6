import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Labels, Manifest } from './manifests.ts';
import { load, loadAll } from './yaml.ts';

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
  readonly patches?: readonly { readonly target: Target; readonly patch: string }[];
}

interface Target {
  readonly group: string;
  readonly kind: string;
  /** An expression for whole names. */
  readonly name: string;
}

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value: unknown;
}

/**
 * Renders a folder as `kubectl kustomize` does, without kubectl and without the hash in a ConfigMap's name. It supports only
 * what our kustomizations use; where kubectl is installed, a test compares the two.
 */
export function readOverlay(folder: string): readonly Manifest[] {
  return build(folder, []);
}

/** What a kustomization makes, of the objects before it where it is a component. */
function build(folder: string, before: readonly Manifest[]): readonly Manifest[] {
  const {
    namespace,
    resources = [],
    components = [],
    configMapGenerator = [],
    images = [],
    patches = [],
  } = readKustomization(folder);
  const own = [
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
  let objects: readonly Manifest[] = [...before, ...own];
  for (const component of components) objects = build(join(folder, component), objects);
  for (const { target, patch } of patches) applyPatch(objects, target, patch);
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

/** @throws Error where nothing is patched, which kustomize passes over */
function applyPatch(objects: readonly Manifest[], target: Target, patch: string): void {
  const name = new RegExp(`^(?:${target.name})$`);
  const patched = objects.filter(
    ({ apiVersion, kind, metadata }) =>
      apiVersion.startsWith(`${target.group}/`) && kind === target.kind && name.test(metadata.name),
  );
  if (patched.length === 0) throw new Error(`Expected ${target.kind} ${target.name} for a patch but received none`);
  for (const object of patched) {
    const changes = load(patch) as object | readonly Operation[];
    if (Array.isArray(changes)) for (const operation of changes) operate(object, operation);
    else merge(object as unknown as Tree, changes as Tree);
  }
}

function readKustomization(folder: string): Kustomization {
  return load(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')) as Kustomization;
}

/** One operation of a JSON Patch. @throws Error where it replaces or removes what is not there, or is another one */
function operate(object: object, { op, path, value }: Operation): void {
  const keys = path.split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop() as string;
  const parent = keys.slice(1).reduce<unknown>((part, key) => (part as Record<string, unknown>)?.[key], object);
  const isThere = parent instanceof Object && last in parent;
  if (!(parent instanceof Object) || !['add', 'replace', 'remove'].includes(op) || (op !== 'add' && !isThere)) {
    throw new Error(`Expected "add", or "replace" or "remove" of what is there, for ${path} but received "${op}"`);
  }
  if (op === 'remove') delete (parent as Tree)[last];
  else if (Array.isArray(parent) && last === '-') parent.push(value);
  else Object.assign(parent, { [last]: value });
}

type Tree = Record<string, unknown>;

/** A strategic merge: maps by key, lists by name. */
function merge(object: Tree, patch: Tree): void {
  for (const [key, value] of Object.entries(patch)) {
    const known = object[key];
    if (Array.isArray(value) && Array.isArray(known)) object[key] = mergeNamed(known, value);
    else if (value instanceof Object && known instanceof Object) merge(known as Tree, value as Tree);
    else object[key] = value;
  }
}

/** Named items come first, those with `$patch: delete` go. @throws Error for an unknown name */
function mergeNamed(known: readonly Tree[], changed: readonly Tree[]): readonly Tree[] {
  const named = changed.map((one) => {
    const found = known.find(({ name }) => name === one.name);
    if (found === undefined) throw new Error(`Expected ${one.name} for a patch but received none of that name`);
    merge(found, one);
    return found;
  });
  return [...named.filter(({ $patch }) => $patch !== 'delete'), ...known.filter((one) => !named.includes(one))];
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

/** Renders a folder with the real program. @throws its stderr */
export async function buildOverlay([file, ...args]: Kustomize, folder: string): Promise<readonly Manifest[]> {
  const { stdout } = await promisify(execFile)(file, [...args, folder], { maxBuffer: 10_000_000 });
  return loadAll(stdout) as Manifest[];
}
