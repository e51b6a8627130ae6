import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { freePort } from '../../../ingress/port.ts';
import { describeWith, findBases, run } from './bench.ts';

jest.setTimeout(20 * 60_000); // a processor that is emulated on two slow cores

const bases = await findBases();
const isRoot = process.getuid?.() === 0; // buildah mounts nothing for others

/** What an arm64 kernel tells of a Cortex-A72; qemu would show this machine's, which ONNX Runtime cannot read there. */
const processor = `processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
`;

(bases === undefined || !isRoot ? describe.skip : describeWith(['buildah', 'debootstrap', 'qemu-aarch64-static']))(
  'the image of the primary for arm64, built without emulation',
  () => {
    let container: string;
    let root: string;

    beforeAll(async () => {
      const base = await buildah('tests/delivery/tools/arm64.sh');
      const platforms = {
        BUILDPLATFORM: `linux/${process.arch.replace('x64', 'amd64')}`,
        TARGETPLATFORM: 'linux/arm64',
      };
      const { NPMRC, BUILD_BASE } = bases ?? {};
      const given = { ...platforms, RUN_BASE: base.replace('RUN_BASE=', ''), ...(BUILD_BASE && { BUILD_BASE }) };
      const built = await buildah(
        ...['buildah', 'build', '--platform', 'linux/arm64', '--layers', '--timestamp', '0', '--quiet'],
        // Without a compile cache, which only the image's own Node.js can make.
        ...['--file', 'functions/Dockerfile', '--target', 'primary-files'],
        ...Object.entries(given).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
        ...(NPMRC === undefined ? [] : ['--secret', `id=npmrc,src=${NPMRC}`]),
        '.',
      );
      container = await buildah('buildah', 'from', '--quiet', '--pull-never', built);
      root = await buildah('buildah', 'mount', container);
    });

    afterAll(() => buildah('buildah', 'rm', container));

    /** @returns the last line of what a command prints: npm's notices in a build are no part of that */
    async function buildah(command: string, ...args: string[]): Promise<string> {
      const { status, stdout, output } = await run(command, args, { BUILDAH_ISOLATION: 'chroot' });
      if (status !== 0) throw new Error(output);
      return stdout.trim().split('\n').at(-1) ?? '';
    }

    it('says that it is for arm64', async () => {
      const format = ['--format', '{{.OCIv1.OS}}/{{.OCIv1.Architecture}}'];

      expect(await buildah('buildah', 'inspect', ...format, container)).toBe('linux/arm64');
    });

    it('has programs for arm64 alone: those of sharp and ONNX Runtime', () => {
      const files = readdirSync(join(root, 'app'), { recursive: true, withFileTypes: true }).filter((file) =>
        file.isFile(),
      );
      const machines = files.flatMap(({ parentPath, name }) => machineOf(join(parentPath, name)));

      expect(machines.map(([name]) => basename(name)).sort()).toEqual([
        'libonnxruntime.so.1',
        expect.stringMatching(/^libvips-cpp\.so\./),
        'onnxruntime_binding.node',
        expect.stringMatching(/^sharp-linux-arm64-.*\.node$/),
      ]);
      expect(new Set(machines.map(([, machine]) => machine))).toEqual(new Set([183])); // EM_AARCH64
    });

    // Ready means that both models have passed their golden cases.
    it('becomes ready on an emulated processor, classifies a photo, and ends when it is told', async () => {
      writeFileSync(join(root, 'proc/cpuinfo'), processor);
      const port = await freePort();
      const served = serve(port);
      try {
        const url = `http://127.0.0.1:${port}`;
        await expect(answers(served, ['--max-time', '10', `${url}/readyz`], '"ready"')).resolves.toContain('"ready"');
        const photo = ['--form', 'image=@tests/images/test_image_1.jpg', '--header', 'Prefer: handling=strict'];
        const patience = ['--header', 'X-Deadline-Ms: 30000', '--max-time', '60'];
        const answer = await answers(served, [...photo, ...patience, `${url}/classify`], '"predictions"');
        expect(JSON.parse(answer)).toMatchObject({ model: 'wide-resnet', predictions: { 0: { label: 'goldfish' } } });
        const ended = once(served, 'exit');
        served.kill();
        expect(await ended).toEqual([0, null]);
      } finally {
        served.kill('SIGKILL');
      }
    });

    function serve(port: number): ChildProcess {
      const node = join(root, 'usr/local/bin/node');
      const flags = ['--max-semi-space-size=2', '--require', './dist/functions/threads.cjs', 'dist/functions/serve.js'];
      return spawn('qemu-aarch64-static', ['-cpu', 'cortex-a72', '-L', root, node, ...flags], {
        cwd: join(root, 'app'),
        env: {
          PATH: process.env.PATH,
          FUNCTION_TARGET: 'primary',
          MODELS_DIR: 'models',
          WORKERS: '1',
          PORT: `${port}`,
        },
        stdio: 'ignore',
      });
    }

    /** Asks until the answer has something in it, five minutes at most. @returns the last answer */
    async function answers(served: ChildProcess, args: readonly string[], expected: string): Promise<string> {
      let answer = '';
      for (const end = Date.now() + 300_000; Date.now() < end && !answer.includes(expected); await sleep(500)) {
        if (served.exitCode !== null || served.signalCode !== null) throw new Error('Expected a function but it ended');
        ({ output: answer } = await run('curl', ['--silent', ...args]));
      }
      return answer;
    }
  },
);

/** Name and machine of a program or library, as its ELF header says; nothing for another file. */
function machineOf(path: string): readonly (readonly [name: string, machine: number])[] {
  const header = Buffer.alloc(20);
  const file = openSync(path, 'r');
  readSync(file, header);
  closeSync(file);
  return header.subarray(0, 4).toString('latin1') === '\x7fELF' ? [[path, header.readUInt16LE(18)]] : [];
}
