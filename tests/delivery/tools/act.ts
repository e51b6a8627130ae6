import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { readFiles, valuesOf, workflows } from '../files.ts';
import { commit, type Ran, run, searchPath } from './bench.ts';

/** Actions that cannot be had without GitHub do nothing here; checkout is act's own, and workflows are files. */
const actions = [
  ...new Set(workflows(readFiles()).flatMap(([, workflow]) => valuesOf(workflow, 'uses').map(String))),
].filter((action) => !/^\.\/|checkout@/.test(action));

export interface Event {
  readonly name: 'push' | 'workflow_dispatch';
  readonly workflow: string;
  /** What GitHub would tell. */
  readonly payload: object;
  readonly env: NodeJS.ProcessEnv;
  readonly variables: NodeJS.ProcessEnv;
  readonly secrets: NodeJS.ProcessEnv;
}

/** Runs workflows of a checkout by act, whose output ends with what bash wrote to stderr; programs in `folder` stand in for others. */
export function createAct(folder: string, checkout: string): (event: Event) => Promise<Ran> {
  const standIns = actions.flatMap((action) => ['--local-repository', `${action}=${writeStandIn(folder, action)}`]);
  return async ({ name, workflow, payload, env, variables, secrets }) => {
    const file = join(folder, 'event.json');
    writeFileSync(file, JSON.stringify(payload));
    // act does not wait for the last words of a step that fails; bash reads this first.
    const [complaints, BASH_ENV] = [join(folder, 'complaints'), join(folder, 'complain.sh')];
    writeFileSync(complaints, '');
    writeFileSync(BASH_ENV, `exec 2>>${complaints}\n`);
    const pairs = (option: string, values: NodeJS.ProcessEnv) =>
      Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [option, `${key}=${value}`]));
    const args = [
      ...[name, '--workflows', workflow, '--eventpath', file, '--defaultbranch', 'main'],
      ...['--platform', 'ubuntu-24.04=-self-hosted', '--no-cache-server', '--artifact-server-addr', '127.0.0.1'],
      ...pairs('--var', variables),
      ...pairs('--secret', secrets),
      ...pairs('--env', { ...env, BASH_ENV }),
      ...standIns,
    ];
    const ran = await run('act', args, { ...env, PATH: [folder, searchPath].join(delimiter) }, checkout);
    return { ...ran, output: ran.output + readFileSync(complaints, 'utf8') };
  };
}

function writeStandIn(folder: string, action: string): string {
  const at = join(folder, action.split('@', 1).join().replace('/', '-'));
  mkdirSync(at);
  const steps = [{ run: 'true', shell: 'bash' }];
  writeFileSync(join(at, 'action.yml'), JSON.stringify({ name: action, runs: { using: 'composite', steps } }));
  execFileSync('git', ['init', '--quiet'], { cwd: at });
  commit(at);
  return at;
}
