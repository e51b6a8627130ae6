import { execFile, execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const compiled = fileURLToPath(new URL('../..', import.meta.url));

describe('select.sh', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(compiled, 'select-'));
    for (const path of ['models/large', 'models/wide-resnet', 'embedded/wide-resnet', 'embedded/mobilenet']) {
      mkdirSync(join(folder, path), { recursive: true });
      writeFileSync(join(folder, path, 'model.json'), path);
    }
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  function select(...pairs: string[]) {
    const args = [join(process.cwd(), 'functions/image/select.sh'), 'models', 'embedded', 'chosen', ...pairs];
    const { status, stderr } = spawnSync('sh', args, { cwd: folder, encoding: 'utf8' });
    const chosen = join(folder, 'chosen');
    const from = filesIn(chosen).map((path) => readFileSync(join(chosen, path), 'utf8'));
    return { status, stderr, from: from.sort() };
  }

  it('takes the chosen folder, and the embedded one to stand in for it', () => {
    expect(select('large', 'mobilenet')).toEqual({
      status: 0,
      stderr: '',
      from: ['embedded/mobilenet', 'models/large'],
    });
  });

  it('takes a folder of the name of an embedded one in its place', () => {
    expect(select('wide-resnet', 'wide-resnet').from).toEqual(['models/wide-resnet']);
  });

  it('takes the embedded folder where the chosen one is missing, and says so', () => {
    expect(select('larger', 'wide-resnet', 'mobilenet', 'mobilenet')).toEqual({
      status: 0,
      stderr: 'Expected a model folder for larger but received none: the image serves wide-resnet in its place\n',
      from: ['embedded/mobilenet', 'embedded/wide-resnet'],
    });
  });
});

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

/** Links what `npm ci --omit=dev` would install into a folder beside the compiled files, on whose disk it is. */
function linkPackages(folder: string): void {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
  const installed = Object.keys(packages).filter((path) => path !== '' && !packages[path]?.dev && existsSync(path));
  for (const path of installed) linkTree(path, join(folder, path));
}

function linkTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isFile()) linkSync(join(from, entry.name), join(to, entry.name));
    else if (entry.isDirectory() && entry.name !== 'node_modules')
      linkTree(join(from, entry.name), join(to, entry.name));
  }
}

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

