import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, jest } from '@jest/globals';
import { deployedOf, imagesOf, paths, readFiles } from '../files.ts';
import { createAct } from './act.ts';
import { copyForPipelines, describeWith } from './bench.ts';
import { writeKubectl } from './kubectl.ts';

jest.setTimeout(5 * 60_000);

const digest = `sha256:${'a'.repeat(64)}`;
const digestsOf = (names: readonly string[]) => names.map((name) => `${name}@${digest}`);
const digests = digestsOf(imagesOf(readFiles()));
const prefix = 'registry.test/understudy-';

describeWith(['act', 'kubectl'])('cd.yml, run by act', () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-cd-'));
  const checkout = join(folder, 'checkout');
  let act: ReturnType<typeof createAct>;
  let kept: () => string;

  beforeAll(() => {
    copyForPipelines(checkout);
    act = createAct(folder, checkout);
  });

  beforeEach(() => {
    rmSync(join(folder, 'kubectl.log'), { force: true });
    kept = writeKubectl(folder);
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  const deploy = (overlay: string, images: readonly string[]) =>
    act({
      name: 'workflow_dispatch',
      workflow: paths.cd,
      payload: { inputs: { overlay, digests: images.join() }, ref: 'refs/heads/main' },
      env: { HOME: folder },
      variables: { IMAGE_PREFIX: prefix, KUBE_CONTEXT_DEV: 'context-of-dev', KUBE_CONTEXT_PROD: 'context-of-prod' },
      secrets: { KUBE_CONFIG: 'content-of-the-kubeconfig' },
    });

  it.each([
    ['development', 'context-of-dev'],
    ['production', 'context-of-prod'],
  ])('deploys %s by hand, by digest and to its context', async (overlay, context) => {
    const { status, output } = await deploy(overlay, digests);

    expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
    const contexts = [...kept().matchAll(/^--context (\S+) apply /gm)].map(([, name]) => name);
    expect(contexts).toEqual([context]);
    expect(kept()).toContain('kubeconfig content-of-the-kubeconfig\n');
    const images = [...kept().matchAll(/ image: (.*)/g)].map(([, image]) => image);
    const expected = digestsOf(deployedOf(readFiles())).map((image) => `${prefix}${image}`);
    expect(new Set(images)).toEqual(new Set(expected));
  });

  it('applies nothing where the digest of an image is missing', async () => {
    const { status, output } = await deploy('production', digests.slice(1));

    expect(status).not.toBe(0);
    expect(output).toContain('Expected primary@sha256:... for DIGESTS but received');
    expect(kept()).not.toContain(' apply ');
  });

  it('deploys to no other overlay', async () => {
    const { status, output } = await deploy('staging', digests);

    expect(status).not.toBe(0);
    expect(output).toContain(
      'Expected development, production, gke or kubernetes for the overlay but received staging',
    );
    expect(kept()).toBe('');
  });
});
