import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { deployedOf, readFiles } from '../files.ts';
import {
  copyForPipelines,
  describeWith,
  findBases,
  login,
  type Registry,
  run,
  searchPath,
  startRegistry,
} from './bench.ts';
import { writeKubectl } from './kubectl.ts';

jest.setTimeout(30 * 60_000); // six images, on two slow cores

const deployed = deployedOf(readFiles());
const bases = await findBases();

(bases === undefined
  ? describe.skip
  : describeWith(['gitlab-ci-local', 'rsync', 'registry', 'crane', 'buildah', 'kubectl']))(
  '.gitlab-ci.yml, run by gitlab-ci-local',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-gitlab-'));
    const checkout = join(folder, 'checkout');
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    const release = { CI_COMMIT_TAG: `v${version}` };
    let registry: Registry;
    let kept: () => string;

    beforeAll(async () => {
      registry = await startRegistry();
      copyForPipelines(checkout);
      const remote = ['remote', 'set-url', 'origin', 'https://gitlab.example/understudy/understudy.git'];
      execFileSync('git', remote, { cwd: checkout });
      kept = writeKubectl(folder);
    });

    afterAll(async () => {
      await registry.stop();
      rmSync(folder, { recursive: true });
    });

    function pipeline(source: Readonly<Record<string, string>>, ...args: string[]) {
      const variables = {
        ...source,
        CI_REGISTRY_IMAGE: registry.prefix.slice(0, registry.prefix.lastIndexOf('/')),
        CI_REGISTRY_USER: login.REGISTRY_USER,
        CI_REGISTRY_PASSWORD: login.REGISTRY_PASSWORD,
        KUBE_CONTEXT_DEV: 'context-of-development',
        KUBE_CONTEXT_PROD: 'context-of-production',
        STORAGE_DRIVER: 'overlay', // the store of this machine
      };
      const options = Object.entries(variables).flatMap(([name, value]) => ['--variable', `${name}=${value}`]);
      const predefined = Object.keys(variables).filter((name) => name.startsWith('CI_'));
      const env = { ...bases, ...registry.env, PATH: [folder, searchPath].join(delimiter) };
      const fixed = ['--force-shell-executor', '--shell-isolation', '--ignore-predefined-vars', predefined.join()];
      return run('gitlab-ci-local', [...fixed, ...options, ...args], env, checkout);
    }

    it('goes through all stages and stops before production', async () => {
      const { status, output } = await pipeline(release);

      expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
      expect(kept()).toContain('--context context-of-development apply');
      expect(kept()).not.toContain('context-of-production');
      for (const name of deployed) {
        const { output: digest } = await run('crane', ['digest', `${registry.prefix}${name}:${version}`], registry.env);
        expect(kept()).toContain(`image: ${registry.prefix}${name}@${digest.trim()}\n`);
      }
    });

    it('goes on to production when told', async () => {
      const { status, output } = await pipeline(release, '--manual', 'production', '--needs', 'production');

      expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
      expect(kept()).toContain('--context context-of-production apply');
    });

    it('only tests a merge request', async () => {
      const { output } = await pipeline({ CI_PIPELINE_SOURCE: 'merge_request_event' }, '--list-json');

      const jobs: { name: string; when: string }[] = JSON.parse(
        output.slice(output.search(/\[\s*\{/), output.lastIndexOf(']') + 1),
      );
      expect(jobs.filter(({ when }) => when !== 'never').map(({ name }) => name.replace(/:.*/, ''))).toEqual([
        'test',
        ...Array(5).fill('suites'),
        'lint',
      ]);
    });
  },
);