describe('prune.sh', () => {
  let folder: string;
  let modules: string;

  function prune(arch: string): void {
    execFileSync('sh', ['functions/image/prune.sh', modules, arch], { stdio: 'pipe' });
  }

  beforeEach(() => {
    folder = mkdtempSync(join(compiled, 'prune-'));
    modules = join(folder, 'node_modules');
    linkPackages(folder);
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  it.each(['x64', 'arm64'])('leaves what onnxruntime-node loads on linux/%s, and of no other system', (arch) => {
    const bin = readdirSync('node_modules/onnxruntime-node/bin');
    const wanted = filesIn(`node_modules/onnxruntime-node/bin/${bin}/linux/${arch}`);

    prune(arch);

    expect(wanted).toContain('onnxruntime_binding.node');
    expect(filesIn(join(modules, 'onnxruntime-node/bin')).sort()).toEqual(
      wanted.map((name) => `${bin}/linux/${arch}/${name}`).sort(),
    );
  });

  it('says so when there is no library for the processor', () => {
    expect(() => prune('mips')).toThrow("Expected onnxruntime-node's library for linux/mips but received none");
  });

  it('leaves no compiler', () => {
    const compilers = () => readdirSync(modules).filter((name) => name.includes('typescript'));
    expect(compilers()).not.toEqual([]);

    prune('x64');

    expect(compilers()).toEqual([]);
  });

  it('leaves what jobs over Kafka need, and no second copy of it for bundlers', async () => {
    prune(process.arch);

    const script = `
      const { GetObjectCommand, S3Client } = await import('@aws-sdk/client-s3');
      const client = new S3Client({ region: 'us-east-1', endpoint: 'http://127.0.0.1:1', maxAttempts: 1 });
      const fault = await client.send(new GetObjectCommand({ Bucket: 'b', Key: 'k' })).catch(({ code }) => code);
      console.log(fault, typeof (await import('kafkajs')).Kafka);`;
    const args = ['--input-type=module', '--eval', script];
    const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env });
    expect(stdout).toBe('ECONNREFUSED function\n');
    expect(filesIn(modules).filter((path) => path.includes('/dist-es/') && /^@(aws-sdk|smithy)\//.test(path))).toEqual(
      [],
    );
  });

  it('leaves every license and notice, and no text for compilers', () => {
    const isLicense = (path: string) => /licen[cs]e|notice/i.test(basename(path)) && !/\/test\/|typescript/.test(path);
    const before = filesIn(modules).filter(isLicense);

    prune('x64');

    const after = filesIn(modules);
    expect(before.length).toBeGreaterThan(100);
    expect(after.filter(isLicense).sort()).toEqual(before.sort());
    expect(after.filter((path) => /\.(map|d\.[cm]?ts)$/.test(path) && !path.includes('@img/'))).toEqual([]);
  });

  it.each([
    ['fallback', '/classify', 'test_image_1.jpg', /"predictions":\[/],
    ['clouds', '/infer', 'patch.tif', /"mask":\[/],
    ['digits', '/predict', 'digit.png', /"probabilities":\[/],
  ])(
    'leaves a function that becomes ready and answers, which fills a compile cache where Node has one: %s',
    async (target, path, file, answer) => {
      prune(process.arch);
      linkTree(join(compiled, 'functions'), join(folder, 'dist/functions'));
      linkSync('package.json', join(folder, 'package.json'));
      const cache = join(folder, 'cache');
      const args = ['dist/functions/image/warm.js', path, join(process.cwd(), 'tests/images', file), cache];

      const { stdout } = await promisify(execFile)(process.execPath, args, {
        cwd: folder,
        env: { FUNCTION_TARGET: target, MODELS_DIR: join(process.cwd(), 'models') },
      });

      expect(stdout).toMatch(answer);
      expect(stdout).toContain('"message":"drain ends"');
      expect(filesIn(cache).length > 300).toBe(Number(process.versions.node.split('.')[0]) >= 22);
    },
    60_000,
  );
});

describe('images.sh', () => {
  it.each([
    ['no tag', undefined, 'Expected a tag for IMAGE_TAG but received none'],
    ['latest', 'latest', 'Expected a tag other than latest for IMAGE_TAG'],
  ])('builds nothing for %s', (_what, tag, message) => {
    const { IMAGE_TAG: _, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync('tests/cluster/images.sh', {
      env: tag === undefined ? env : { ...env, IMAGE_TAG: tag },
      encoding: 'utf8',
    });

    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain(message);
  });

  it('builds nothing with a folder of models that is not there', () => {
    const { status, stderr } = spawnSync('tests/cluster/images.sh', {
      env: { ...process.env, IMAGE_TAG: 'v1', BUILDER: 'false', MODELS: '/nowhere/models' },
      encoding: 'utf8',
    });

    expect(status).toBe(1);
    expect(stderr).toBe('Expected a folder for MODELS but received /nowhere/models\n');
  });

  it('hands the folder of models and the chosen ones to the builder, and shows what a failed build printed', () => {
    const builder = join(mkdtempSync(join(tmpdir(), 'builder-')), 'builder');
    writeFileSync(builder, '#!/bin/sh\necho "$@"\nexit 1\n', { mode: 0o755 });
    const { status, stderr } = spawnSync('tests/cluster/images.sh', ['primary'], {
      env: { ...process.env, IMAGE_TAG: 'v1', BUILDER: builder, MODELS: 'models', PRIMARY_MODEL: 'wide-resnet-50-2' },
      encoding: 'utf8',
    });
    rmSync(dirname(builder), { recursive: true });

    expect(status).toBe(1);
    expect(stderr).toContain('--build-arg PRIMARY_MODEL=wide-resnet-50-2 --build-context models=models ');
  });
});
