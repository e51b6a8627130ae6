import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe } from '@jest/globals';
import { freePort, reserve } from '../../../ingress/port.ts';
import { paths } from '../files.ts';

/** Where install.sh leaves the tools. */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'understudy', 'delivery');
export const searchPath = [join(cache, 'bin'), process.env.PATH].join(delimiter);

export const isInstalled = (tool: string): boolean =>
  searchPath.split(delimiter).some((folder) => existsSync(join(folder, tool)));

/** `describe` where all tools are there; else its tests are skipped and counted. */
export function describeWith(tools: readonly string[]): typeof describe | typeof describe.skip {
  return tools.every(isInstalled) ? describe : describe.skip;
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  /** stdout and stderr together. */
  readonly output: string;
}

/** Runs a program to its end. */
export function run(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd = '.'): Promise<Ran> {
  const options = { cwd, env: { ...process.env, PATH: searchPath, ...env }, maxBuffer: 100_000_000 };
  return new Promise((resolve) => {
    execFile(file, [...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      resolve({
        status: typeof code === 'number' ? code : 1,
        stdout,
        output: `${stdout}${stderr}${code === 'ENOENT' ? error : ''}`,
      });
    });
  });
}

/** A copy of the checkout with its uncommitted changes, as a repository of one more commit. */
export function copyCheckout(folder: string): void {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: folder, stdio: 'ignore' });
  execFileSync('git', ['clone', '--quiet', '--no-hardlinks', '.', folder]);
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z']);
  execFileSync('tar', ['--create', '--null', '--ignore-failed-read', '--files-from=-', `--file=${folder}.tar`], {
    input: files,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  execFileSync('tar', ['--extract', `--file=${folder}.tar`, `--directory=${folder}`]);
  rmSync(`${folder}.tar`);
  git('checkout', '--quiet', '-B', 'main');
  commit(folder);
}

export function commit(folder: string): void {
  // That of the checkout's own commit: what the images' layers are made of is then in buildah's cache.
  const date = execFileSync('git', ['log', '-1', '--format=%cI'], { encoding: 'utf8' }).trim();
  const git = ['-c', 'user.name=test', '-c', 'user.email=test@localhost', '-c', 'commit.gpgsign=false'];
  execFileSync('git', ['add', '--all'], { cwd: folder });
  execFileSync('git', [...git, 'commit', '--quiet', '--allow-empty', '--message', 'test'], {
    cwd: folder,
    env: { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
  });
}

/** A copy in which `echo` stands for lint and test, which take minutes and are no part of what is tried here. */
export function copyForPipelines(folder: string): void {
  copyCheckout(folder);
  for (const name of ['lint', 'test'])
    writeFileSync(join(folder, `.github/scripts/${name}.sh`), `#!/bin/sh\necho ${name}\n`);
  commit(folder);
}

/** A registry on loopback that wants a login, and what its clients need to know. */
export interface Registry {
  /** Begins the name of every image. */
  readonly prefix: string;
  readonly env: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

export const login = { REGISTRY_USER: 'tester', REGISTRY_PASSWORD: 'loopback' };

/** A pair of keys of cosign in a new folder. */
export interface Keys {
  /** The private key with its password, as sign.sh reads them; the public log and TLS cannot be had here. */
  readonly signing: { readonly COSIGN_KEY: string; readonly COSIGN_PASSWORD: string; readonly COSIGN_OPTIONS: string };
  /** Options of `cosign verify`, which has no log to look into either. */
  readonly verifying: readonly string[];
}

export async function newKeys(folder: string): Promise<Keys> {
  mkdirSync(folder);
  await run('cosign', ['generate-key-pair'], { COSIGN_PASSWORD: 'throw-away' }, folder);
  return {
    signing: {
      COSIGN_KEY: readFileSync(join(folder, 'cosign.key'), 'utf8'),
      COSIGN_PASSWORD: 'throw-away',
      COSIGN_OPTIONS: '--tlog-upload=false --use-signing-config=false --allow-insecure-registry',
    },
    verifying: ['--key', join(folder, 'cosign.pub'), '--insecure-ignore-tlog=true', '--allow-insecure-registry'],
  };
}

export async function startRegistry(): Promise<Registry> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-registry-'));
  const address = `127.0.0.1:${await freePort()}`;
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  // The password above, by bcrypt with the fewest rounds, for that name and the one of every token of Azure.
  const names = [login.REGISTRY_USER, '00000000-0000-0000-0000-000000000000'];
  const hash = '$2b$04$ZAw4AHejryG7JeoGt5oS6ed/c.mgE4wi1oBhYGjdQMqmNII0HNzPS';
  const users = write('users', names.map((name) => `${name}:${hash}\n`).join(''));
  const settings = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    auth: { htpasswd: { realm: 'test', path: users } },
    http: { addr: address },
  };
  const child = spawn('registry', ['serve', write('registry.json', JSON.stringify(settings))], {
    env: { PATH: searchPath, OTEL_TRACES_EXPORTER: 'none' },
    stdio: 'ignore', // it calls each blob that it does not have yet an error
  });
  await listens(address, child);
  const home = join(folder, 'home');
  for (const name of ['.docker', '.config/containers']) mkdirSync(join(home, name), { recursive: true });
  // buildah takes only registries of this list without TLS; crane takes any on loopback.
  write('home/.config/containers/registries.conf', `[[registry]]\nlocation = "${address}"\ninsecure = true\n`);
  const basic = Buffer.from(`${login.REGISTRY_USER}:${login.REGISTRY_PASSWORD}`).toString('base64');
  const keys = write('home/.docker/config.json', JSON.stringify({ auths: { [address]: { auth: basic } } }));
  const env = {
    REGISTRY_AUTH_FILE: join(folder, 'auth.json'), // where login.sh leaves it
    DOCKER_CONFIG: join(keys, '..'),
    HOME: home,
    VERIFY_PORT: String(await freePorts(6)), // of verify.sh, whose own may be taken
    ...login,
  };
  const stop = async () => {
    child.kill();
    if (child.exitCode === null) await once(child, 'exit');
    // Without root, buildah keeps its store here, whose files belong to users of its own namespace.
    if (process.getuid?.() === 0) rmSync(folder, { recursive: true });
    else execFileSync('buildah', ['unshare', 'rm', '-rf', folder], { env: { ...process.env, ...env } });
  };
  return { prefix: `${address}/understudy/understudy-`, env, stop };
}

/** @returns the first of some free ports in a row, below those that Linux gives to any program (32768 on): they stay free for minutes */
async function freePorts(wanted: number): Promise<number> {
  for (;;) {
    const first = 20_000 + 10 * Math.floor(1000 * Math.random());
    const others = Array.from({ length: wanted }, (_, index) => reserve(first + index));
    const reserved = await Promise.allSettled(others);
    await Promise.all(reserved.map((one) => one.status === 'fulfilled' && one.value.release()));
    if (reserved.every(({ status }) => status === 'fulfilled')) return first;
  }
}

async function listens(address: string, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const answered = await fetch(`http://${address}/v2/`).catch(() => undefined);
    if (answered?.status === 401) return;
    await sleep(100);
  }
  throw new Error(`Expected a registry at ${address} but it ended with ${child.exitCode}`);
}

