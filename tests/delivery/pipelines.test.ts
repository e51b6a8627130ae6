import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { localVariables } from '../../ingress/render.ts';
import { bytesOf, containerOf, environment, overlays, render } from '../support/manifests.ts';
import { faultsOf } from './faults.ts';
import { at, deployedOf, type Files, imagesOf, parse, paths, readFiles, type Tree } from './files.ts';

const files = readFiles();

/** The files with a text replaced in one of them. @throws Error where it is not there */
function plant(path: string, text: string | RegExp, replacement: string): Files {
  const before = String(files[path]);
  const after = before.replace(text, replacement);
  if (after === before) throw new Error(`Expected ${text} in ${path} but received none`);
  return { ...files, [path]: after };
}

describe('the pipelines of GitHub, GitLab and Azure', () => {
  it('have no fault', () => {
    expect(faultsOf(files)).toEqual([]);
  });

  it.each([
    ['an action by its tag', paths.publish, /checkout@[0-9a-f]{40}/, 'checkout@v7', 'is not pinned'],
    ['foreign code with our rights', paths.ci, 'pull_request:', 'pull_request_target:', 'pull_request_target'],
    ['a workflow without permissions', paths.cd, 'permissions: {}\n', '', 'cd.yml: no permissions'],
    [
      'a job without permissions',
      paths.cd,
      / {4}permissions:\n {6}contents: read\n/,
      '',
      'cd.yml deploy: no permissions',
    ],
    ['a job that may write', paths.cd, 'contents: read', 'contents: write', 'cd.yml deploy: contents: write'],
    ['a checkout that keeps its token', paths.cd, 'persist-credentials: false', 'fetch-depth: 1', 'leaves its token'],
    ['an expression in a script', paths.cd, '"$OVERLAY"', `\${{ inputs.overlay }}`, 'an expression in a script'],
    ['a job that needs none', paths.publish, 'needs: images', 'needs: image', 'needs image, which is no job'],
    ['two versions of an action', paths.cd, /checkout@3d/, 'checkout@4d', 'actions/checkout: several versions'],
    ['tags before the smoke test', paths.publish, 'verify.sh', 'tag.sh', 'GitHub: calls'],
    ['images before the tests', paths.publish, 'needs: test\n', 'needs: []\n', 'images: does not wait for test'],
    ['two runs of a ref at once', paths.publish, 'cancel-in-progress: false', 'cancel-in-progress: true', 'one by one'],
    ['a secret that is not declared', paths.cd, /secrets: #.*/, 'outputs:', 'KUBE_CONFIG is not declared'],
    [
      'a secret that is not passed',
      paths.publish,
      'KUBE_CONFIG: $',
      'KUBECONFIG: $',
      'not pass the secret KUBE_CONFIG',
    ],
    ['a release without all tags', paths.publish, /fetch-depth: 0.*/, '', 'GitHub: tag.sh does not see all tags'],
    ['a release of GitLab without all tags', paths.gitlab, 'GIT_DEPTH: "0"', 'GIT_DEPTH: "20"', 'GitLab: tag.sh'],
    ['a release of Azure without all tags', paths.azure, 'fetchDepth: "0"', 'fetchDepth: "1"', 'Azure: tag.sh'],
    ['an option that BusyBox lacks', paths.deploy, 'sort -u', 'sort --unique', 'BusyBox has no --unique'],
    ['an unknown stage of GitLab', paths.gitlab, 'stage: deploy', 'stage: deliver', 'stage deliver is unknown'],
    ['an unpinned image', paths.gitlab, 'node:24.12.0-bookworm', 'node:latest', 'node:latest is not pinned'],
    ['production without a person on GitLab', paths.gitlab, 'when: manual', 'when: always', 'GitLab: production'],
    ['another order on GitLab', paths.gitlab, 'push.sh', 'index.sh', 'GitLab: calls'],
    ['another overlay on GitLab', paths.gitlab, 'deploy.sh production', 'deploy.sh prod', 'GitLab: calls'],
    ['an unknown stage of Azure', paths.azure, 'dependsOn: Build', 'dependsOn: Bild', 'depends on Bild'],
    ['an unknown variable of Azure', paths.azure, '$(ACR_NAME)', '$(ACR)', '$(ACR) is not explained'],
    [
      'production without a person on Azure',
      paths.azure,
      'dependsOn: approve',
      'dependsOn: development',
      'Azure: production',
    ],
    ['another Node.js on Azure', paths.azure, '24.12.0', '22.12.0', 'Azure: Node.js 22.12.0'],
    ['another Node.js in the images', paths.recipe, /node:24[\d.]+/, 'node:24.13.0', 'the images 24.13.0'],
    ['a missing context', paths.gitlab, /KUBE_CONTEXT_PROD/g, 'KUBE_CONTEXT', 'no KUBE_CONTEXT_PROD'],
    ['a suite that GitHub leaves out', paths.ci, 'suite: [api, ', 'suite: [', 'GitHub: runs the suites browser'],
    ['a suite that GitLab leaves out', paths.gitlab, 'clients, events,', 'clients,', 'GitLab: runs the suites'],
    ['a suite that Azure leaves out', paths.azure, 'SUITE: events', 'SUITE: event', 'Azure: runs the suites'],
    ['a suite that nothing runs', paths.gitlab, 'scripts/suite.sh', 'scripts/test.sh', 'GitLab: never calls suite.sh'],
    ['an image that nobody starts', paths.compose, '  digits:', '  digit:', 'compose.yaml: no digits'],
    ['an image of jobs that nobody starts', paths.composeJobs, '  events:', '  event:', 'compose.jobs.yaml: no events'],
  ])('are not let through with %s', (_, path, text, replacement, fault) => {
    expect(faultsOf(plant(path, text, replacement)).join('\n')).toContain(fault);
  });
});

describe('the images', () => {
  it.each(overlays)('of %s are those that the scripts build', (overlay) => {
    const used = render(overlay).pods.map((pod) => /understudy-(\w+)/.exec(containerOf(pod).image)?.[1]);

    expect(new Set(used)).toEqual(new Set(deployedOf(files)));
  });

  it('are those of the overlays, and that of the component of jobs', () => {
    const [, added] = /image: understudy-(\w+)/.exec(readFileSync('knative/base/events/events.yaml', 'utf8')) ?? [];

    expect(new Set([...deployedOf(files), added])).toEqual(new Set(imagesOf(files)));
  });
});

describe('compose.yaml', () => {
  const services = at(parse(files, paths.compose), 'services') as Readonly<Record<string, Tree>>;
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  const overlay = render('development');
  const pods = {
    primary: overlay.primary,
    fallback: overlay.fallback,
    clouds: overlay.clouds,
    digits: overlay.digits,
    ingress: overlay.ingress,
  };
  const bytes = (limit: unknown) => bytesOf(String(limit).replace('m', 'Mi').replace('g', 'Gi'));

  it.each(Object.entries(pods))('limits %s as its pod is limited', (name, pod) => {
    const service = services[name] as Tree;

    expect(service).toMatchObject({
      image: `\${IMAGE_PREFIX:-docker.io/understudy/understudy-}${name}:\${IMAGE_TAG:-${version}}`,
      read_only: true,
      user: '65532:65532',
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      healthcheck: { test: expect.arrayContaining([expect.stringMatching(/\/(readyz|healthz)\b/)]) },
    });
    expect(bytes(service.mem_limit)).toBe(bytesOf(String(containerOf(pod).resources.limits.memory)));
  });

  it.each(['primary', 'fallback', 'clouds', 'digits'] as const)('gives %s the workers of its pod', (name) => {
    expect(at(services, name, 'environment').WORKERS).toBe(environment(pods[name]).WORKERS);
  });

  // Addresses are its own, and as many connections are let in as by `npm start`, whose functions share one machine as well.
  it('gives the ingress the variables of its pod', () => {
    const isLimit = (name: string) => name.endsWith('_MAX_CONNS');
    const isOther = (name: string) =>
      !isLimit(name) && !/_(ADDRESS|HOST)$|^(RUN_DIR|WAKE_LISTEN|NAMESPACE|GATEWAY)$/.test(name);
    const those = (variables: object, isMeant: (name: string) => boolean) =>
      Object.fromEntries(Object.entries(variables).filter(([name]) => isMeant(name)));
    const variables = at(services, 'ingress', 'environment');
    const local = localVariables({ runDir: '/run', port: 8080, functions: {} });

    expect(those(variables, isOther)).toEqual(those(environment(pods.ingress), isOther));
    expect(those(variables, isLimit)).toEqual(those(local, isLimit));
  });
});
