import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Store } from '../../functions/core/jobs/store.ts';
import { keysOf } from './jobs.ts';

const encode = (text: string) => new TextEncoder().encode(text);

async function textOf(store: Store, key: string): Promise<string | undefined> {
  const stored = await store.get(key);
  return stored && Buffer.from(stored.bytes).toString();
}

export interface OpenedStore {
  /** Two of them see the same values. */
  open(): Store;
  close(): Promise<void>;
}

/** What every implementation of Store must do; each test has keys of its own. For a test file's top level. */
export function describeStore(
  name: string,
  start: () => Promise<OpenedStore>,
  describeIt: typeof describe | typeof describe.skip = describe,
): void {
  describeIt(name, () => {
    let opened: OpenedStore;
    let store: Store;
    let other: Store;

    beforeAll(async () => {
      opened = await start();
      store = opened.open();
      other = opened.open();
    }, 60_000);

    afterAll(() => opened?.close());

    it('gives what was put, to the byte, and to others as well', async () => {
      const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 256);
      const etag = await store.put('plain/photo', bytes);

      expect(etag).toEqual(expect.stringMatching(/./));
      for (const reader of [store, other]) {
        const stored = await reader.get('plain/photo');
        expect(Buffer.from(bytes).equals(stored?.bytes ?? new Uint8Array())).toBe(true);
        expect(stored?.etag).toBe(etag);
      }
    });

    it('gives no bytes where none were put', async () => {
      await store.put('plain/empty', new Uint8Array());

      expect((await store.get('plain/empty'))?.bytes).toHaveLength(0);
    });

    it('has nothing under a key that was never put', async () => {
      expect(await store.get('absent/key')).toBeUndefined();
      await expect(store.delete('absent/key')).resolves.toBeUndefined();
      expect(await keysOf(store, 'absent/')).toEqual([]);
    });

    it('replaces a value without a condition', async () => {
      const first = await store.put('plain/twice', encode('one'));
      const second = await store.put('plain/twice', encode('two'));

      expect(second).not.toBe(first);
      expect(await textOf(store, 'plain/twice')).toBe('two');
    });

    it('puts what must be absent only once, until it is deleted', async () => {
      expect(await store.put('absent/once', encode('one'), 'absent')).toBeDefined();
      expect(await other.put('absent/once', encode('two'), 'absent')).toBeUndefined();
      expect(await textOf(store, 'absent/once')).toBe('one');

      await store.delete('absent/once');

      expect(await store.get('absent/once')).toBeUndefined();
      expect(await other.put('absent/once', encode('three'), 'absent')).toBeDefined();
      expect(await textOf(store, 'absent/once')).toBe('three');
    });

    it('puts over a version only while it is the present one', async () => {
      const first = (await store.put('swap/plain', encode('one'))) as string;
      const second = await store.put('swap/plain', encode('two'), { etag: first });

      expect(second).toBeDefined();
      expect(await other.put('swap/plain', encode('three'), { etag: first })).toBeUndefined();
      expect(await textOf(store, 'swap/plain')).toBe('two');
      expect(await other.put('swap/plain', encode('four'), { etag: second as string })).toBeDefined();
      expect(await textOf(store, 'swap/plain')).toBe('four');
    });

    it('puts nothing over a version that was deleted', async () => {
      const etag = (await store.put('swap/gone', encode('one'))) as string;
      await other.delete('swap/gone');

      expect(await store.put('swap/gone', encode('two'), { etag })).toBeUndefined();
      expect(await store.get('swap/gone')).toBeUndefined();
    });

    it.each(['absent', 'etag'] as const)(
      'lets one of ten writers with the same condition succeed: %s',
      async (kind) => {
        for (const round of [1, 2, 3]) {
          const key = `race/${kind}-${round}`;
          const etag = kind === 'etag' ? ((await store.put(key, encode('first'))) as string) : '';
          const condition = kind === 'etag' ? { etag } : 'absent';
          const puts = Array.from({ length: 10 }, (_, i) =>
            (i % 2 ? store : other).put(key, encode(`${i}`), condition),
          );

          const etags = await Promise.all(puts);

          const winners = etags.flatMap((won, i) => (won === undefined ? [] : [i]));
          expect(winners).toHaveLength(1);
          expect(await textOf(store, key)).toBe(String(winners[0]));
        }
      },
    );

    it('lists the keys below a prefix in order, and no others', async () => {
      const keys = ['list/b', 'list/a/2', 'list/a/10', 'list/a-b', 'list/Z', 'listed/c'];
      for (const key of keys) await store.put(key, encode(key));
      const etag = (await store.get('list/b'))?.etag as string;
      await store.put('list/b', encode('again'), { etag });

      expect(await keysOf(other, 'list/')).toEqual(['list/Z', 'list/a-b', 'list/a/10', 'list/a/2', 'list/b']);
      expect(await keysOf(other, 'list/a/')).toEqual(['list/a/10', 'list/a/2']);
    });

    it.each(['', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a b', 'a\\b', '.a', 'ä'])('takes no key %j', async (key) => {
      const asked = async () => store.get(key);

      await expect(asked).rejects.toThrow(/^Expected a key of the store but received/);
    });

    it.each(['', 'list', '../', '/'])('lists no prefix %j', async (prefix) => {
      const asked = () => keysOf(store, prefix);

      await expect(asked).rejects.toThrow(/^Expected a key and a slash for the prefix but received/);
    });
  });
}
