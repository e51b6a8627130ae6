import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { watchModels } from '../../ingress/watch.ts';

/** Between two looks. */
const everyMs = 100;
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'understudy-watch-'));
  for (const folder of ['large', 'turned', 'training']) mkdirSync(join(dir, folder));
  for (const folder of ['large', 'turned']) writeFileSync(join(dir, folder, 'model.json'), '{}');
  symlinkSync('turned', join(dir, 'linked'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** How often a change was told, by a time at which it would have been. */
function watch(): () => Promise<number> {
  let changes = 0;
  watchModels(
    dir,
    () => {
      changes += 1;
    },
    everyMs,
  );
  return async () => {
    await sleep(4 * everyMs);
    return changes;
  };
}

describe('watchModels', () => {
  it('tells nothing as long as nothing changes, nor of a folder without a card', async () => {
    const changes = watch();
    writeFileSync(join(dir, 'training', 'notes'), '');

    expect(await changes()).toBe(0);
  });

  it.each<[string, () => void]>([
    ['a file that is written', () => writeFileSync(join(dir, 'large', 'model.onnx'), '1')],
    ['a file of the same size', () => writeFileSync(join(dir, 'large', 'model.json'), '[]')],
    ['a link in a circle', () => symlinkSync('circle', join(dir, 'large', 'circle'))],
    ['a folder that is gone', () => rmSync(join(dir, 'large'), { recursive: true })],
    [
      'a folder that takes the place of another',
      () => {
        mkdirSync(join(dir, 'next'));
        writeFileSync(join(dir, 'next', 'model.json'), '{}');
        renameSync(join(dir, 'large'), join(dir, 'former'));
        renameSync(join(dir, 'next'), join(dir, 'large'));
      },
    ],
    [
      'a link that is turned',
      () => {
        unlinkSync(join(dir, 'linked'));
        symlinkSync('large', join(dir, 'linked'));
      },
    ],
  ])('tells once of %s', async (_what, change) => {
    const changes = watch();
    change();

    expect(await changes()).toBe(1);
    expect(await changes()).toBe(1);
  });

  it('waits for the end of a copy', async () => {
    const changes = watch();
    let early = 0;
    for (let i = 0; i < 20; i += 1) {
      appendFileSync(join(dir, 'large', 'model.onnx'), 'weights');
      await sleep(everyMs / 4);
      early = i;
    }

    expect(early).toBe(19);
    expect(await changes()).toBe(1);
  });
});
