import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { deployedOf, paths, readFiles } from '../files.ts';
import { describeWith, findBases, run } from './bench.ts';
import { openProject, type Project } from './podman.ts';

jest.setTimeout(30 * 60_000); // six images, on two slow cores

const services = deployedOf(readFiles());
const bases = await findBases();

(bases === undefined ? describe.skip : describeWith(['podman', 'podman-compose', 'runc', 'registry', 'buildah']))(
  'compose.yaml, run by podman with images of a registry',
  () => {
    let project: Project;

    beforeAll(async () => {
      project = await openProject(bases, [paths.compose]);
    });

    afterAll(() => project?.close());

    /** Asks until the answer has something in it, 60 s at most. @returns the last answer */
    async function ask(expected: string, path: string, upload: string): Promise<string> {
      let answer = '';
      for (const end = Date.now() + 60_000; Date.now() < end && !answer.includes(expected); await sleep(200)) {
        const form = ['--form', `image=@tests/images/${upload}`];
        ({ output: answer } = await run('curl', [
          '--silent',
          '--show-error',
          '--max-time',
          '20',
          ...form,
          project.url + path,
        ]));
      }
      return answer;
    }

    const classify = (expected: string) => ask(expected, '/classify', 'test_image_1.jpg');

    it('answers on all three paths after one command', async () => {
      const { status, output } = await project.compose('up', '--detach');

      expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
      expect(await classify('"tier":"primary"')).toContain('"label":"goldfish"');
      expect(await ask('"digit":', '/predict', 'digit.png')).toContain('"digit":');
      expect(await ask('"cloudFraction":', '/infer?format=rle', 'patch.tif')).toContain('"cloudFraction":');
    });

    it.each(services)('finds %s healthy, by a user without rights who can write nothing', async (name) => {
      const container = `${project.name}_${name}_1`;
      const { status } = await project.podman('healthcheck', 'run', container);
      const seen = await project.podman(
        'inspect',
        '--format',
        '{{.State.Pid}} {{.HostConfig.ReadonlyRootfs}}',
        container,
      );

      const [pid, isReadOnly] = seen.output.trim().split(' ');
      const { output } = await run('sed', ['--quiet', '/^\\(Uid\\|CapEff\\|NoNewPrivs\\):/p', `/proc/${pid}/status`]);
      expect({ status, isReadOnly }).toEqual({ status: 0, isReadOnly: 'true' });
      expect(output.replace(/\s+/g, ' ')).toBe('Uid: 65532 65532 65532 65532 CapEff: 0000000000000000 NoNewPrivs: 1 ');
    });

    it('answers by the fallback while the primary is stopped, and by the primary after that', async () => {
      await project.compose('stop', 'primary');
      expect(await classify('"tier":"fallback"')).toContain('"label":"goldfish"');

      await project.compose('start', 'primary');
      expect(await classify('"tier":"primary"')).toContain('"degraded":false');
    });

    it('leaves nothing when it is taken down', async () => {
      const { status } = await project.compose('down');

      expect(status).toBe(0);
      expect((await project.podman('ps', '--all', '--quiet')).output).toBe('');
    });
  },
);
