import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { renderIngress } from '../../ingress/render.ts';
import { buildOverlay, findKustomize, readOverlay } from '../support/kustomize.ts';
import {
  containerOf,
  environment,
  folderOf,
  isKnative,
  knob,
  type Manifest,
  overlays,
  render,
} from '../support/manifests.ts';

const page = readFileSync('knative/README.md', 'utf8');
const all = [...overlays, 'kubernetes'];

describe('knative/README.md', () => {
  const commands = [...page.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block]) => String(block).trim().split('\n'));

  it('applies every overlay', () => {
    const applied = commands.flatMap((command) => /^kubectl apply -k (\S+)$/.exec(command)?.[1] ?? []);

    expect(applied).toEqual(all.map(folderOf));
    expect(readdirSync('knative/overlays').sort()).toEqual(all.toSorted());
  });

  it('builds and loads the images that development runs, from files that exist', () => {
    const load = commands.find((command) => command.startsWith('kind load docker-image '));
    const recipes = commands.flatMap((command) => [...command.matchAll(/--file (\S+)/g)].map(([, file]) => file));

    expect(load?.split(' ').slice(3)).toEqual(render('development').pods.map((object) => containerOf(object).image));
    expect(recipes.length).toBeGreaterThan(0);
    expect(recipes.filter((file) => !existsSync(String(file)))).toEqual([]);
  });

  it('names files and links that exist', () => {
    const linked = [...page.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => String(target));
    const listed = page.split('\n').flatMap((line) => (/^\| `(.*)` \|/.exec(line)?.[1] ?? '').split('`, `'));
    const paths = [...linked, ...listed].filter((path) => path.includes('/') && !path.includes('*'));

    expect(paths.length).toBeGreaterThan(4);
    expect(paths.filter((path) => !existsSync(join('knative', path)))).toEqual([]);
  });

  it('posts as the quick start of README.md does', () => {
    const posts = commands.filter((command) => command.startsWith('curl -F'));

    expect(posts).toHaveLength(1);
    expect(readFileSync('README.md', 'utf8')).toContain(`\n${posts.join()}\n`);
  });
});

const kustomize = await findKustomize();

if (kustomize === undefined) {
  process.stdout.write('Neither kubectl nor kustomize is in PATH or at KUBECTL: not compared with the real one\n');
  describe('the real kubectl kustomize', () => {
    it('is not on this machine', async () => {
      expect(await findKustomize({ PATH: tmpdir() })).toBeUndefined();
    });
  });
} else {
  describe('the real kubectl kustomize', () => {
    const byName = (objects: readonly Manifest[]) =>
      Object.fromEntries(objects.map((one) => [`${one.apiVersion} ${one.kind} ${one.metadata.name}`, one]));

    it.each(all)('renders the %s overlay as the tests do, and hashes the configuration', async (overlay) => {
      const built = await buildOverlay(kustomize, folderOf(overlay));
      const names = new Set(JSON.stringify(built).match(/ingress-configuration[\w-]*/g));

      expect([...names]).toEqual([expect.stringMatching(/^ingress-configuration-[a-z0-9]{10}$/)]);
      const plain = JSON.parse(JSON.stringify(built).replaceAll([...names].join(), 'ingress-configuration'));
      expect(byName(plain)).toEqual(byName(readOverlay(folderOf(overlay))));
    });

    it('renders the overlay of your own in knative/README.md as the page says', async () => {
      const [, written = ''] = /```yaml\n(apiVersion: kustomize.*?)```/s.exec(page) ?? [];
      const folder = mkdtempSync('dist/overlay-'); // kustomize wants a relative path to what it builds on
      try {
        const text = written.replace('../production', relative(folder, folderOf('production')));
        writeFileSync(join(folder, 'kustomization.yaml'), text);
        const built = await buildOverlay(kustomize, folder);
        const withPods = built.filter(({ spec }) => spec?.template !== undefined);
        const find = (name: string) => withPods.find(({ metadata }) => metadata.name === name) as Manifest;

        const namespaces = built.map(({ kind, metadata: { name, namespace } }) =>
          kind === 'Namespace' ? name : namespace,
        );
        expect(new Set(namespaces)).toEqual(new Set(['photos']));
        expect(withPods.map((object) => containerOf(object).image)).toEqual(
          withPods.map(() => expect.stringMatching(/^registry\.mine\/understudy-\w+@sha256:/)),
        );
        const [ingress, fallback] = [find('ingress'), find('classify-fallback')];
        expect(containerOf(ingress).env).toContainEqual({ name: 'TRUSTED_PROXIES', value: '10.0.0.0/8' });
        expect(containerOf(fallback).env).toContainEqual({ name: 'LOG_LEVEL', value: 'warn' });
        expect(knob(fallback, 'min-scale')).toBe('1');
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    it.each([
      [['classify'], ['classify-fallback', 'classify-primary'], '/classify'],
      [['digits'], ['digits'], '/predict'],
      [['clouds', 'digits'], ['clouds', 'digits'], '/infer, /predict'],
    ])('deploys %j alone where the other components are removed', async (kept, services, paths) => {
      const folder = mkdtempSync('dist/overlay-');
      try {
        const text = readFileSync(join(folderOf('development'), 'kustomization.yaml'), 'utf8')
          .replace(/^ {2}- .*\/base\/(classify|clouds|digits)\n/gm, (line, name) => (kept.includes(name) ? line : ''))
          .replaceAll('../../base', relative(folder, 'knative/base'));
        writeFileSync(join(folder, 'kustomization.yaml'), text);
        const built = await buildOverlay(kustomize, folder);

        expect(built.filter(isKnative).map(({ metadata }) => metadata.name)).toEqual(services);
        const variables = environment(built.find(({ kind }) => kind === 'Deployment') as Manifest);
        const configuration = renderIngress({ ...variables, SITE: '/site', RESOLVER: '10.96.0.10' }); // the image's SITE
        expect(configuration).toContain(`Expected ${paths} or /healthz for path`);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    it('reports what is wrong with a folder', async () => {
      await expect(buildOverlay(kustomize, 'knative/overlays')).rejects.toThrow(/kustomization/);
    });
  });
}
