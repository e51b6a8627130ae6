import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { imagesOf, readFiles } from '../files.ts';
import {
  buildAndPush,
  copyCheckout,
  createStore,
  describeWith,
  findBases,
  type Registry,
  run,
  type Store,
  startRegistry,
} from './bench.ts';

jest.setTimeout(40 * 60_000); // six images twice, on two slow cores

const images = imagesOf(readFiles());
const bases = await findBases();

(bases === undefined ? describe.skip : describeWith(['buildah', 'registry']))('two builds of one commit', () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-digests-'));
  const stores: Store[] = [];
  let registry: Registry;
  let pinned: NodeJS.ProcessEnv;

  beforeAll(async () => {
    registry = await startRegistry();
    copyCheckout(join(folder, 'commit'));
    pinned = await pinBases();
  });

  afterAll(async () => {
    for (const store of stores) await store.remove();
    await registry.stop();
    rmSync(folder, { recursive: true });
  });

  /** The bases by digest, for a store that has none of them; those that only this machine has are pushed. */
  async function pinBases(): Promise<NodeJS.ProcessEnv> {
    await run('.github/scripts/login.sh', [], { ...registry.env, IMAGE_PREFIX: registry.prefix });
    const found = Object.entries(bases ?? {}).map(async ([name, value]) => {
      if (!value?.startsWith('localhost/')) return [name, value] as const;
      const file = join(folder, name);
      const repository = `${registry.prefix}${name.toLowerCase()}`;
      const args = ['push', '--quiet', '--digestfile', file, value, `docker://${repository}:test`];
      const { status, output } = await run('buildah', args, registry.env);
      if (status !== 0) throw new Error(output);
      return [name, `${repository}@${readFileSync(file, 'utf8').trim()}`] as const;
    });
    return Object.fromEntries(await Promise.all(found));
  }

  /** The digests of a build in a checkout and a store of its own, as on another machine. */
  async function build(name: string, umask: string, env: NodeJS.ProcessEnv): Promise<string> {
    mkdirSync(join(folder, name));
    const store = createStore(join(folder, name));
    stores.push(store);
    const checkout = join(folder, name, 'checkout');
    await run('sh', ['-c', `umask ${umask} && git clone --quiet "$0" "$1"`, join(folder, 'commit'), checkout]);
    return buildAndPush(
      checkout,
      { ...pinned, ...registry.env, ...store.env, ...env, IMAGE_PREFIX: registry.prefix },
      umask,
    );
  }

  it('have one digest for each image, wherever and however they are built', async () => {
    const first = await build('one', '0022', {});
    const second = await build('other', '0077', { TZ: 'Asia/Kolkata', LC_ALL: 'C', SOURCE_DATE_EPOCH: '1234567890' });

    expect(second).toBe(first);
    for (const name of images) expect(first).toMatch(new RegExp(`\\b${name}@sha256:[0-9a-f]{64}`));
  });
});
