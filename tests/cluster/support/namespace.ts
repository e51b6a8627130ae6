import { kubectl, until } from './command.ts';

/** By this label a namespace is known as one that the tests made and may delete. */
const ownLabel = 'app.kubernetes.io/managed-by';
const ownValue = 'understudy-tests';

/** With its pods killed a namespace is gone within seconds; a busy control plane takes longer. */
const goneWithinMs = 120_000;

/** Makes a namespace of our own, after deleting the one that an interrupted run may have left. @throws Error where it is not ours */
export async function createNamespace(name: string): Promise<void> {
  await deleteNamespace(name);
  const metadata = { name, labels: { [ownLabel]: ownValue } };
  // Not `apply`: the overlay's, which comes next, would then take the label away again.
  await kubectl(['create', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata }) });
}

/** Deletes a namespace with all that is in it and waits until it is gone. @throws Error where it is not ours */
export async function deleteNamespace(name: string): Promise<void> {
  const labels = await kubectl(['get', 'namespace', name, '--ignore-not-found', '-o', 'jsonpath={.metadata.labels}']);
  if (labels === '') return;
  const owner = (JSON.parse(labels) as Readonly<Record<string, string>>)[ownLabel];
  if (owner !== ownValue)
    throw new Error(`Expected ${ownValue} for ${ownLabel} of namespace ${name} but received ${owner}`);
  await kubectl(['delete', 'namespace', name, '--wait=false']);
  await until(`an end of namespace ${name}`, () => isGone(name), { withinMs: goneWithinMs, everyMs: 1000 });
}

async function isGone(name: string): Promise<true | undefined> {
  // Knative's pods would drain for 30 s each, and nobody is served here any more.
  await kubectl(['-n', name, 'delete', 'pods', '--all', '--grace-period=1', '--wait=false', '--ignore-not-found']);
  const left = await kubectl(['get', 'namespace', name, '--ignore-not-found', '-o', 'name']);
  return left === '' ? true : undefined;
}
