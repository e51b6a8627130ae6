import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { copyCheckout, isInstalled, type Ran, run } from './bench.ts';

jest.setTimeout(120_000);

const schema = (name: string, ...options: string[]) => ['--builtin-schema', `vendor.${name}`, ...options];
const nonunicode = ['--regex-variant', 'nonunicode']; // the schema's expressions are no others'

/** Each tool with what it reads, and a fault that it must find: file, text, replacement, a word of its complaint. */
const checks: readonly (readonly [
  name: string,
  tool: string,
  args: readonly string[],
  planted: readonly [string, string, string, string],
])[] = [
  ['actionlint', 'actionlint', [], ['.github/workflows/cd.yml', 'ubuntu-24.04', 'ubuntu-17.04', 'ubuntu-17.04']],
  [
    'zizmor',
    'zizmor',
    ['--offline', '--quiet', '.'],
    ['.github/workflows/publish.yml', '@3d3c42e5aac5ba805825da76410c181273ba90b1', '@v7', 'unpinned-uses'],
  ],
  [
    'the schema of GitHub',
    'check-jsonschema',
    [
      ...schema('github-workflows'),
      '.github/workflows/publish.yml',
      '.github/workflows/cd.yml',
      '.github/workflows/ci.yml',
    ],
    ['.github/workflows/cd.yml', 'runs-on:', 'run-on:', 'run-on'],
  ],
  [
    'the schema of Dependabot',
    'check-jsonschema',
    [...schema('dependabot'), '.github/dependabot.yml'],
    ['.github/dependabot.yml', 'weekly', 'fortnightly', 'fortnightly'],
  ],
  [
    'the schema of GitLab',
    'check-jsonschema',
    [...schema('gitlab-ci', '--data-transform', 'gitlab-ci'), '.gitlab-ci.yml'],
    ['.gitlab-ci.yml', 'when: manual', 'when: someday', 'someday'],
  ],
  [
    'the schema of Azure',
    'check-jsonschema',
    [...nonunicode, ...schema('azure-pipelines', '--data-transform', 'azure-pipelines'), 'azure-pipelines.yml'],
    ['azure-pipelines.yml', 'deployment: production', 'deploymint: production', 'deploymint'],
  ],
  [
    'the schema of Compose',
    'check-jsonschema',
    [...schema('compose-spec'), 'compose.yaml', 'compose.jobs.yaml'],
    ['compose.yaml', 'mem_limit: 2g', 'memory: 2g', 'memory'],
  ],
  [
    'hadolint',
    'hadolint',
    ['functions/Dockerfile', 'ingress/Dockerfile'],
    ['ingress/Dockerfile', `FROM \${NGINX_BASE} AS`, 'FROM nginx AS', 'DL3006'],
  ],
  [
    'shellcheck',
    'bash',
    ['-c', 'git ls-files -z "*.sh" .ci/run | xargs --null shellcheck --external-sources --source-path=SCRIPTDIR'],
    ['.github/scripts/push.sh', '"$prefix$name:$commit_tag" ', '$prefix$name:$commit_tag ', 'SC2086'],
  ],
];

describe('delivery', () => {
  let copy: string;

  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), 'understudy-linters-'));
    copyCheckout(copy);
  });

  afterAll(() => rmSync(copy, { recursive: true }));

  /** With a text replaced in a file of the copy, which is as before afterwards. */
  async function withFault(path: string, text: string, replacement: string, check: () => Promise<Ran>): Promise<Ran> {
    const before = readFileSync(join(copy, path), 'utf8');
    expect(before).toContain(text);
    writeFileSync(join(copy, path), before.replace(text, replacement));
    try {
      return await check();
    } finally {
      writeFileSync(join(copy, path), before);
    }
  }

  for (const [name, tool, args, [path, text, replacement, complaint]] of checks) {
    const test = isInstalled(tool === 'bash' ? 'shellcheck' : tool) ? it : it.skip;
    const check = () => run(tool, args, {}, copy);

    test(`passes ${name}`, async () => {
      expect(await check()).toMatchObject({ status: 0 });
    });

    test(`with "${replacement}" does not pass ${name}`, async () => {
      const { status, output } = await withFault(path, text, replacement, check);

      expect(status).not.toBe(0);
      expect(output).toContain(complaint);
    });
  }
});
