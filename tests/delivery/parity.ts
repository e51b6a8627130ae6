import {
  at,
  callsOf,
  deployedOf,
  type Files,
  imagesOf,
  only,
  parse,
  paths,
  type Tree,
  unique,
  valuesOf,
  workflows,
} from './files.ts';

/** Every pipeline goes this way, but that GitHub alone signs; it releases in a job of its own, which logs in again. */
const way = [
  'setup',
  'login',
  'build',
  'push',
  'verify',
  'index',
  'sign',
  'tag',
  'deploy development',
  'deploy production',
];
const overlays = ['development', 'production'];
/** Suites of package.json that no pipeline runs, or that have a job of their own: what they need is not to be had in the same way. */
const apart = ['cluster', 'delivery', 'terraform'];
const contexts = ['KUBE_CONTEXT_DEV', 'KUBE_CONTEXT_PROD'];

/** Where the pipelines of the three systems differ from each other, and from what they build. */
export function parityFaults(files: Files): readonly string[] {
  const [publish, cd, gitlab, azure] = [paths.publish, paths.cd, paths.gitlab, paths.azure].map((path) =>
    parse(files, path),
  );
  const deploys = valuesOf(publish, 'overlay').map((overlay) => `deploy ${overlay}`);
  const calls = { GitHub: [...callsOf(publish), ...deploys], GitLab: callsOf(gitlab), Azure: callsOf(azure) };
  const node = /^ARG BUILD_BASE=.*\/node:([\d.]+)/m.exec(String(files[paths.recipe]))?.[1];
  const nodes = {
    GitHub: valuesOf(publish, 'node-version'),
    GitLab: [/\/node:([\d.]+)/.exec(String(at(gitlab, 'default').image))?.[1]],
    Azure: valuesOf(azure, 'versionSpec'),
  };
  const scripts = Object.keys(files).flatMap((path) => /^\.github\/scripts\/(\w+)\.sh$/.exec(path)?.[1] ?? []);
  const called = [...Object.values(calls).flat(), ...callsOf(cd)].map((call) => call.split(' ', 1).join());
  const choices = (at(cd, 'on', 'workflow_dispatch', 'inputs', 'overlay').options ?? []) as readonly string[];
  return [
    ...Object.entries(calls).flatMap(([system, list]) => {
      const steps = unique(list).filter((name) => name !== 'suite');
      const wanted = system === 'GitHub' ? way : way.filter((name) => name !== 'sign');
      const [checks, rest] = [steps.slice(0, 2), steps.slice(2)];
      return only(
        `${[...checks].sort()},${rest}` !== `lint,test,${wanted}`,
        `${system}: calls ${unique(list).join(', ')}`,
      );
    }),
    ...Object.entries(nodes).flatMap(([system, versions]) =>
      only(unique(versions).join() !== node, `${system}: Node.js ${versions}, the images ${node}`),
    ),
    ...only(
      !valuesOf(parse(files, paths.ci), 'node').flat().includes(node?.split('.')[0]),
      `ci.yml: not on Node.js ${node}`,
    ),
    ...only(choices.join() !== overlays.join(), `cd.yml: overlays ${choices}`),
    ...called.concat('common').flatMap((name) => only(!scripts.includes(name), `${name}.sh is called but not there`)),
    ...scripts.flatMap((name) => only(name !== 'common' && !called.includes(name), `${name}.sh is never called`)),
    ...contexts.flatMap((name) =>
      [paths.publish, paths.cd, paths.gitlab, paths.deploy].flatMap((path) =>
        only(!String(files[path]).includes(name), `${path}: no ${name}`),
      ),
    ),
    ...imagesOf(files).flatMap((name) => {
      const path = deployedOf(files).includes(name) ? paths.compose : paths.composeJobs;
      return only(at(parse(files, path), 'services')[name] === undefined, `${path}: no ${name}`);
    }),
    ...actionFaults(files),
    ...suiteFaults(files),
  ];
}

/** One version of each action in all workflows. */
function actionFaults(files: Files): readonly string[] {
  const uses = unique(workflows(files).flatMap(([, workflow]) => valuesOf(workflow, 'uses').map(String)));
  const actions = uses.map((action) => action.split('@', 1).join());
  return unique(actions).flatMap((action) =>
    only(actions.filter((other) => other === action).length > 1, `${action}: several versions`),
  );
}

/** Each suite of package.json that installs what it needs is run for each change, in all three systems. */
function suiteFaults(files: Files): readonly string[] {
  const { scripts } = parse(files, paths.package) as { scripts: Tree };
  const suites = Object.keys(scripts).flatMap((name) => /^test:(\w+)$/.exec(name)?.[1] ?? []);
  const wanted = suites.filter((name) => !apart.includes(name)).sort();
  const [ci, gitlab, azure] = [paths.ci, paths.gitlab, paths.azure].map((path) => parse(files, path));
  const run = {
    GitHub: [ci, valuesOf(ci, 'suite').flat()],
    GitLab: [gitlab, valuesOf(gitlab, 'SUITE').flat()],
    Azure: [azure, valuesOf(azure, 'SUITE')],
  } as const;
  return Object.entries(run).flatMap(([system, [pipeline, list]]) => [
    ...only(list.join() !== wanted.join(), `${system}: runs the suites ${list}`),
    ...only(!callsOf(pipeline).includes('suite'), `${system}: never calls suite.sh`),
  ]);
}
