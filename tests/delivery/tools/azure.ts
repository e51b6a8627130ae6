import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { at, type Tree } from '../files.ts';
import { run, searchPath } from './bench.ts';

type Values = Readonly<Record<string, string>>;

/** What a pipeline is run with. */
export interface Given {
  /** Where its jobs get their checkout from. */
  readonly repository: string;
  /** For the checkouts, and for programs that stand in for others. */
  readonly folder: string;
  /** What Azure and the pipeline's settings would set. */
  readonly variables: Values;
  /** Of the agent. */
  readonly env: NodeJS.ProcessEnv;
  /** What a person says to a job that waits for one. */
  readonly approve: () => boolean;
}

export interface Outcome {
  /** Name and result of each job, in order. */
  readonly jobs: Readonly<Record<string, 'succeeded' | 'failed' | 'skipped'>>;
  readonly output: string;
}

/**
 * Runs the steps of azure-pipelines.yml that are scripts, in order: each job in a checkout of its own, with `$(NAME)` replaced, conditions
 * judged, and output variables handed over. Of the tasks it runs a script of AzureCLI, and what a login of Kubernetes leaves; a job
 * without an agent asks `approve`. Everything else does nothing here.
 */
export async function runPipeline(pipeline: Tree, given: Given): Promise<Outcome> {
  const jobs: Record<string, 'succeeded' | 'failed' | 'skipped'> = {};
  const outputs: Record<string, string> = {};
  const results = new Map<string, boolean>();
  const said: string[] = [];
  const common = expandAll({ ...given.variables, ...texts(pipeline.variables) });
  for (const stage of list(pipeline.stages)) {
    const variables = expandAll({ ...common, ...outputsOf(texts(stage.variables), outputs) });
    const started = isWanted(stage, results, variables);
    for (const job of list(stage.jobs)) {
      const name = String(job.job ?? job.deployment);
      const wanted = started && isWanted(job, results, variables);
      const ran = wanted ? await runJob(job, { ...given, variables }) : undefined;
      jobs[name] = ran === undefined ? 'skipped' : ran.succeeded ? 'succeeded' : 'failed';
      results.set(name, ran?.succeeded === true);
      for (const [key, value] of Object.entries(ran?.outputs ?? {})) outputs[`${stage.stage}.${name}.${key}`] = value;
      said.push(ran?.output ?? '');
    }
    const ended = list(stage.jobs).map((job) => jobs[String(job.job ?? job.deployment)]);
    results.set(String(stage.stage), started && !ended.includes('failed'));
  }
  return { jobs, output: said.join('') };
}

const list = (value: unknown) => (value ?? []) as readonly Tree[];
const texts = (tree: unknown) => (tree ?? {}) as Values;

/** Azure replaces the names that it knows, and leaves the others. */
const expand = (text: string, variables: Values): string =>
  text.replace(/\$\(([\w.]+)\)/g, (whole, name: string) => variables[name] ?? whole);

const expandAll = (variables: Values): Values =>
  Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, expand(value, variables)]));

/** `$[ stageDependencies.STAGE.JOB.outputs['STEP.NAME'] ]`, the one form that is used. */
function outputsOf(variables: Values, outputs: Values): Values {
  const form = /^\$\[ stageDependencies\.(\w+)\.(\w+)\.outputs\['([\w.]+)'\] \]$/;
  return Object.fromEntries(
    Object.entries(variables).map(([name, value]) => {
      const [whole, stage, job, key] = form.exec(value) ?? [];
      return [name, whole === undefined ? value : (outputs[`${stage}.${job}.${key}`] ?? '')];
    }),
  );
}

/** Azure's conditions read as ours do: calls of functions, and `variables['NAME']`. */
function isWanted(
  { dependsOn, condition = 'succeeded()' }: Tree,
  results: ReadonlyMap<string, boolean>,
  variables: Values,
) {
  const succeeded = [dependsOn ?? []].flat().every((name) => results.get(String(name)) === true);
  const functions = {
    succeeded: () => succeeded,
    and: (...all: readonly boolean[]) => all.every(Boolean),
    eq: (one: string, other: string) => one === other,
    ne: (one: string, other: string) => one !== other,
    startsWith: (text: string, start: string) => text.startsWith(start),
  };
  const judge = new Function('variables', ...Object.keys(functions), `return ${condition}`);
  return judge(variables, ...Object.values(functions)) === true;
}

async function runJob(job: Tree, given: Given) {
  if (job.pool === 'server') return { succeeded: given.approve(), outputs: {}, output: '' };
  const { folder, repository, variables } = given;
  const agent = join(folder, `agent-${job.job ?? job.deployment}`);
  mkdirSync(agent);
  execFileSync('git', ['clone', '--quiet', repository, join(agent, 'checkout')]);
  const names = Object.entries(variables).map(([name, value]) => [name.replaceAll('.', '_').toUpperCase(), value]);
  const env = { ...given.env, ...Object.fromEntries(names), PATH: [folder, searchPath].join(delimiter) };
  const outputs: Record<string, string> = {};
  let output = '';
  for (const step of list(job.steps ?? at(job, 'strategy', 'runOnce', 'deploy').steps)) {
    if (step.task === 'Kubernetes@1')
      env.KUBECONFIG = writeLogin(agent, expand(String(at(step, 'inputs').kubernetesServiceEndpoint), variables));
    const script = step.script ?? at(step, 'inputs').inlineScript;
    if (script === undefined) continue;
    const ran = await run('bash', ['-c', expand(String(script), variables)], env, join(agent, 'checkout'));
    output += ran.output;
    if (ran.status !== 0) return { succeeded: false, outputs, output };
    const set = /^##vso\[task\.setvariable variable=(\w+);isOutput=true\](.*)$/gm;
    for (const [, name, value = ''] of ran.output.matchAll(set)) outputs[`${step.name}.${name}`] = value;
  }
  return { succeeded: true, outputs, output };
}

/** As the task leaves it for the steps after it. @returns its path */
function writeLogin(agent: string, connection: string): string {
  const file = join(agent, 'kubeconfig');
  writeFileSync(file, `connection ${connection}\n`);
  return file;
}
