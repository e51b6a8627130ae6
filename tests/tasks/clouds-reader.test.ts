import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createReader } from '../../functions/tasks/clouds/reader.ts';

const script = new URL(`file://${process.cwd()}/tests/support/fake-reader.js`);
const ask = { dilate: 0, form: 'json' } as const;
const [sound, hangs, exits, throws, eats, fails] = [0, 1, 2, 3, 4, 5].map((order) => Uint8Array.of(order)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];

describe('the threads that read files', () => {
  it('are one for files that come one after the other, and more for those that come at once', async () => {
    const reader = createReader({ script });
    reader.start();

    const after = [await reader.read(sound, ask), await reader.read(sound, ask)];
    const atOnce = await Promise.all([reader.read(sound, ask), reader.read(sound, ask)]);

    // Each tells the number of its answers as the width.
    expect(after.map(({ width }) => width)).toEqual([1, 2]);
    expect(atOnce.map(({ width }) => width).sort()).toEqual([1, 3]);
  });

  it('are given a copy of the bytes alone, whole where that takes several turns', async () => {
    const reader = createReader({ script });
    const upload = new Uint8Array(5_000_000);

    const { height } = await reader.read(upload.subarray(1, 3_000_001), ask);

    expect(height).toBe(3_000_000);
    expect(upload.buffer.byteLength).toBe(5_000_000);
  });

  it.each([
    ['hangs', hangs, 'DEADLINE_EXCEEDED'],
    ['runs out of memory', eats, 'IMAGE_UNREADABLE'],
    ['exits', exits, 'INTERNAL'],
    ['throws', throws, 'INTERNAL'],
  ])('are replaced when one %s', async (_, file, code) => {
    const reader = createReader({ script, timeoutMs: code === 'DEADLINE_EXCEEDED' ? 300 : 20_000 });
    await reader.read(sound, ask);

    await expect(reader.read(file, ask)).rejects.toMatchObject({ code });

    expect((await reader.read(sound, ask)).width).toBe(1);
  });

  it('are kept when one tells a fault', async () => {
    const reader = createReader({ script });

    await expect(reader.read(fails, ask)).rejects.toThrow('a fault of ours');

    expect((await reader.read(sound, ask)).width).toBe(2);
  });

  it('are not asked again when one has died with nothing to do', async () => {
    const reader = createReader({ script: new URL('data:text/javascript,process.exit(1)') });
    reader.start();
    await sleep(500);

    await expect(reader.read(sound, ask)).rejects.toMatchObject({ code: 'INTERNAL' });
  });
});