/** A store of buildah and podman of its own, in a folder. */
export interface Store {
  readonly env: NodeJS.ProcessEnv;
  remove(): Promise<void>;
}

export function createStore(folder: string): Store {
  const at = (path: string) => JSON.stringify(join(folder, path));
  const file = join(folder, 'storage.conf');
  writeFileSync(file, `[storage]\ndriver = "overlay"\ngraphroot = ${at('images')}\nrunroot = ${at('run')}\n`);
  const env = { CONTAINERS_STORAGE_CONF: file };
  const remove = async () => {
    await run('buildah', ['rmi', '--all', '--force'], env);
    await run('umount', [join(folder, 'images/overlay')]); // a mount on itself, which buildah leaves
    rmSync(folder, { recursive: true });
  };
  return { env, remove };
}

/** Builds and pushes all images of a checkout. @returns their digests, as push.sh tells them */
export async function buildAndPush(checkout: string, env: NodeJS.ProcessEnv, umask = '0022'): Promise<string> {
  const steps = `umask ${umask} && for step in login build push; do .github/scripts/$step.sh || exit; done`;
  const { status, output } = await run('bash', ['-c', steps], env, checkout);
  const [digests] = /^DIGESTS_.*$/m.exec(output) ?? [];
  if (status !== 0 || digests === undefined) throw new Error(output);
  return digests;
}

/**
 * The base images, as images.sh reads them: from the environment, else those of the Dockerfiles where a registry can be reached, else
 * made by bases.sh; undefined where none can be had.
 */
export async function findBases(): Promise<NodeJS.ProcessEnv | undefined> {
  const given = ['BUILD_BASE', 'RUN_BASE', 'NGINX_BASE', 'NPMRC'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  if (process.env.BUILD_BASE !== undefined) return Object.fromEntries(given);
  if (!isInstalled('buildah')) return undefined;
  const [, own = ''] = /^ARG RUN_BASE=(.*)$/m.exec(readFileSync(paths.recipe, 'utf8')) ?? [];
  const pulled = await run('timeout', ['60', 'buildah', 'pull', '--quiet', own]);
  if (pulled.status === 0) return {};
  const { status, output } = await run('tests/delivery/tools/bases.sh', []);
  if (status !== 0) return undefined;
  const lines = output.split('\n').filter((line) => /^[A-Z_]+=/.test(line));
  return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
}
