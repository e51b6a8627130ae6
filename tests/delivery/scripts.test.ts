import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { imagesOf, paths, readFiles } from './files.ts';

const root = mkdtempSync(join(tmpdir(), 'understudy-scripts-'));
const images = imagesOf(readFiles());
const digest = `sha256:${'a'.repeat(64)}`;
const digests = images.map((name) => `${name}@${digest}`).join();
const kubectl = spawnSync('sh', ['-c', 'command -v kubectl'], { encoding: 'utf8' }).stdout.trim();

let folder: string;

/** A repository with what the scripts read, and a folder for programs that stand in for the real ones. */
beforeEach(() => {
  folder = mkdtempSync(join(root, 'checkout-'));
  for (const path of ['.github/scripts', 'knative', 'ingress', paths.images])
    cpSync(path, join(folder, path), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{\n  "version": "1.2.3",\n}\n');
  mkdirSync(join(folder, 'bin'));
  git('init', '--quiet');
  git(
    '-c',
    'user.name=test',
    '-c',
    'user.email=test@localhost',
    'commit',
    '--quiet',
    '--allow-empty',
    '--message=test',
  );
});

afterAll(() => rmSync(root, { recursive: true }));

function git(...args: string[]): void {
  execFileSync('git', args, { cwd: folder });
}

/** Lets a program write down its arguments, and then do what a shell script says. */
function standIn(program: string, script: string): void {
  const file = join(folder, 'bin', program);
  writeFileSync(file, `#!/bin/bash\necho "${program} $*" >>'${folder}/log'\n${script}\n`);
  chmodSync(file, 0o755);
}

function run(script: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const { status, stderr } = spawnSync(join(folder, '.github/scripts', script), args, {
    encoding: 'utf8',
    timeout: 20_000,
    env: {
      ...process.env,
      IMAGE_PREFIX: 'registry.test/understudy-',
      KUBECONFIG: '/dev/null',
      ...env,
      PATH: [join(folder, 'bin'), process.env.PATH].join(delimiter),
    },
  });
  return { status, stderr };
}

const logged = () => readFileSync(join(folder, 'log'), 'utf8').trim().split('\n');

describe('tag.sh', () => {
  /** The tags of the primary that it moves. */
  const moved = () => logged().flatMap((line) => /docker:\/\/\S+-primary:(\S+)$/.exec(line)?.[1] ?? []);
  /** A buildah by whose reckoning every image has the digest. */
  const buildah = (received: string) =>
    `while (($#)); do [[ $1 != --digestfile ]] || echo ${received} >"$2"; shift; done`;

  it.each([
    ['refs/heads/main', ['v1.2.3'], ['edge']],
    ['refs/tags/v1.2.3', ['v1.2.3'], ['1.2.3', '1.2', '1']],
    ['refs/tags/v1.2.3', ['v1.2.2', 'v1.1.9', 'v0.9.0', 'v2.0.0', 'v1.10.0-rc.1', 'version'], ['1.2.3', '1.2', '1']],
    ['refs/tags/v1.2.3', ['v1.10.0'], ['1.2.3', '1.2']],
    ['refs/tags/v1.2.3', ['v1.2.10'], ['1.2.3']],
  ])('moves for %s beside %j the tags %j', (ref, tags, expected) => {
    standIn('buildah', buildah(digest));
    for (const tag of tags) git('tag', tag);

    expect(run('tag.sh', [], { GIT_REF: ref, DIGESTS: digests })).toEqual({ status: 0, stderr: '' });

    expect(moved()).toEqual(expected);
  });

  it('moves none when an image is not the one that was tried', () => {
    standIn('buildah', buildah(`sha256:${'b'.repeat(64)}`));

    const { status, stderr } = run('tag.sh', [], { GIT_REF: 'refs/heads/main', DIGESTS: digests });

    expect({ status, moved: moved() }).toEqual({ status: 1, moved: [] });
    expect(stderr).toMatch(/^Expected sha256:a+ for primary but received sha256:b+/);
  });
});

describe('index.sh', () => {
  it('says which digests it lacks', () => {
    standIn('buildah', '');

    expect(run('index.sh', [], { DIGESTS_AMD64: undefined })).toEqual({
      status: 1,
      stderr: 'Expected primary@sha256:... for DIGESTS_AMD64 but received none\n',
    });
  });
});

describe('verify.sh', () => {
  /** Something answers all that is asked, whether or not what was started runs. */
  const tried = (started: string) => {
    standIn('curl', `sleep 0.2; echo '"label":"goldfish" "digit": "cloudFraction": "tier":"fallback" status 204'`);
    standIn('buildah', `case $1 in from) echo container ;; inspect) echo node ;; run) ${started} ;; esac`);
    return run('verify.sh', [], { DIGESTS_AMD64: digests });
  };

  it('gives the ingress each variable that its image asks for', () => {
    const script = `env -i PATH="$PATH" SITE=/site "\${@/#--env=/}" sh ingress/entrypoint.sh render >/dev/null`;
    const { stderr } = tried(
      `[[ $* != *DIGITS_ADDRESS* ]] || { set -- "\${@:2:$#-4}"; ${script} || exit; }; exec sleep 15`,
    );

    expect(stderr).toBe('');
  });

  it('passes where each that was started answers', () => {
    expect(tried('exec sleep 15')).toEqual({ status: 0, stderr: '' });
  });

  it('ends all that was started', async () => {
    expect(tried(`sleep 300 & echo $! >>'${folder}/started'; wait`)).toEqual({ status: 0, stderr: '' });

    const started = readFileSync(join(folder, 'started'), 'utf8').trim().split('\n').map(Number);
    expect(started.length).toBe(images.length + 1); // the image `events` has two programs
    const running = () => started.filter((pid) => existsSync(`/proc/${pid}/exe`));
    for (const end = Date.now() + 10_000; running().length > 0 && Date.now() < end; ) await sleep(50);
    expect(running()).toEqual([]);
  });

  it('does not take the answer of another program on the port', () => {
    const { status, stderr } = tried('[[ $* == *DIGITS* ]] && exit 1; exec sleep 15');

    expect({ status, said: stderr.trim().split('\n').at(-1) }).toEqual({
      status: 1,
      said: 'Expected ingress to run until it is stopped, but it ended',
    });
  });
});

(kubectl === '' ? describe.skip : describe)('deploy.sh', () => {
  const recorded = `echo "KUBECONFIG $KUBECONFIG" >>log; case $1 in kustomize) exec ${kubectl} "$@" ;; esac; case $* in *' get '*) echo deployment.apps/digits ;; esac`;
  const config = (current: string) => `apiVersion: v1\nkind: Config\ncurrent-context: "${current}"\n`;

  it.each([
    [
      'no kubeconfig',
      { KUBE_CONFIG: '' },
      'Expected a context of kubectl for production, from KUBE_CONFIG or a kubeconfig,',
    ],
    [
      'one without a context',
      { KUBE_CONFIG: config('') },
      'Expected a context of kubectl for production, from KUBE_CONFIG',
    ],
    [
      'one without the named context',
      { KUBE_CONFIG: config('other'), KUBE_CONTEXT_PROD: 'mine' },
      'Expected a cluster that answers for mine but received: ',
    ],
  ])('refuses %s in one line', (_, env, said) => {
    const { status, stderr } = run('deploy.sh', ['production'], { ...env, DIGESTS: digests });

    expect({ status, lines: stderr.trim().split('\n').length }).toEqual({ status: 1, lines: 1 });
    expect(stderr).toContain(said);
  });

  it.each([
    ['development', 'dev', ['ksvc', 'deployment/ingress']],
    ['production', 'prod', ['ksvc', 'deployment/ingress']],
    ['gke', 'prod', ['ksvc', 'deployment/ingress']],
    ['kubernetes', 'prod', ['deployment.apps/digits']],
  ])('deploys %s to %s and waits for %j', (overlay, context, waited) => {
    standIn('kubectl', recorded);
    const env = { KUBE_CONTEXT_DEV: 'dev', KUBE_CONTEXT_PROD: 'prod', KUBE_CONFIG: 'kept', DIGESTS: digests };

    expect(run('deploy.sh', [overlay], env)).toEqual({ status: 0, stderr: '' });

    const calls = logged().filter((line) => line.startsWith(`kubectl --context ${context} `));
    expect(calls.map((line) => line.split(' ')[3])).toEqual(expect.arrayContaining(['version', 'apply']));
    expect(calls.flatMap((line) => / (?:wait|status) --namespace understudy (\S+)/.exec(line)?.[1] ?? [])).toEqual(
      waited,
    );
    const kubeconfigs = logged().flatMap((line) => /^KUBECONFIG (.*)/.exec(line)?.[1] ?? []);
    expect(kubeconfigs.length).toBeGreaterThan(0);
    expect(kubeconfigs.filter((path) => !isAbsolute(path) || path.startsWith(folder))).toEqual([]);
    expect(readdirSync(join(folder, 'knative/overlays')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it.each(['development', 'production'])('deploys with %s jobs over Kafka, where it has the component', (overlay) => {
    standIn('kubectl', `${recorded}\ncase $* in *' apply '*) grep ' image: ' "\${@: -1}" >>log ;; esac`);
    const file = join(folder, 'knative/overlays', overlay, 'kustomization.yaml');
    const digits = '  - ../../base/digits\n';
    writeFileSync(file, readFileSync(file, 'utf8').replace(digits, `${digits}  - ../../base/events\n`));

    expect(
      run('deploy.sh', [overlay], {
        KUBE_CONFIG: 'kept',
        KUBE_CONTEXT_DEV: 'one',
        KUBE_CONTEXT_PROD: 'one',
        DIGESTS: digests,
      }),
    ).toEqual({ status: 0, stderr: '' });

    expect(logged()).toEqual(
      expect.arrayContaining([expect.stringMatching(/ image: registry\.test\/understudy-events@sha256:a+$/)]),
    );
    expect(logged().join('\n')).toContain(' wait --namespace understudy kafkasource --all --for condition=Ready ');
  });
});
