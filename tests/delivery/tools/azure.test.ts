import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { deployedOf, parse, paths, readFiles } from '../files.ts';
import { runPipeline } from './azure.ts';
import { commit, copyCheckout, copyForPipelines, describeWith, findBases, login, run, startRegistry } from './bench.ts';
import { writeKubectl } from './kubectl.ts';

jest.setTimeout(30 * 60_000); // six images, on two slow cores

const files = readFiles();
const deployed = deployedOf(files);
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const bases = await findBases();

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-azure-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

/** A run for a ref; `prefix` in place of Azure's registry, which has another name than the one on loopback. */
function pipeline(
  ref: string,
  prefix: string,
  env: NodeJS.ProcessEnv,
  approve: () => boolean,
  reason = 'IndividualCI',
) {
  const { variables, ...rest } = parse(files, paths.azure);
  return runPipeline(
    { ...rest, variables: { ...(variables as object), IMAGE_PREFIX: prefix } },
    {
      repository: join(folder, 'checkout'),
      folder,
      variables: {
        ACR_NAME: 'ours',
        'Build.Reason': reason,
        'Build.Repository.Uri': 'https://azure.example/understudy',
        'Build.SourceBranch': ref,
        'Build.SourceBranchName': String(ref.split('/').at(-1)),
        KUBE_SERVICE_CONNECTION_DEV: 'connection-to-development',
        KUBE_SERVICE_CONNECTION_PROD: 'connection-to-production',
      },
      env,
      approve,
    },
  );
}

describeWith(['git'])('azure-pipelines.yml with scripts that only tell their names', () => {
  beforeEach(() => {
    const checkout = join(folder, 'checkout');
    copyCheckout(checkout);
    const scripts = join(checkout, '.github/scripts');
    for (const name of readdirSync(scripts)) writeFileSync(join(scripts, name), `#!/bin/sh\necho "$0 $*"\n`);
    writeFileSync(join(scripts, 'index.sh'), '#!/bin/sh\necho DIGESTS=some@digests >digests.env\n');
    writeFileSync(join(scripts, 'deploy.sh'), '#!/bin/sh\necho "deploys $1 with $DIGESTS to $(cat "$KUBECONFIG")"\n');
    writeFileSync(join(folder, 'az'), '#!/bin/sh\n');
    chmodSync(join(folder, 'az'), 0o755);
    commit(checkout);
  });

  function unasked(): boolean {
    throw new Error('Expected no question but was asked');
  }

  it.each([
    ['a pull request', 'refs/pull/1/merge', 'PullRequest', undefined, ['test', 'suites']],
    ['the main branch', 'refs/heads/main', 'IndividualCI', undefined, ['test', 'images', 'development']],
    ['a version', 'refs/tags/v1.2.3', 'IndividualCI', true, ['test', 'images', 'development', 'approve', 'production']],
    ['a version that is rejected', 'refs/tags/v1.2.3', 'IndividualCI', false, ['test', 'images', 'development']],
  ])('goes as far as it should for %s', async (_, ref, reason, answer, expected) => {
    const approve = () => answer ?? unasked();

    const { jobs, output } = await pipeline(ref, 'registry.test/understudy-', {}, approve, reason);

    expect(Object.keys(jobs).filter((name) => jobs[name] === 'succeeded')).toEqual(expected);
    const deployed = [...output.matchAll(/^deploys (.*)$/gm)].map(([, what]) => what);
    const overlays = ['development', 'production'].filter((overlay) => expected.includes(overlay));
    expect(deployed).toEqual(
      overlays.map((overlay) => `${overlay} with some@digests to connection connection-to-${overlay}`),
    );
  });

  it('goes nowhere after a test that fails', async () => {
    writeFileSync(join(folder, 'checkout/.github/scripts/test.sh'), '#!/bin/sh\nexit 1\n');
    commit(join(folder, 'checkout'));

    const { jobs } = await pipeline('refs/tags/v1.2.3', 'registry.test/understudy-', {}, unasked);

    expect(jobs).toEqual({
      test: 'failed',
      suites: 'skipped',
      images: 'skipped',
      development: 'skipped',
      approve: 'skipped',
      production: 'skipped',
    });
  });
});

(bases === undefined ? describe.skip : describeWith(['registry', 'crane', 'buildah', 'kubectl']))(
  'azure-pipelines.yml, its script steps',
  () => {
    it('publish the images of a version, deploy them to development and, when told, to production', async () => {
      const registry = await startRegistry();
      copyForPipelines(join(folder, 'checkout'));
      const kept = writeKubectl(folder);
      // What it would print for the pipeline's own identity.
      writeFileSync(join(folder, 'az'), `#!/bin/sh\necho ${login.REGISTRY_PASSWORD}\n`);
      chmodSync(join(folder, 'az'), 0o755);
      const { REGISTRY_USER: _, REGISTRY_PASSWORD: __, ...env } = registry.env;
      mkdirSync(String(env.HOME), { recursive: true });
      let atQuestion = '';

      const { jobs, output } = await pipeline(`refs/tags/v${version}`, registry.prefix, { ...bases, ...env }, () => {
        atQuestion = kept();
        return true;
      });

      try {
        expect({ jobs, output: Object.values(jobs).includes('failed') ? output : '' }).toEqual({
          jobs: {
            test: 'succeeded',
            suites: 'skipped',
            images: 'succeeded',
            development: 'succeeded',
            approve: 'succeeded',
            production: 'succeeded',
          },
          output: '',
        });
        expect(atQuestion).toContain('connection connection-to-development\n');
        expect(atQuestion).not.toContain('connection-to-production');
        expect(kept()).toContain('connection connection-to-production\n');
        for (const name of deployed) {
          const { output: digest } = await run(
            'crane',
            ['digest', `${registry.prefix}${name}:${version}`],
            registry.env,
          );
          expect(kept().split(`image: ${registry.prefix}${name}@${digest.trim()}\n`)).toHaveLength(3);
        }
      } finally {
        await registry.stop();
      }
    });
  },
);
