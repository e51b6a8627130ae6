import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../ingress/port.ts';
import { buildAndPush, copyForPipelines, createStore, type Ran, type Registry, run, startRegistry } from './bench.ts';

/** A Compose project with this checkout's images, pulled from a registry on loopback into a store of its own. */
export interface Project {
  readonly name: string;
  /** Of the ingress. */
  readonly url: string;
  readonly registry: Registry;
  compose(...args: string[]): Promise<Ran>;
  podman(...args: string[]): Promise<Ran>;
  close(): Promise<void>;
}

/** Builds and pushes the images; starts nothing. @param files of Compose; the caller closes the project */
export async function openProject(bases: NodeJS.ProcessEnv | undefined, files: readonly string[]): Promise<Project> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-compose-'));
  const checkout = join(folder, 'checkout');
  const registry = await startRegistry();
  copyForPipelines(checkout);
  await buildAndPush(checkout, { ...bases, ...registry.env, IMAGE_PREFIX: registry.prefix });
  mkdirSync(join(folder, 'store'));
  const store = createStore(join(folder, 'store'));
  const address = `127.0.0.1:${await freePort()}`;
  const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: checkout, encoding: 'utf8' }).trim();
  const env = {
    ...registry.env,
    ...store.env,
    CONTAINERS_CONF: writeSettings(folder),
    IMAGE_PREFIX: registry.prefix,
    IMAGE_TAG: `sha-${commit}-${process.arch === 'x64' ? 'amd64' : process.arch}`,
    PUBLISH: address,
  };
  const name = `understudy-test-${process.pid}`;
  const options = ['--project-name', name, ...files.flatMap((file) => ['--file', file])];
  const compose = (...args: string[]) => run('podman-compose', [...options, ...args], env, checkout);
  return {
    name,
    url: `http://${address}`,
    registry,
    compose,
    podman: (...args) => run('podman', args, env),
    async close() {
      await compose('down', '--volumes');
      await store.remove();
      await registry.stop();
      rmSync(folder, { recursive: true });
    },
  };
}

/** For a machine without systemd, where limits cannot be raised; networks lie in the folder. @returns its path */
function writeSettings(folder: string): string {
  const file = join(folder, 'containers.conf');
  const settings = {
    containers: { default_ulimits: ['nofile=1024:1024', 'nproc=1024:1024'], log_driver: 'k8s-file' },
    engine: { cgroup_manager: 'cgroupfs', runtime: 'runc', events_logger: 'file', tmp_dir: join(folder, 'tmp') },
    network: { network_backend: 'netavark', network_config_dir: join(folder, 'networks') },
  };
  const lines = Object.entries(settings).flatMap(([name, values]) => [
    `[${name}]`,
    ...Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`),
  ]);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
