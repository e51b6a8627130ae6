import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { deployedOf, imagesOf, paths, readFiles } from '../files.ts';
import { createAct } from './act.ts';
import {
  commit,
  copyForPipelines,
  describeWith,
  findBases,
  isInstalled,
  type Keys,
  login,
  newKeys,
  type Registry,
  run,
  startRegistry,
} from './bench.ts';
import { writeKubectl } from './kubectl.ts';

jest.setTimeout(30 * 60_000); // six images, on two slow cores

const images = imagesOf(readFiles());
const deployed = deployedOf(readFiles());

const bases = await findBases();

(bases === undefined ? describe.skip : describeWith(['act', 'registry', 'crane', 'buildah', 'kubectl']))(
  'publish.yml, run by act',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-publish-'));
    const checkout = join(folder, 'checkout');
    let registry: Registry;
    let act: ReturnType<typeof createAct>;
    let kept: () => string;
    let keys: Keys | undefined;

    beforeAll(async () => {
      registry = await startRegistry();
      copyForPipelines(checkout);
      kept = writeKubectl(folder);
      if (isInstalled('cosign')) keys = await newKeys(join(folder, 'keys'));
      act = createAct(folder, checkout);
    });

    afterAll(async () => {
      await registry.stop();
      rmSync(folder, { recursive: true });
    });

    function replace(path: string, text: string | RegExp, replacement: string): void {
      const file = join(checkout, path);
      const before = readFileSync(file, 'utf8');
      writeFileSync(file, before.replace(text, replacement));
      commit(checkout);
    }

    /** Pushes a ref, as GitHub would tell. */
    function push(ref: string) {
      const { COSIGN_KEY, COSIGN_PASSWORD, COSIGN_OPTIONS } = keys?.signing ?? {};
      return act({
        name: 'push',
        workflow: paths.publish,
        payload: { ref },
        env: { ...bases, ...registry.env },
        variables: {
          IMAGE_PREFIX: registry.prefix,
          REGISTRY_USER: login.REGISTRY_USER,
          COSIGN_OPTIONS,
          PLATFORMS: '["amd64"]',
          KUBE_CONTEXT_DEV: 'context-of-dev',
          KUBE_CONTEXT_PROD: 'context-of-prod',
        },
        secrets: { REGISTRY_PASSWORD: login.REGISTRY_PASSWORD, COSIGN_KEY, COSIGN_PASSWORD },
      });
    }

    /** @throws Error where crane fails, with what it says */
    async function crane(...args: string[]): Promise<string> {
      const { status, output } = await run('crane', args, registry.env);
      if (status !== 0) throw new Error(`crane ${args.join(' ')}: ${output}`);
      return output.trim();
    }

    const digests = (tag: string) =>
      Promise.all(images.map((name) => crane('digest', `${registry.prefix}${name}:${tag}`)));

    it('pushes, tries and tags the images of the main branch, and deploys them to development alone', async () => {
      const { status, output } = await push('refs/heads/main');

      expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
      const head = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: checkout, encoding: 'utf8' }).trim();
      const edge = await digests('edge');
      expect(edge).toEqual(images.map(() => expect.stringMatching(/^sha256:[0-9a-f]{64}$/)));
      expect(edge).toEqual(await digests(`sha-${head.slice(0, 12)}`));
      const tried = await digests(`sha-${head.slice(0, 12)}-amd64`);
      for (const [index, name] of images.entries()) {
        const reference = `${registry.prefix}${name}@${edge[index]}`;
        const { manifests } = JSON.parse(await crane('manifest', reference));
        const { config } = JSON.parse(await crane('config', reference));
        expect(manifests).toEqual([
          expect.objectContaining({
            digest: tried[index],
            platform: expect.objectContaining({ architecture: 'amd64', os: 'linux' }),
          }),
        ]);
        expect(config.User).toBe('65532:65532');
        expect(config.Labels).toMatchObject({ 'org.opencontainers.image.revision': head });
        expect(kept().includes(` image: ${reference}\n`)).toBe(deployed.includes(name));
      }
      expect(kept()).toContain('--context context-of-dev apply ');
      expect(kept()).not.toContain('context-of-prod');
    });

    (isInstalled('cosign') ? it : it.skip)('signs what edge names', async () => {
      for (const [index, digest] of (await digests('edge')).entries()) {
        const reference = `${registry.prefix}${images[index]}@${digest}`;
        const { status, output } = await run('cosign', ['verify', ...(keys?.verifying ?? []), reference], registry.env);
        expect({ status, output }).toMatchObject({ status: 0 });
      }
    });

    it('moves the tags of a version and deploys it to production, for the version of package.json alone', async () => {
      const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
      const edge = await digests('edge');

      const other = await push('refs/tags/v0.0.1');
      const same = await push(`refs/tags/v${version}`);

      expect(other.status).not.toBe(0);
      expect(other.output).toContain(
        `Expected refs/heads/main or refs/tags/v${version}, as package.json has it, for GIT_REF`,
      );
      expect(await crane('ls', `${registry.prefix}primary`)).not.toContain('0.0.1');
      expect(kept()).toContain('--context context-of-prod apply ');
      expect(same.status).toBe(0);
      expect(await digests(version)).toEqual(edge);
      expect(await digests(version.split('.')[0])).toEqual(edge);
    });

    it('leaves every tag where it was when one function does not answer', async () => {
      const edge = await digests('edge');
      // The build still succeeds: it warms the function by another command.
      replace('functions/Dockerfile', /(FROM digits-files AS digits\n)/, '$1ENTRYPOINT ["node", "--version"]\n');

      const { status, output } = await push('refs/heads/main');

      expect(status).not.toBe(0);
      expect(output).toContain('Expected "digit": from ');
      expect(await digests('edge')).toEqual(edge);
    });
  },
);
