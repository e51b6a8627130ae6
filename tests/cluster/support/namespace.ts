import { kubectl, until } from './command.ts';

/** The label of namespaces that the tests created and may delete. */
const ownLabel = 'app.kubernetes.io/managed-by';
const ownValue = 'understudy-tests';

/** With its pods killed a namespace ends within seconds; a busy control plane takes longer. */
const goneWithinMs = 120_000;

/** Creates a namespace, after deleting one that an interrupted run left. @throws Error where it is not ours */
export async function createNamespace(name: string): Promise<void> {
  await deleteNamespace(name);
  const metadata = { name, labels: { [ownLabel]: ownValue } };
  // Not `apply`: that of the overlay, which comes next, would then remove the label.
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
  // Knative's pods would drain for 30 s each, for no client.
  await kubectl(['-n', name, 'delete', 'pods', '--all', '--grace-period=1', '--wait=false', '--ignore-not-found']);
  const left = await kubectl(['get', 'namespace', name, '--ignore-not-found', '-o', 'name']);
  return left === '' ? true : undefined;
}
