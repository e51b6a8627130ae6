import {
  at,
  callsOf,
  entries,
  type Files,
  names,
  only,
  parse,
  paths,
  type Tree,
  textsOf,
  unique,
  valuesOf,
  workflows,
} from './files.ts';
import { parityFaults } from './parity.ts';

/** Which job of publish.yml must have succeeded before another. */
const before: Tree = { images: 'test', release: 'images', development: 'release', production: 'development' };
/** What a job may write; all else it may only read. */
const writes: Tree = { 'publish.yml release': ['id-token', 'attestations'] };

/** What is wrong with the pipelines of GitHub, GitLab and Azure and between them; a line each. */
export function faultsOf(files: Files): readonly string[] {
  return [
    ...githubFaults(files),
    ...publishFaults(files),
    ...gitlabFaults(files),
    ...azureFaults(files),
    ...parityFaults(files),
    ...scriptFaults(files),
  ];
}

function githubFaults(files: Files): readonly string[] {
  return workflows(files).flatMap(([path, workflow]) => {
    const file = path.split('/').at(-1) as string;
    const uses = valuesOf(workflow, 'uses').map(String);
    return [
      ...entries(at(workflow, 'on')).flatMap(([event]) =>
        only(
          ['pull_request_target', 'workflow_run'].includes(event),
          `${file}: ${event} runs foreign code with our rights`,
        ),
      ),
      ...only(workflow.permissions === undefined, `${file}: no permissions`),
      ...entries(workflow.permissions).flatMap(([right, level]) =>
        only(level !== 'read', `${file}: ${right}: ${level}`),
      ),
      ...entries(workflow.jobs).flatMap(([name, job]) => jobFaults(`${file} ${name}`, job, workflow)),
      ...uses.flatMap((action) =>
        only(!/^\.\/|@[0-9a-f]{40}$/.test(action), `${file}: ${action} is not pinned by a commit`),
      ),
      ...valuesOf(workflow, 'run').flatMap((run) =>
        only(/\$\{\{/.test(String(run)), `${file}: an expression in a script: ${run}`),
      ),
    ];
  });
}

function jobFaults(name: string, job: unknown, workflow: Tree): readonly string[] {
  const { permissions, steps = [] } = job as { permissions?: Tree; steps?: readonly Tree[] };
  const allowed = names(writes[name]);
  const needed = names((job as Tree).needs);
  return [
    ...only(
      permissions === undefined && Object.keys(at(workflow, 'permissions')).length === 0,
      `${name}: no permissions`,
    ),
    ...entries(permissions).flatMap(([right, level]) =>
      only(level !== 'read' && !allowed.includes(right), `${name}: ${right}: ${level}`),
    ),
    ...needed.flatMap((need) =>
      only(at(workflow, 'jobs')[need] === undefined, `${name}: needs ${need}, which is no job`),
    ),
    ...steps.flatMap((step) =>
      only(
        /^actions\/checkout@/.test(String(step.uses)) && at(step, 'with')['persist-credentials'] !== false,
        `${name}: checkout leaves its token behind`,
      ),
    ),
  ];
}

function publishFaults(files: Files): readonly string[] {
  const publish = parse(files, paths.publish);
  const secrets = [...String(files[paths.cd]).matchAll(/\$\{\{ secrets\.(\w+) \}\}/g)].map(([, name]) => String(name));
  const declared = at(parse(files, paths.cd), 'on', 'workflow_call', 'secrets');
  const callers = entries(publish.jobs).filter(([, job]) => String((job as Tree).uses).endsWith('/cd.yml'));
  return [
    ...entries(before).flatMap(([name, need]) =>
      only(
        !names(at(publish, 'jobs', name).needs).includes(String(need)),
        `publish.yml ${name}: does not wait for ${need}`,
      ),
    ),
    ...only(
      at(publish, 'concurrency')['cancel-in-progress'] !== false,
      'publish.yml: runs of a ref are not one by one',
    ),
    ...unique(secrets).flatMap((name) => [
      ...only(declared[name] === undefined, `cd.yml: the secret ${name} is not declared for callers`),
      ...callers.flatMap(([caller, job]) =>
        only(at(job, 'secrets')[name] === undefined, `publish.yml ${caller}: does not pass the secret ${name}`),
      ),
    ]),
  ];
}

/** What only a run on another machine would show. */
function scriptFaults(files: Files): readonly string[] {
  const azureSteps = valuesOf(parse(files, paths.azure), 'steps');
  const depths = {
    GitHub: valuesOf(at(parse(files, paths.publish), 'jobs', 'release'), 'fetch-depth'),
    GitLab: valuesOf(parse(files, paths.gitlab), 'GIT_DEPTH'),
    Azure: azureSteps
      .filter((steps) => callsOf(steps).includes('tag'))
      .flatMap((steps) => valuesOf(steps, 'fetchDepth')),
  };
  return [
    ...Object.entries(depths).flatMap(([system, depth]) =>
      only(depth.join() !== '0', `${system}: tag.sh does not see all tags`),
    ),
    ...[...String(files[paths.deploy]).matchAll(/\b(sort|sed|grep|tail|rm|mktemp) [^|;()\n]*?(--[a-z]+)/g)].map(
      ([, program, option]) => `deploy.sh: the ${program} of BusyBox has no ${option}`,
    ),
  ];
}

/** Keys at the top of .gitlab-ci.yml that are no jobs. */
const gitlabKeys = ['stages', 'workflow', 'default', 'variables'];

function gitlabFaults(files: Files): readonly string[] {
  const pipeline = parse(files, paths.gitlab);
  const jobs = entries(pipeline).filter(([name]) => !gitlabKeys.includes(name));
  const stages = names(pipeline.stages);
  const stageOf = (job: unknown): unknown => (job as Tree).stage ?? at(pipeline, String((job as Tree).extends)).stage;
  return [
    ...only(stages.join() !== 'test,lint,build,deploy', `GitLab: stages ${stages}`),
    ...jobs.flatMap(([name, job]) => [
      ...only(!stages.includes(String(stageOf(job))), `GitLab ${name}: stage ${stageOf(job)} is unknown`),
      ...names((job as Tree).needs).flatMap((need) =>
        only(pipeline[need] === undefined, `GitLab ${name}: needs ${need}, which is no job`),
      ),
    ]),
    ...valuesOf(pipeline, 'image').flatMap((image) =>
      only(!/:\d+\.\d+\.\d+|@sha256:[0-9a-f]{64}$/.test(String(image)), `GitLab: image ${image} is not pinned`),
    ),
    ...only(!valuesOf(at(pipeline, 'production'), 'when').includes('manual'), 'GitLab: production is not by hand'),
  ];
}

/** What Azure itself defines, as far as it is used. */
const azureOwn = /^(Build\.|System\.|Agent\.)/;

function azureFaults(files: Files): readonly string[] {
  const pipeline = parse(files, paths.azure);
  const stages = pipeline.stages as readonly Tree[];
  const header = String(files[paths.azure]).split('\ntrigger:', 1).join();
  const jobs = stages.flatMap(({ jobs }) => jobs as readonly Tree[]);
  const nameOf = ({ stage, job, deployment }: Tree) => String(stage ?? job ?? deployment);
  const production = jobs.find(({ deployment }) => deployment === 'production');
  const before = jobs.find((job) => nameOf(job) === production?.dependsOn);
  const variables = textsOf(pipeline).flatMap((text) =>
    [...text.matchAll(/\$\(([\w.]+)\)/g)].map(([, name]) => String(name)),
  );
  return [
    ...only(stages.map(nameOf).join() !== 'Test,Build,Deploy', `Azure: stages ${stages.map(nameOf)}`),
    ...[stages, ...stages.map(({ jobs }) => jobs as readonly Tree[])].flatMap((siblings) =>
      siblings.flatMap((one) =>
        names(one.dependsOn).flatMap((need) =>
          only(!siblings.map(nameOf).includes(need), `Azure ${nameOf(one)}: depends on ${need}, which is not there`),
        ),
      ),
    ),
    ...unique(variables).flatMap((name) =>
      only(
        !azureOwn.test(name) && !new RegExp(`\\b${name}\\b`).test(header),
        `Azure: $(${name}) is not explained at the top`,
      ),
    ),
    ...only(
      !valuesOf(before, 'task').some((task) => /^ManualValidation@/.test(String(task))),
      'Azure: production is not by hand',
    ),
  ];
}
