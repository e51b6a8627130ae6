import { execFile, execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
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
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadBoot } from '../../functions/core/config.ts';
import { functionCommand, memoryVariables } from '../../functions/launch.ts';
import { classify } from '../../functions/tasks/classify/task.ts';

const compiled = fileURLToPath(new URL('../..', import.meta.url));

interface Instruction {
  readonly keyword: string;
  readonly rest: string;
}

interface Stage {
  readonly name: string;
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

interface Recipe {
  /** Default of each ARG before the first stage. */
  readonly defaults: Readonly<Record<string, string>>;
  /** Of these, what stages begin with. */
  readonly bases: Readonly<Record<string, string>>;
  readonly stages: readonly Stage[];
}

function readRecipe(path: string): Recipe {
  const text = readFileSync(path, 'utf8')
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, ' ');
  const instructions = [...text.matchAll(/^([A-Z]+) +(.*)$/gm)].map(([, keyword = '', rest = '']) => ({
    keyword,
    rest: rest.trim().replace(/ +/g, ' '),
  }));
  const defaults: Record<string, string> = {};
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const instruction of instructions) {
    const { keyword, rest } = instruction;
    const [from = '', , name = ''] = rest.split(' ');
    if (keyword === 'FROM') stages.push({ name, from, instructions: [] });
    else if (stages.length > 0) stages.at(-1)?.instructions.push(instruction);
    else defaults[rest.split('=')[0] as string] = rest.slice(rest.indexOf('=') + 1);
  }
  const bases = Object.fromEntries(Object.entries(defaults).filter(([name]) => name.endsWith('_BASE')));
  return { defaults, bases, stages };
}

/** What ends up in a target's image: the instructions of its stage and, before them, of those that it is made from. */
function imageOf({ stages }: Pick<Recipe, 'stages'>, target: string): readonly Instruction[] {
  const stage = stages.find(({ name }) => name === target);
  return stage === undefined ? [] : [...imageOf({ stages }, stage.from), ...stage.instructions];
}

function valuesOf(instructions: readonly Instruction[], keyword: string): string[] {
  return instructions.filter((instruction) => instruction.keyword === keyword).map(({ rest }) => rest);
}

/** The environment that a target's image sets. */
function envOf(instructions: readonly Instruction[]): Record<string, string> {
  return Object.fromEntries(
    valuesOf(instructions, 'ENV').flatMap((rest) => rest.split(' ').map((pair) => pair.split(/=(.*)/, 2))),
  );
}

/** The paths that COPY takes from the checkout. */
function copiedFromContext({ stages }: Recipe): string[] {
  const copies = stages.flatMap(({ instructions }) => valuesOf(instructions, 'COPY'));
  return copies.filter((rest) => !rest.startsWith('--from=')).flatMap((rest) => rest.split(' ').slice(0, -1));
}

const functions = readRecipe('functions/Dockerfile');
const ingress = readRecipe('ingress/Dockerfile');
const images: [name: string, instructions: readonly Instruction[]][] = [
  ['primary', imageOf(functions, 'primary')],
  ['fallback', imageOf(functions, 'fallback')],
  ['ingress', imageOf(ingress, '')],
];

describe.each([
  ['functions/Dockerfile', functions],
  ['ingress/Dockerfile', ingress],
])('%s', (_path, recipe) => {
  it('starts every stage from a base that can be replaced, or from a stage before it', () => {
    const known = new Set(['scratch', ...Object.keys(recipe.bases).map((name) => `\${${name}}`)]);

    for (const { from, name } of recipe.stages) {
      expect(known).toContain(from);
      known.add(name);
    }
  });

  it('names its bases with their registry and a version, never latest', () => {
    for (const base of Object.values(recipe.bases)) {
      expect(base).toMatch(/^[a-z.]+\.[a-z]+\/\S+:\S+$/);
      expect(base).toMatch(/[\d]/);
      expect(base).not.toContain('latest');
    }
  });

  it('copies what exists', () => {
    const paths = copiedFromContext(recipe);

    expect(paths.length).toBeGreaterThan(1);
    expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  });

  it('copies only from stages that it has', () => {
    const names = recipe.stages.map(({ name }) => name);
    const copies = recipe.stages.flatMap(({ instructions }) => valuesOf(instructions, 'COPY'));
    const sources = copies.flatMap((rest) => /^--from=(\S+)/.exec(rest)?.[1] ?? []);

    expect(names).toEqual(expect.arrayContaining(sources));
  });
});

