import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../functions/core/config.ts';
import { problems as common } from '../functions/core/problem.ts';
import { classify } from '../functions/tasks/classify/task.ts';
import { imageProblems } from '../functions/tasks/image/problems.ts';
import { freePort } from '../ingress/port.ts';
import { variablesOf } from './support/variables.ts';

const problems = { ...common, ...imageProblems };

const readme = readFileSync('README.md', 'utf8');
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const compiled = relative('.', fileURLToPath(new URL('..', import.meta.url)));

/** What lies below a heading of the README, down to the next one of its level. */
function section(heading: string): string {
  const [, rest] = readme.split(`\n${heading}\n`);
  if (rest === undefined) throw new Error(`Expected "${heading}" in README.md but received none`);
  return rest.split(/\n## /, 1).join();
}

/** The first two cells of each row of a section's tables, without backticks. */
function rows(heading: string): [first: string, second: string][] {
  const lines = section(heading).split('\n');
  const cells = lines.filter((line) => line.startsWith('| `')).map((line) => line.replaceAll('`', '').split(' | '));
  return cells.map(([first = '', second = '']) => [first.replace('| ', ''), second]);
}

/** Every command in the `sh` blocks of the quick start, in order; `&&` joins two of them. */
function quickStartCommands(): string[] {
  const blocks = [...section('## Quick start').matchAll(/```sh\n(.*?)```/gs)].map(([, block]) => block as string);
  return blocks.flatMap((block) => block.trim().split(/\n| && /));
}

/** Whoever runs this test has the project, its packages and its compiled files. */
const alreadyDone = /^(git clone|cd|npm ci|npm test)\b/;

describe('the quick start of README.md', () => {
  const commands = quickStartCommands().filter((command) => !alreadyDone.test(command));
  const folder = mkdtempSync(join(tmpdir(), 'documentation-test-'));
  let stack: ChildProcess;
  let port: number;
  let output = '';

  beforeAll(async () => {
    chmodSync(folder, 0o711); // started by root, nginx' workers are someone else
    port = await freePort();
    // The last command of `npm start`: the compiler before it would write the files that other tests are reading.
    const last = String(scripts.start?.split(' && exec ').at(-1));
    const [file, ...args] = last.replace('dist/', `${compiled}/`).split(' ');
    stack = spawn(file as string, args, {
      env: { ...process.env, PORT: String(port), TMPDIR: folder, DRAIN_MS: '5000' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [stack.stdout, stack.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
      });
    }
    const isUp = () =>
      output.includes('ready, ends with Ctrl-C') && /"worker ready","model":"wide-resnet"/.test(output);
    while (!isUp() && stack.exitCode === null) await sleep(20);
    if (!isUp()) throw new Error(output);
  }, 60_000);

  afterAll(async () => {
    if (stack.exitCode === null) {
      const ended = once(stack, 'exit');
      stack.kill('SIGINT');
      await ended;
    }
    rmSync(folder, { recursive: true });
  }, 30_000);

  it('consists of npm start and curl', () => {
    expect(commands[0]).toBe('npm start');
    expect(commands.slice(1).every((command) => command.startsWith('curl '))).toBe(true);
    expect(commands.length).toBeGreaterThan(1);
  });

  it('answers what it shows', async () => {
    const [, shown] = /```json\n(.*?)```/s.exec(section('## Quick start')) ?? [];
    const expected = JSON.parse(String(shown));
    const [, curl] = commands as [string, string];

    const { stdout } = await promisify(execFile)('sh', ['-c', curl.replace('localhost:8080', `localhost:${port}`)]);

    expect(expected.predictions).toHaveLength(5);
    expect(JSON.parse(stdout)).toEqual({
      ...expected,
      predictions: expected.predictions.map((prediction: { score: number }) => ({
        ...prediction,
        score: expect.closeTo(prediction.score, 2), // in int8 or in float32, as the processor has it
      })),
    });
  });

  it('is what npm start prints, on its own port', () => {
    const [, curl] = commands as [string, string];

    expect(output).toContain(curl.replace('localhost:8080', `http://localhost:${port}`));
  });
});

describe('README.md', () => {
  it('maps paths that exist', () => {
    const paths = rows('## Map').map(([path]) => path);

    expect(paths).toEqual(expect.arrayContaining(['functions/', 'models/', 'ingress/', 'load/', 'tests/']));
    expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  });

  it('links to files that exist', () => {
    const targets = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => target as string);

    expect(targets.filter((target) => !existsSync(target))).toEqual([]);
  });

  it('names scripts that exist', () => {
    const names = [...readme.matchAll(/\bnpm (?:run )?(start|test|run [\w-]+|(?<=run )[\w-]+)/g)].map(
      ([, name]) => name,
    );

    expect(names.filter((name) => scripts[String(name)] === undefined)).toEqual([]);
  });

  it('lists every variable with the default that it has', () => {
    const defaults = loadConfig(classify, 1, {});
    const read = variablesOf((env) => loadConfig(classify, 1, env));
    const platform = ['PORT', 'FUNCTION_TARGET', 'K_REVISION'];

    const listed = Object.fromEntries(rows('## Configuration').filter(([name]) => !platform.includes(name)));

    expect(Object.keys(listed).sort()).toEqual(read.filter((name) => !platform.includes(name)).sort());
    expect(listed).toMatchObject({
      MAX_UPLOAD_BYTES: String(defaults.maxUploadBytes),
      MAX_PIXELS: String(defaults.settings.maxPixels),
      DEADLINE_MS: String(defaults.deadlineMs),
      PRIMARY_BUDGET_MS: String(defaults.primaryBudgetMs),
      WORKERS: expect.stringContaining('cores'),
      MODELS_DIR: defaults.modelsDir,
      PRIMARY_MODEL: defaults.models[0]?.folder,
      FALLBACK_MODEL: defaults.models[1]?.folder,
      SHADOW_SHARE: String(defaults.shadowShare),
      DRAIN_MS: String(defaults.drainMs),
      LOG_LEVEL: defaults.logLevel,
    });
  });

  it('lists every problem with its status', () => {
    const listed = rows('## The contract').filter(([code]) => /^[A-Z_]+$/.test(code));

    expect(Object.fromEntries(listed)).toEqual(
      Object.fromEntries(Object.entries(problems).map(([code, { status }]) => [code, String(status)])),
    );
  });
});
