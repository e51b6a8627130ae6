import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { kubectl } from './command.ts';

/** A change to one of our objects. */
export interface Change {
  readonly kind: keyof typeof groups;
  readonly name: string;
  /** A merge of maps, or a list of JSON Patch operations. */
  readonly patch: object;
}

const groups = {
  Service: 'serving.knative.dev',
  Deployment: 'apps',
  HorizontalPodAutoscaler: 'autoscaling',
} as const;

/** What runs the functions. */
export type Platform = 'knative' | 'kubernetes';

/** What an overlay takes to be without Knative. */
const plainComponents = ['', '/classify', '/clouds', '/digits'].map((part) => `knative/plain${part}`);

/** Images under test, `PREFIXNAME:TAG`, on the node or in a registry that it can pull from. */
export interface Images {
  readonly prefix: string;
  readonly tag: string;
}

/** Reads IMAGE_PREFIX and IMAGE_TAG. @throws Error without a tag */
export function readImages(env: NodeJS.ProcessEnv = process.env): Images {
  if (!env.IMAGE_TAG) throw new Error('Expected the tag of the images for IMAGE_TAG but received none');
  return { prefix: env.IMAGE_PREFIX || 'local.test/understudy-', tag: env.IMAGE_TAG };
}

/** The image of one part: a function, or ingress. */
export function imageOf(part: string, { prefix, tag }: Images): string {
  return `${prefix}${part}:${tag}`;
}

/** Annotations of a Knative Service's revisions, such as `window` for `autoscaling.knative.dev/window`. */
export function scaling(name: string, knobs: Readonly<Record<string, string>>): Change {
  const annotations = Object.fromEntries(
    Object.entries(knobs).map(([knob, value]) => [`autoscaling.knative.dev/${knob}`, value]),
  );
  return { kind: 'Service', name, patch: merge(name, { template: { metadata: { annotations } } }) };
}

/** Another `containerConcurrency` of a Knative Service. */
export function concurrency(name: string, limit: number): Change {
  return { kind: 'Service', name, patch: merge(name, { template: { spec: { containerConcurrency: limit } } }) };
}

/** One more variable of a function's container, after those of the manifests. */
export function functionVariable(
  name: string,
  variable: string,
  value: string,
  kind: 'Service' | 'Deployment' = 'Service',
): Change {
  const path = '/spec/template/spec/containers/0/env/-';
  return { kind, name, patch: [{ op: 'add', path, value: { name: variable, value } }] };
}

/** One pod at most, whatever the processor does: several would share its cores. */
export function unscaled(name: string): Change {
  const patch = [{ op: 'replace', path: '/spec/maxReplicas', value: 1 }];
  return { kind: 'HorizontalPodAutoscaler', name, patch };
}

/** Variables of the ingress, in place of those of the manifests. */
export function ingressVariables(variables: Readonly<Record<string, string>>): Change {
  const env = Object.entries(variables).map(([name, value]) => ({ name, value }));
  const spec = { template: { spec: { containers: [{ name: 'ingress', env }] } } };
  return {
    kind: 'Deployment',
    name: 'ingress',
    patch: { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'ingress' }, spec },
  };
}

/** Limits per client that are never reached: one address sends for all. */
export const forOneAddress: Change = ingressVariables({ RATE: '10000', BURST: '10000', CONNECTIONS: '1000' });

function merge(name: string, spec: object): object {
  return { apiVersion: 'serving.knative.dev/v1', kind: 'Service', metadata: { name }, spec };
}

/**
 * Writes the development overlay with the images under test, in a namespace, with a test's changes. `use` gets its folder, which
 * exists as long as `use` runs.
 */
export async function withOverlay<Result>(
  { namespace, platform = 'knative' }: { readonly namespace: string; readonly platform?: Platform },
  changes: readonly Change[],
  use: (folder: string) => Promise<Result>,
): Promise<Result> {
  const images = readImages();
  mkdirSync('dist', { recursive: true });
  const folder = mkdtempSync(join('dist', 'overlay-')); // kustomize wants a relative path to what it builds on
  try {
    const parts = ['primary', 'fallback', 'clouds', 'digits', 'ingress'];
    const kustomization = {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      namespace,
      resources: [relative(folder, resolve('knative/overlays/development'))],
      components: (platform === 'knative' ? [] : plainComponents).map((path) => relative(folder, resolve(path))),
      images: (await namesInManifests()).flatMap((name) => {
        const part = parts.find((part) => name.endsWith(`understudy-${part}`));
        return part === undefined ? [] : [{ name, newName: `${images.prefix}${part}`, newTag: images.tag }];
      }),
      patches: changes.map(({ kind, name, patch }) => ({
        target: { kind, name, group: groups[kind] },
        patch: JSON.stringify(patch),
      })),
    };
    writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization, null, 2));
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The images' names in the development overlay, which kustomize replaces. */
async function namesInManifests(): Promise<readonly string[]> {
  const yaml = await kubectl(['kustomize', 'knative/overlays/development']);
  const names = [...yaml.matchAll(/^[- ]*image: "?([^\s"@]+?)(?::[\w.-]+)?(?:@\S+)?"?$/gm)].map(
    ([, name]) => name as string,
  );
  return [...new Set(names)];
}
