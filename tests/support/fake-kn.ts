import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** A kn whose cluster is a file with one Service, `node fake-kn.js FILE ARGS`. Revisions are ready and traffic moves at once. */
interface Cluster {
  image: string;
  env: Record<string, string>;
  traffic: { revisionName?: string; latestRevision?: boolean; percent: number; tag?: string }[];
  revisions: { name: string; image: string; env: Record<string, string> }[];
}

const [file = '', noun, verb, ...args] = process.argv.slice(2);
if (noun === 'version') {
  process.stdout.write('{"Version":"v1.15.0"}');
} else {
  const cluster = JSON.parse(readFileSync(file, 'utf8')) as Cluster;
  if (verb === 'update') writeFileSync(file, JSON.stringify(update(cluster)));
  else process.stdout.write(JSON.stringify(verb === 'describe' ? describe(cluster) : list(cluster)));
}

function update(cluster: Cluster): Cluster {
  const text = { type: 'string' } as const;
  const options = {
    ...{ namespace: text, image: text, env: { ...text, multiple: true as const } },
    ...{ traffic: text, tag: text, untag: text, 'wait-timeout': text, 'no-wait': { type: 'boolean' } as const },
  };
  const { values } = parseArgs({ args, options, allowPositionals: true });
  const pairs = (list: string | undefined) =>
    (list ?? '')
      .split(',')
      .filter(Boolean)
      .map((pair) => pair.split('='));
  const { revisions } = cluster;
  const env = { ...cluster.env };
  for (const change of values.env ?? []) {
    const [name = '', value] = change.split('=');
    if (value === undefined) delete env[name.slice(0, -1)];
    else env[name] = value;
  }
  const image = values.image ?? cluster.image;
  if (values.image !== undefined || values.env !== undefined) {
    revisions.unshift({ name: `${args[0]}-${String(revisions.length + 1).padStart(5, '0')}`, image, env });
  }
  const [shares, given, taken] = [pairs(values.traffic), pairs(values.tag), pairs(values.untag).flat()];
  const tagged = [
    ...cluster.traffic.flatMap(({ revisionName, tag = '' }) =>
      tag && !taken.includes(tag) ? [[revisionName, tag]] : [],
    ),
    ...given,
  ].map(([revisionName = '', tag = '']) => ({ revisionName, tag, percent: 0 }));
  const moved = shares.map(([revisionName = '', percent]) => ({ revisionName, percent: Number(percent) }));
  const kept = cluster.traffic.map(({ tag, ...target }) => target).filter(({ percent }) => percent > 0);
  const traffic = [...tagged, ...(moved.length > 0 ? moved : kept)];
  return { image, env, traffic, revisions };
}

function podOf({ image, env }: { readonly image: string; readonly env: Record<string, string> }): object {
  return { containers: [{ image, env: Object.entries(env).map(([name, value]) => ({ name, value })) }] };
}

function describe(cluster: Cluster): object {
  return {
    metadata: { name: 'classify-primary', namespace: 'understudy', generation: 1 },
    spec: { template: { spec: podOf(cluster) }, traffic: cluster.traffic },
    status: {
      observedGeneration: 1,
      latestReadyRevisionName: cluster.revisions[0]?.name,
      conditions: [{ type: 'RoutesReady', status: 'True' }],
    },
  };
}

function list({ revisions }: Cluster): object {
  const items = revisions.map((revision, index) => ({
    metadata: {
      name: revision.name,
      labels: { 'serving.knative.dev/configurationGeneration': String(revisions.length - index) },
    },
    spec: podOf(revision),
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  }));
  return { items };
}
