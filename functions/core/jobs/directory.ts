import { randomBytes } from 'node:crypto';
import { type FileHandle, link, mkdir, open, readdir, readFile, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createPlaces } from '../places.ts';
import { type Condition, isKey, type Store, type Stored } from './store.ts';

/**
 * A store in a folder, for the processes of one machine. Each version of a value is a file that is never changed: a random etag, a line
 * feed, and the bytes. The first one lies under its key; the one that took the place of version E lies beside it as KEY~E. link(2)
 * refuses a name that is there, so of several writers that have read E one succeeds, and none needs a lock that outlives it.
 * Files come into their place whole, by link or rename, after fsync; then their folder is synced.
 */
export function createDirectoryStore(folder: string): Store {
  const root = resolve(folder);
  const pathOf = (key: string) => {
    if (isKey(key)) return join(root, key);
    throw new Error(`Expected a key of the store but received ${JSON.stringify(key)}`);
  };
  return {
    get: async (key) => (await readVersions(pathOf(key))).at(-1),
    put: (key, bytes, condition) => put(root, pathOf(key), bytes, condition),
    delete: (key) => remove(pathOf(key)),
    list: (prefix) => list(root, prefix),
    uri: (key) => pathToFileURL(pathOf(key)).href,
  };
}

/** Where files are written before they get their names. */
const draftsFolder = 'drafts';

/** So long no writer takes: what is older was left by one that was killed. */
const staleDraftMs = 3_600_000;

/** Removes the drafts of writers that were killed. */
export async function sweepDrafts(folder: string): Promise<void> {
  const drafts = join(resolve(folder), draftsFolder);
  for (const name of (await unlessAbsent(readdir(drafts))) ?? []) {
    const draft = await unlessAbsent(stat(join(drafts, name)));
    if (draft && Date.now() - draft.mtimeMs > staleDraftMs) await unlessAbsent(unlink(join(drafts, name)));
  }
}

const etagLength = 16;

function newEtag(): string {
  return randomBytes(etagLength / 2).toString('hex');
}

/** All versions of a value, the present one last; none where there is no value. */
async function readVersions(path: string): Promise<Stored[]> {
  const versions: Stored[] = [];
  for (let name = path; ; name = `${path}~${versions.at(-1)?.etag}`) {
    const file = await unlessAbsent(readFile(name));
    if (!file) return versions;
    versions.push({ etag: file.toString('latin1', 0, etagLength), bytes: file.subarray(etagLength + 1) });
  }
}

async function put(
  root: string,
  path: string,
  bytes: Uint8Array,
  condition: Condition | undefined,
): Promise<string | undefined> {
  const etag = newEtag();
  const draft = await writeDraft(root, etag, bytes);
  try {
    const isPut = await retryOnce(async () => {
      await mkdirDurably(dirname(path)); // whoever deletes the last file of a folder deletes the folder
      return place(draft, path, { etag, condition });
    });
    await unlessAbsent(syncFolder(dirname(path))); // who was first may not have come to that
    return isPut ? etag : undefined;
  } finally {
    await unlessAbsent(unlink(draft));
  }
}

/** Gives a draft its name; false where the condition is not met. */
async function place(
  draft: string,
  path: string,
  { etag, condition }: { readonly etag: string; readonly condition: Condition | undefined },
): Promise<boolean> {
  if (condition === undefined) {
    await rename(draft, path);
    return true;
  }
  if (condition === 'absent') return linkNew(draft, path);
  const name = `${path}~${condition.etag}`;
  if (!(await linkNew(draft, name))) return false;
  const isPresent = (await readVersions(path)).some((version) => version.etag === etag);
  if (!isPresent) await unlessAbsent(unlink(name)); // a value that was deleted since has no such version any more
  return isPresent;
}

async function retryOnce<T>(task: () => Promise<T>): Promise<T> {
  return (await unlessAbsent(task())) ?? task();
}

async function writeDraft(root: string, etag: string, bytes: Uint8Array): Promise<string> {
  const folder = join(root, draftsFolder);
  await mkdirDurably(folder);
  const path = join(folder, etag);
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(`${etag}\n`);
    await file.writeFile(bytes);
    await sync(file);
  } catch (fault) {
    await unlessAbsent(unlink(path));
    throw fault;
  } finally {
    await file.close();
  }
  return path;
}

/** Gives a file a second name; false where that is taken. */
async function linkNew(draft: string, name: string): Promise<boolean> {
  try {
    await link(draft, name);
    return true;
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fault;
  }
}

/** From the first version on: without that one, the others are none. */
async function remove(path: string): Promise<void> {
  for (let name = path; ; ) {
    const file = await unlessAbsent(readFile(name));
    if (!file) break;
    await unlessAbsent(unlink(name));
    name = `${path}~${file.toString('latin1', 0, etagLength)}`;
  }
  await unlessAbsent(syncFolder(dirname(path)));
  await rmdir(dirname(path)).catch(() => {}); // where it was the last one
}

async function* list(root: string, prefix: string): AsyncGenerator<string, void> {
  if (!prefix.endsWith('/') || !isKey(prefix.slice(0, -1))) {
    throw new Error(`Expected a key and a slash for the prefix but received ${JSON.stringify(prefix)}`);
  }
  yield* listFolder(root, prefix);
}

/** Reads a folder when it is its turn: whoever has seen enough leaves the others unread. */
async function* listFolder(root: string, prefix: string): AsyncGenerator<string, void> {
  const entries = (await unlessAbsent(readdir(join(root, prefix), { withFileTypes: true }))) ?? [];
  const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
  for (const name of names) {
    const key = `${prefix}${name}`;
    if (name.endsWith('/')) yield* listFolder(root, key);
    else if (isKey(key)) yield key; // no later version of one
  }
}

async function mkdirDurably(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  for (let made = folder; first !== undefined && made.length >= first.length; made = dirname(made)) {
    await syncFolder(dirname(made));
  }
}

/** As many threads of libuv as threads.cts adds for it: the others decode, and would do nothing while they wait for a disk. */
const syncs = createPlaces(4);

async function sync(file: FileHandle): Promise<void> {
  const leave = await syncs.take();
  await file.sync().finally(leave);
}

/** Makes names durable. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await sync(handle);
  } finally {
    await handle.close();
  }
}

async function unlessAbsent<T>(done: Promise<T>): Promise<T | undefined> {
  try {
    return await done;
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fault;
  }
}