describe('.dockerignore', () => {
  const [first, ...others] = readFileSync('.dockerignore', 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const allowed = others.map((line) => line.slice(1));

  it('leaves everything out but for a list of paths that exist', () => {
    expect(first).toBe('*');
    expect(others.filter((line) => !line.startsWith('!'))).toEqual([]);
    expect(allowed.map((path) => path.replace(/\/\*\.c?ts$/, '')).filter((path) => !existsSync(path))).toEqual([]);
  });

  it('lets through what the Dockerfiles copy, and nothing that they do not', () => {
    const copied = [...copiedFromContext(functions), ...copiedFromContext(ingress)];
    const isIn = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`);

    expect(copied.filter((path) => !allowed.some((entry) => isIn(entry, path) || isIn(path, entry)))).toEqual([]);
    const sources = readdirSync('functions').filter((file) => /ts$/.test(file));
    expect(sources.filter((file) => !allowed.includes(`functions/*${extname(file)}`))).toEqual([]);
    expect(allowed.filter((entry) => !copied.some((path) => isIn(entry, path)))).toEqual([]);
  });
});

describe.each(images)('the image %s', (name, instructions) => {
  it('runs as user 65532, whatever its base says', () => {
    expect(valuesOf(instructions, 'USER').at(-1)).toBe('65532:65532');
  });

  it('says what it is, of which version and commit', () => {
    const labels = valuesOf(instructions, 'LABEL').join(' ');
    const args = valuesOf(instructions, 'ARG').map((rest) => rest.split('=')[0]);

    expect(labels).toContain(`org.opencontainers.image.title="understudy-${name}"`);
    for (const arg of ['VERSION', 'REVISION', 'SOURCE']) {
      expect(args).toContain(arg);
      expect(labels).toContain(`org.opencontainers.image.${arg.toLowerCase()}="\${${arg}}"`);
    }
  });

  it('starts a program itself, without a shell or npm', () => {
    const [entrypoint] = valuesOf(instructions, 'ENTRYPOINT');
    const [program] = JSON.parse(String(entrypoint));

    expect(program).toMatch(/^(node|understudy-ingress)$/);
    expect(valuesOf(instructions, 'CMD')).toEqual([]);
  });
});

describe.each(['primary', 'fallback'] as const)('the image %s', (target) => {
  const instructions = imageOf(functions, target);
  const env = envOf(instructions);
  const copies = valuesOf(instructions, 'COPY').map((rest) => rest.split(' ').at(-1) as string);

  it('has the models of the roles that the function names, and no other', () => {
    const roles = target === 'primary' ? (['primaryModel', 'fallbackModel'] as const) : (['fallbackModel'] as const);
    const models = valuesOf(instructions, 'COPY').filter((rest) => rest.endsWith(' models'));
    const [selection = ''] = valuesOf(imageOf(functions, 'checkout'), 'RUN');

    expect(models).toEqual(
      roles.toReversed().map((role) => `--from=checkout /app/${role.replace('Model', '-models')} models`),
    );
    for (const role of roles) {
      const variable = role.replace('Model', '_MODEL').toUpperCase();
      const folder = role.replace('Model', '-models');
      expect(selection).toContain(`select.sh models embedded ${folder} "$${variable}" ${classify.models[role]}`);
      expect(functions.defaults[variable]).toBe(classify.models[role]);
      expect(env[variable]).toBe(`\${${variable}}`);
    }
    expect(env).toMatchObject({ FUNCTION_TARGET: target, MODELS_DIR: '/app/models' });
  });

  it('starts a file that the compiler makes', () => {
    const script = JSON.parse(String(valuesOf(instructions, 'ENTRYPOINT')[0])).at(-1);

    expect(copies).toContain(dirname(script));
    expect(existsSync(script.replace('dist/', compiled))).toBe(true);
  });

  it('starts it as everyone does who starts a function, and fills its compile cache with the same flags', () => {
    const [, ...args] = functionCommand(target).map((arg) =>
      arg.replace(compiled, 'dist/').replace('dist/functions/threads', './$&'),
    );
    const [made = ''] = valuesOf(imageOf(functions, `${target}-warm`), 'RUN');

    expect(JSON.parse(String(valuesOf(instructions, 'ENTRYPOINT')[0]))).toEqual(['node', ...args]);
    expect(JSON.parse(made).slice(0, args.length)).toEqual(['node', ...args.slice(0, -1)]);
    expect(Object.fromEntries(Object.entries(env).filter(([name]) => /^(MALLOC|GLIBC)_/.test(name)))).toEqual(
      memoryVariables(target),
    );
  });

  it('finds node where distroless has it, and where the official images have it', () => {
    expect(env.PATH?.split(':')).toEqual(expect.arrayContaining(['/nodejs/bin', '/usr/local/bin']));
  });

  it('has a compile cache where Node looks for it, made by its own user in its own base', () => {
    const warm = imageOf(functions, `${target}-warm`);
    const [made = ''] = valuesOf(warm, 'RUN');

    expect(env.NODE_COMPILE_CACHE).toBe('/app/compile-cache');
    expect(valuesOf(instructions, 'COPY')).toContain(
      `--from=${target}-warm --chown=0:0 ${JSON.parse(made).at(-1)} compile-cache`,
    );
    expect(warm.slice(0, imageOf(functions, `${target}-files`).length)).toEqual(imageOf(functions, `${target}-files`));
  });

  it('exposes the port that the function listens on by default', () => {
    expect(valuesOf(instructions, 'EXPOSE')).toEqual([String(loadBoot(['primary', 'fallback'], {}).port)]);
  });
});

describe('the image ingress', () => {
  const checked = imageOf(ingress, 'checked');
  const instructions = imageOf(ingress, '');

  it('has the configuration where entrypoint.sh looks for it', () => {
    const { TEMPLATE } = envOf(instructions);

    expect(valuesOf(checked, 'COPY')).toContain(`ingress/nginx.conf ${TEMPLATE}`);
    expect(valuesOf(instructions, 'COPY')).toContain(
      `--from=checked ${dirname(String(TEMPLATE))} ${dirname(String(TEMPLATE))}`,
    );
  });

  it('starts through entrypoint.sh, which may be executed', () => {
    const [program] = JSON.parse(String(valuesOf(instructions, 'ENTRYPOINT')[0]));
    const copy = valuesOf(checked, 'COPY').find((rest) => rest.startsWith('ingress/entrypoint.sh '));

    expect(basename(String(copy))).toBe(program);
    expect(() => accessSync('ingress/entrypoint.sh', constants.X_OK)).not.toThrow();
  });

  it('gives the template every variable in the check of its build', () => {
    const given = [...(valuesOf(checked, 'RUN').at(-1) ?? '').matchAll(/([A-Z_]+)=/g)].map(([, name]) => name);
    const wanted = [...readFileSync('ingress/nginx.conf', 'utf8').matchAll(/\$\{([A-Z_]+)\}/g)].map(([, name]) => name);

    expect(given).toEqual(expect.arrayContaining(wanted.filter((name) => name !== 'REAL_IP')));
  });
});

describe('npm in the build', () => {
  it('runs no script of a package, since the settings that forbid it are copied first', () => {
    const installs = functions.stages.filter(({ instructions }) =>
      valuesOf(instructions, 'RUN').join().includes('npm ci'),
    );

    expect(readFileSync('.npmrc', 'utf8')).toContain('ignore-scripts=true\n');
    expect(installs).toHaveLength(2);
    for (const { instructions } of installs) expect(valuesOf(instructions, 'COPY')[0]).toMatch(/ \.npmrc \.\/$/);
  });

  it('is over when the image begins: no image inherits from its base', () => {
    for (const [, instructions] of images) expect(valuesOf(instructions, 'RUN')).toEqual([]);
    expect(imageOf(functions, 'packages')).not.toEqual([]);
    expect(functions.stages.find(({ name }) => name === 'runtime')?.from).toBe(`\${RUN_BASE}`);
  });
});

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

  it('leaves every license and notice, and no text for compilers', () => {
    const isLicense = (path: string) => /licen[cs]e|notice/i.test(basename(path)) && !/\/test\/|typescript/.test(path);
    const before = filesIn(modules).filter(isLicense);

    prune('x64');

    const after = filesIn(modules);
    expect(before.length).toBeGreaterThan(100);
    expect(after.filter(isLicense).sort()).toEqual(before.sort());
    expect(after.filter((path) => /\.(map|d\.[cm]?ts)$/.test(path) && !path.includes('@img/'))).toEqual([]);
  });

  it('leaves a function that becomes ready and classifies, which fills a compile cache where Node has one', async () => {
    prune(process.arch);
    linkTree(join(compiled, 'functions'), join(folder, 'dist/functions'));
    linkSync('package.json', join(folder, 'package.json'));
    const photo = join(process.cwd(), 'tests/images/test_image_1.jpg');
    const cache = join(folder, 'cache');

    const { stdout } = await promisify(execFile)(process.execPath, ['dist/functions/image/warm.js', photo, cache], {
      cwd: folder,
      env: { FUNCTION_TARGET: 'fallback', MODELS_DIR: join(process.cwd(), 'models') },
    });

    expect(stdout).toMatch(/"predictions":\[/);
    expect(stdout).toContain('"message":"drain ends"');
    expect(filesIn(cache).length > 300).toBe(Number(process.versions.node.split('.')[0]) >= 22);
  }, 60_000);
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
