import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { freePort } from '../../../ingress/port.ts';
import { deployedOf, readFiles } from '../files.ts';
import {
  buildAndPush,
  copyForPipelines,
  createStore,
  describeWith,
  findBases,
  type Registry,
  run,
  type Store,
  startRegistry,
} from './bench.ts';

jest.setTimeout(30 * 60_000); // six images, on two slow cores

const services = deployedOf(readFiles());
const bases = await findBases();
const project = `understudy-test-${process.pid}`;

(bases === undefined ? describe.skip : describeWith(['podman', 'podman-compose', 'runc', 'registry', 'buildah']))(
  'compose.yaml, run by podman with images of a registry',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-compose-'));
    const checkout = join(folder, 'checkout');
    let registry: Registry;
    let store: Store;
    let env: NodeJS.ProcessEnv;
    let url: string;

    beforeAll(async () => {
      registry = await startRegistry();
      copyForPipelines(checkout);
      await buildAndPush(checkout, { ...bases, ...registry.env, IMAGE_PREFIX: registry.prefix });
      mkdirSync(join(folder, 'store'));
      store = createStore(join(folder, 'store'));
      const address = `127.0.0.1:${await freePort()}`;
      url = `http://${address}`;
      env = {
        ...registry.env,
        ...store.env,
        CONTAINERS_CONF: writeSettings(),
        IMAGE_PREFIX: registry.prefix,
        IMAGE_TAG: `sha-${git('rev-parse', '--short=12', 'HEAD')}-${process.arch === 'x64' ? 'amd64' : process.arch}`,
        PUBLISH: address,
      };
    });

    afterAll(async () => {
      await compose('down');
      await store.remove();
      await registry.stop();
      rmSync(folder, { recursive: true });
    });

    const git = (...args: string[]) => execFileSync('git', args, { cwd: checkout, encoding: 'utf8' }).trim();
    const compose = (...args: string[]) => run('podman-compose', ['--project-name', project, ...args], env, checkout);
    const podman = (...args: string[]) => run('podman', args, env);

    /** For a machine without systemd, where limits cannot be raised; its networks lie in the folder. */
    function writeSettings(): string {
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

    /** Asks until the answer has something in it, 60 s at most. @returns the last answer */
    async function ask(expected: string, path: string, upload: string): Promise<string> {
      let answer = '';
      for (const end = Date.now() + 60_000; Date.now() < end && !answer.includes(expected); await sleep(200)) {
        const form = ['--form', `image=@tests/images/${upload}`];
        ({ output: answer } = await run('curl', ['--silent', '--show-error', '--max-time', '20', ...form, url + path]));
      }
      return answer;
    }

    const classify = (expected: string) => ask(expected, '/classify', 'test_image_1.jpg');

    it('answers on all three paths after one command', async () => {
      const { status, output } = await compose('up', '--detach');

      expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
      expect(await classify('"tier":"primary"')).toContain('"label":"goldfish"');
      expect(await ask('"digit":', '/predict', 'digit.png')).toContain('"digit":');
      expect(await ask('"cloudFraction":', '/infer?format=rle', 'patch.tif')).toContain('"cloudFraction":');
    });

    it.each(services)('finds %s healthy, by a user without rights who can write nothing', async (name) => {
      const container = `${project}_${name}_1`;
      const { status } = await podman('healthcheck', 'run', container);
      const seen = await podman('inspect', '--format', '{{.State.Pid}} {{.HostConfig.ReadonlyRootfs}}', container);

      const [pid, isReadOnly] = seen.output.trim().split(' ');
      const { output } = await run('sed', ['--quiet', '/^\\(Uid\\|CapEff\\|NoNewPrivs\\):/p', `/proc/${pid}/status`]);
      expect({ status, isReadOnly }).toEqual({ status: 0, isReadOnly: 'true' });
      expect(output.replace(/\s+/g, ' ')).toBe('Uid: 65532 65532 65532 65532 CapEff: 0000000000000000 NoNewPrivs: 1 ');
    });

    it('answers by the fallback while the primary is stopped, and by the primary after that', async () => {
      await compose('stop', 'primary');
      expect(await classify('"tier":"fallback"')).toContain('"label":"goldfish"');

      await compose('start', 'primary');
      expect(await classify('"tier":"primary"')).toContain('"degraded":false');
    });

    it('leaves nothing when it is taken down', async () => {
      const { status } = await compose('down');

      expect(status).toBe(0);
      expect((await podman('ps', '--all', '--quiet')).output).toBe('');
    });
  },
);
