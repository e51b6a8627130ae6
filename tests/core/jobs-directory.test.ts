import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createDirectoryStore, sweepDrafts } from '../../functions/core/jobs/directory.ts';
import type { Store } from '../../functions/core/jobs/store.ts';
import { keysOf } from '../support/jobs.ts';

const racer = fileURLToPath(new URL('../support/store-racer.js', import.meta.url));
const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();
const bytes = (value: string) => Buffer.from(value);

describe('a store in a folder', () => {
  let folder: string;
  let store: Store;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'jobs-store-'));
    store = createDirectoryStore(join(folder, 'store'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('tells where a value lies', () => {
    expect(store.uri('photos/a')).toBe(`file://${folder}/store/photos/a`);
  });

  it('writes nothing over a version that never was, or that another key has', async () => {
    const etag = String(await store.put('records/a', bytes('1'), 'absent'));
    expect(await store.put('records/a', bytes('3'), { etag: 'another' })).toBeUndefined();
    expect(await store.get('records/a')).toEqual({ bytes: bytes('1'), etag });
    expect(await store.put('records/b', bytes('1'), { etag })).toBeUndefined();
    expect(await store.get('records/b')).toBeUndefined();
  });

  it('does not take a value that was deleted and made anew for the one that was read', async () => {
    const old = String(await store.put('records/a', bytes('1'), 'absent'));
    await store.delete('records/a');
    await store.put('records/a', bytes('1'), 'absent');
    expect(await store.put('records/a', bytes('2'), { etag: old })).toBeUndefined();
    expect(text((await store.get('records/a'))?.bytes)).toBe('1');
  });

  it('has no more than four threads wait for the disk, whatever is written at once', async () => {
    const file = await open(folder);
    const handles = Object.getPrototypeOf(file) as { sync(): Promise<void> };
    await file.close();
    const { sync } = handles;
    let [syncing, most] = [0, 0];
    handles.sync = async function (this: object) {
      syncing += 1;
      most = Math.max(most, syncing);
      await sleep(5);
      syncing -= 1;
    };

    await Promise.all(Array.from({ length: 12 }, (_, n) => store.put(`photos/${n}`, bytes('1'))));

    handles.sync = sync;
    expect(most).toBe(4);
  });

  it('leaves nothing of what was deleted', async () => {
    const etag = String(await store.put('results/a/1', bytes('1'), 'absent'));
    await store.put('results/a/1', bytes('2'), { etag });
    await store.delete('results/a/1');
    await store.delete('results/a/1');
    expect(readdirSync(join(folder, 'store'), { recursive: true })).toEqual(['drafts', 'results']);
  });

  it.each(['../a', '/a', 'a/../../b', 'a//b', 'a/', '', 'a/.b', 'a~b', 'a\0b', 'a\\b', `a${'b'.repeat(512)}`])(
    'refuses the key %j',
    async (key) => {
      await expect(async () => store.get(key)).rejects.toThrow('Expected a key of the store');
      await expect(async () => store.put(key, bytes(''))).rejects.toThrow('Expected a key of the store');
      await expect(async () => store.delete(key)).rejects.toThrow('Expected a key of the store');
    },
  );

  it('removes the drafts of writers that were killed long ago', async () => {
    await store.put('a', bytes(''));
    const drafts = join(folder, 'store', 'drafts');
    for (const name of ['old', 'new']) writeFileSync(join(drafts, name), '');
    utimesSync(join(drafts, 'old'), 0, Date.now() / 1000 - 3601);
    await sweepDrafts(join(folder, 'store'));
    expect(readdirSync(drafts)).toEqual(['new']);
  });

  describe('of several processes', () => {
    const race = async (kind: string, times: number) => {
      const run = promisify(execFile);
      const args = [racer, join(folder, 'store'), kind, String(times)];
      const runs = await Promise.all([0, 1, 2, 3].map(() => run(process.execPath, args)));
      return runs.map(({ stdout }) => Number(stdout));
    };

    it('loses no write that was said to be done', async () => {
      await store.put('shared/count', bytes('0'));
      expect(await race('count', 25)).toEqual([25, 25, 25, 25]);
      expect(text((await store.get('shared/count'))?.bytes)).toBe('100');
    }, 60_000);

    it('lets one of them be the first', async () => {
      const firsts = await race('gate', 100);
      expect(firsts.reduce((sum, first) => sum + first, 0)).toBe(100);
      expect(await keysOf(store, 'gates/')).toHaveLength(100);
    }, 60_000);
  });
});
