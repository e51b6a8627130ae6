import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { functionCommand, memoryVariables } from '../../functions/launch.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { clouds } from '../../functions/tasks/clouds/task.ts';
import { digits } from '../../functions/tasks/digits/task.ts';

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
    const [from = '', , name = ''] = rest.replace(/^--platform=\S+ /, '').split(' ');
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
  ['clouds', imageOf(functions, 'clouds')],
  ['digits', imageOf(functions, 'digits')],
  ['events', imageOf(functions, 'events')],
  ['ingress', imageOf(ingress, '')],
];

describe.each([
  ['functions/Dockerfile', functions],
  ['ingress/Dockerfile', ingress],
])('%s', (_path, recipe) => {
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

describe.each(images)('the image %s', (_name, instructions) => {
  it('runs as user 65532, whatever its base says', () => {
    expect(valuesOf(instructions, 'USER').at(-1)).toBe('65532:65532');
  });

  it('starts a program itself, without a shell or npm', () => {
    const [entrypoint] = valuesOf(instructions, 'ENTRYPOINT');
    const [program] = JSON.parse(String(entrypoint));

    expect(program).toMatch(/^(node|understudy-ingress)$/);
    expect(valuesOf(instructions, 'CMD')).toEqual([]);
  });
});

/** What each function serves, and the uploads that its image is made warm with. */
const served = {
  primary: { models: classify.models, upload: ['/classify', 'warm/test_image_1.jpg'] },
  fallback: { models: classify.models.slice(-1), upload: ['/classify', 'warm/test_image_1.jpg'] },
  clouds: { models: clouds.models, upload: ['/infer', 'warm/patch.tif'] },
  digits: { models: digits.models, upload: ['/predict', 'warm/digit.png'] },
  events: { models: [], upload: ['/', 'warm/event.json'] },
} as const;

const embeddedOf = (target: string) =>
  valuesOf(imageOf(functions, target), 'COPY').filter((rest) => rest.endsWith(' models'));

it('has the models of all tasks in the image events', () => {
  const own = embeddedOf('events');

  for (const target of ['primary', 'clouds', 'digits']) expect(own).toEqual(expect.arrayContaining(embeddedOf(target)));
});

const targets = Object.keys(served) as (keyof typeof served)[];

describe.each(targets.filter((target) => target !== 'events'))('the image %s', (target) => {
  const instructions = imageOf(functions, target);
  const env = envOf(instructions);

  it('has the models that the function serves, and no other', () => {
    const slots = served[target].models;
    const models = valuesOf(instructions, 'COPY').filter((rest) => rest.endsWith(' models'));
    const [selection = ''] = valuesOf(imageOf(functions, 'checkout'), 'RUN');
    const folderOf = (variable: string) => variable.toLowerCase().replace('_model', '-models');
    const chosen = slots.filter(({ variable }) => variable !== undefined);

    expect(models).toEqual(
      chosen.toReversed().map(({ variable = '' }) => `--from=checkout /app/${folderOf(variable)} models`),
    );
    for (const { variable = '', embedded } of chosen) {
      expect(selection).toContain(`select.sh models embedded ${folderOf(variable)} "$${variable}" ${embedded}`);
      expect(functions.defaults[variable]).toBe(embedded);
      expect(env[variable]).toBe(`\${${variable}}`);
    }
    const fixed = slots
      .map(({ embedded }) => embedded)
      .filter((name) => !chosen.some(({ embedded }) => embedded === name));
    for (const name of fixed) expect(selection).toMatch(new RegExp(` ${target}-models [^&]* ${name} ${name} `));
    expect(env).toMatchObject({ FUNCTION_TARGET: target, MODELS_DIR: '/app/models' });
  });
});

describe.each(targets)('the image %s', (target) => {
  const instructions = imageOf(functions, target);
  const env = envOf(instructions);

  it('starts it as everyone does who starts a function, and fills its compile cache with the same flags', () => {
    const [, ...args] = functionCommand(target).map((arg) =>
      arg.replace(compiled, 'dist/').replace('dist/functions/threads', './$&'),
    );
    const [made = ''] = valuesOf(imageOf(functions, `${target}-warm`), 'RUN');

    expect(JSON.parse(String(valuesOf(instructions, 'ENTRYPOINT')[0]))).toEqual(['node', ...args]);
    expect(JSON.parse(made)).toEqual([
      ...['node', ...args.slice(0, -1), 'warm/warm.js'],
      ...[...served[target].upload, '/tmp/compile-cache'],
    ]);
    expect(Object.fromEntries(Object.entries(env).filter(([name]) => /^(MALLOC|GLIBC)_/.test(name)))).toEqual(
      memoryVariables(target),
    );
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
});
