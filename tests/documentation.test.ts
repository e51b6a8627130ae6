import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig, loadConsume, loadEventTasks, loadJobs } from '../functions/core/config.ts';
import { jobProblems } from '../functions/core/jobs/problems.ts';
import { problems as common } from '../functions/core/problem.ts';
import { classify } from '../functions/tasks/classify/task.ts';
import { clouds } from '../functions/tasks/clouds/task.ts';
import { digitProblems } from '../functions/tasks/digits/problems.ts';
import { digits } from '../functions/tasks/digits/task.ts';
import { imageProblems } from '../functions/tasks/image/problems.ts';
import { taskNames, tasks } from '../load/k6/tasks.ts';
import { makeFolder, removeFolder, type Stack, startStack } from './support/stack.ts';
import { variablesOf } from './support/variables.ts';

const problems = { ...common, ...imageProblems, ...digitProblems, ...jobProblems };

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
  const folder = makeFolder();
  let stack: Stack;

  beforeAll(async () => {
    // The last command of `npm start`: the compiler before it would write the files that other tests are reading.
    const last = String(scripts.start?.split(' && exec ').at(-1));
    const command = last.replace('dist/', `${compiled}/`).split(' ') as [string, ...string[]];
    stack = await startStack(folder, { command, env: { FUNCTIONS: '', WORKERS: undefined } });
    await stack.says(/ready, ends with Ctrl-C/);
    await stack.says(/"worker ready","model":"wide-resnet"/);
  }, 60_000);

  afterAll(async () => {
    await stack.end();
    removeFolder(folder);
  }, 30_000);

  const paste = (curl: string) =>
    promisify(execFile)('sh', ['-c', curl.replace('localhost:8080', `localhost:${stack.port}`)]);

  it('consists of npm start and curl', () => {
    expect(commands[0]).toBe('npm start');
    expect(commands.slice(1).every((command) => command.startsWith('curl '))).toBe(true);
    expect(commands.length).toBeGreaterThan(1);
  });

  it('answers what it shows', async () => {
    const [, shown] = /```json\n(.*?)```/s.exec(section('## Quick start')) ?? [];
    const expected = JSON.parse(String(shown));
    const [, curl] = commands as [string, string];

    const { stdout } = await paste(curl);

    expect(expected.predictions).toHaveLength(5);
    expect(JSON.parse(stdout)).toEqual({
      ...expected,
      predictions: expected.predictions.map((prediction: { score: number }) => ({
        ...prediction,
        score: expect.closeTo(prediction.score, 2), // in int8 or in float32, as the processor has it
      })),
    });
  });

  it.each(taskNames)('has a line for %s, which answers', async (name) => {
    const { path, judgeContent } = tasks[name];
    const [curl, ...others] = commands.filter((command) => command.includes(`localhost:8080${path}`));

    const { stdout } = await paste(String(curl));

    expect(others).toEqual([]);
    expect(judgeContent(JSON.parse(stdout)).fault).toBeUndefined();
  });

  it("shares its stack with the functions' doors, whose lines answer", async () => {
    const [, block = ''] = /^## Doors.*?```sh\n(.*?)```/ms.exec(readFileSync('functions/README.md', 'utf8')) ?? [];
    const lines = block.trim().split('\n');

    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) {
      const { stdout } = await paste(line);
      expect(JSON.parse(stdout)).not.toHaveProperty('code');
      expect(stdout).toMatch(line.includes('/v2/') ? /"name":"image"/ : /"goldfish"/);
    }
  });

  it('is followed by a job, whose address has the answer in the end', async () => {
    const [accept, read] = [...section('## The contract').matchAll(/^curl .*$/gm)].map(([line]) => line);
    const { stdout: accepted } = await paste(String(accept));
    const [, id] = /^location: \/jobs\/(\w+)/im.exec(accepted) ?? [];
    const { stdout } = await paste(String(read).replace('ID', String(id)));

    expect(accepted).toMatch(/^HTTP\/1.1 202 /);
    expect(JSON.parse(stdout)).toMatchObject({ id, state: 'succeeded', result: { model: 'wide-resnet' } });
  });

  it('is what npm start prints, on its own port', () => {
    const [, ...curls] = commands.map((command) => command.replace('localhost:8080', `http://localhost:${stack.port}`));

    expect(curls).toHaveLength(taskNames.length);
    for (const curl of curls) expect(stack.output()).toContain(`  ${curl}\n`);
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
    const tasks = [classify, clouds, digits];
    const read = [
      ...tasks.flatMap((task) => variablesOf((env) => loadConfig<unknown>(task, 1, env))),
      ...variablesOf((env) => loadEventTasks(tasks, env)),
      ...variablesOf((env) => expect(() => loadConsume(env)).toThrow('KAFKA_BROKERS')),
    ];
    const platform = ['PORT', 'FUNCTION_TARGET', 'K_REVISION'];

    const listed = Object.fromEntries(rows('## Configuration').filter(([name]) => !platform.includes(name)));

    expect(new Set(Object.keys(listed))).toEqual(
      new Set(read.filter((name) => name !== '' && !platform.includes(name))),
    );
    expect(listed).toMatchObject({
      MAX_UPLOAD_BYTES: String(defaults.maxUploadBytes),
      MAX_PIXELS: String(defaults.settings.maxPixels),
      DEADLINE_MS: String(defaults.deadlineMs),
      PRIMARY_BUDGET_MS: String(defaults.primaryBudgetMs),
      WORKERS: expect.stringContaining('cores'),
      MODELS_DIR: defaults.modelsDir,
      PRIMARY_MODEL: defaults.models[0]?.folder,
      FALLBACK_MODEL: defaults.models[1]?.folder,
      CLOUDS_MODEL: clouds.models[0]?.embedded,
      DIGITS_MODEL: digits.models[0]?.embedded,
      SHADOW_SHARE: String(defaults.shadowShare),
      DRAIN_MS: String(defaults.drainMs),
      JOBS_MAX: String(loadJobs({}).max),
      JOB_RETENTION: `${loadJobs({}).retentionMs / 3_600_000}h`,
      PHOTO_RETENTION: `${loadJobs({}).photoRetentionMs / 3_600_000}h`,
      LOG_LEVEL: defaults.logLevel,
    });
  });

  it('tells the limits of clouds beside the others, which digits share with classify', () => {
    const { maxUploadBytes, deadlineMs, primaryBudgetMs } = clouds.defaults;
    const configuration = section('## Configuration');

    expect(configuration).toMatch(new RegExp(`MAX_UPLOAD_BYTES.* for clouds ${maxUploadBytes};`));
    expect(configuration).toMatch(new RegExp(`\`DEADLINE_MS.* for clouds ${deadlineMs} `));
    expect(configuration).toMatch(new RegExp(`PRIMARY_BUDGET_MS.* for clouds ${primaryBudgetMs}:`));
    expect(digits.defaults).toEqual(classify.defaults);
  });

  it('lists every problem with its status', () => {
    const listed = rows('## The contract').filter(([code]) => /^[A-Z_]+$/.test(code));

    expect(Object.fromEntries(listed)).toEqual(
      Object.fromEntries(Object.entries(problems).map(([code, { status }]) => [code, String(status)])),
    );
  });
});
