import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { imagesOf, readFiles, valuesOf, workflows } from '../files.ts';
import {
  commit,
  copyForPipelines,
  describeWith,
  findBases,
  login,
  type Registry,
  run,
  startRegistry,
} from './bench.ts';

jest.setTimeout(30 * 60_000); // five images, on two slow cores

const files = readFiles();
const images = imagesOf(files);

/** Actions that cannot be had without GitHub do nothing here; checkout is act's own, and workflows are files. */
const actions = [...new Set(workflows(files).flatMap(([, workflow]) => valuesOf(workflow, 'uses').map(String)))].filter(
  (action) => !/^\.\/|checkout@/.test(action),
);

const bases = await findBases();

(bases === undefined ? describe.skip : describeWith(['act', 'registry', 'crane', 'buildah']))(
  'publish.yml, run by act',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-publish-'));
    const checkout = join(folder, 'checkout');
    let registry: Registry;

    beforeAll(async () => {
      registry = await startRegistry();
      copyForPipelines(checkout);
      for (const action of actions) writeStandIn(action);
    });

    afterAll(async () => {
      await registry.stop();
      rmSync(folder, { recursive: true });
    });

    const standInOf = (action: string) => join(folder, action.split('@', 1).join().replace('/', '-'));

    function writeStandIn(action: string): void {
      const at = standInOf(action);
      mkdirSync(at);
      const steps = [{ run: 'true', shell: 'bash' }];
      writeFileSync(join(at, 'action.yml'), JSON.stringify({ name: action, runs: { using: 'composite', steps } }));
      execFileSync('git', ['init', '--quiet'], { cwd: at });
      commit(at);
    }

    function replace(path: string, text: string | RegExp, replacement: string): void {
      const file = join(checkout, path);
      const before = readFileSync(file, 'utf8');
      writeFileSync(file, before.replace(text, replacement));
      commit(checkout);
    }

    /** Pushes a ref, as GitHub would tell. */
    function push(ref: string) {
      const event = join(folder, 'event.json');
      writeFileSync(event, JSON.stringify({ ref }));
      const env = { ...bases, ...registry.env };
      const variables = { IMAGE_PREFIX: registry.prefix, REGISTRY_USER: login.REGISTRY_USER, PLATFORMS: '["amd64"]' };
      const pairs = (option: string, values: NodeJS.ProcessEnv) =>
        Object.entries(values).flatMap(([name, value]) => [option, `${name}=${value}`]);
      const args = [
        ...['push', '--workflows', '.github/workflows/publish.yml', '--eventpath', event, '--defaultbranch', 'main'],
        ...['--platform', 'ubuntu-24.04=-self-hosted', '--no-cache-server', '--artifact-server-addr', '127.0.0.1'],
        ...pairs('--var', variables),
        ...pairs('--secret', { REGISTRY_PASSWORD: login.REGISTRY_PASSWORD }),
        ...pairs('--env', env),
        ...actions.flatMap((action) => ['--local-repository', `${action}=${standInOf(action)}`]),
      ];
      return run('act', args, env, checkout);
    }

    /** @throws Error where crane fails, with what it says */
    async function crane(...args: string[]): Promise<string> {
      const { status, output } = await run('crane', args, registry.env);
      if (status !== 0) throw new Error(`crane ${args.join(' ')}: ${output}`);
      return output.trim();
    }

    const digests = (tag: string) =>
      Promise.all(images.map((name) => crane('digest', `${registry.prefix}${name}:${tag}`)));

    it('pushes, tries and tags the images of the main branch', async () => {
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
      }
    });

    it('moves the tags of a version, for the version of package.json alone', async () => {
      const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
      const edge = await digests('edge');

      const other = await push('refs/tags/v0.0.1');
      const same = await push(`refs/tags/v${version}`);

      expect(other.status).not.toBe(0);
      expect(other.output).toContain(
        `Expected refs/heads/main or refs/tags/v${version}, as package.json has it, for GIT_REF`,
      );
      expect(await crane('ls', `${registry.prefix}primary`)).not.toContain('0.0.1');
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
