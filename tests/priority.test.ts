import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { type RunningFunction, startFunction } from './support/function.ts';

const isLinux = process.platform === 'linux';
const running: RunningFunction[] = [];
const photo = readFileSync('tests/images/test_image_1.jpg');

/** How many threads of a process have which niceness above this process' own (proc(5): the 19th value, 17th behind the name). */
function countByNiceness(pid: number): Readonly<Record<number, number>> {
  const counts: Record<number, number> = {};
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const niceness = nicenessOf(pid, thread);
    if (niceness !== undefined) counts[niceness - getPriority()] = (counts[niceness - getPriority()] ?? 0) + 1;
  }
  return counts;
}

/** Undefined for a thread that has ended. */
function nicenessOf(pid: number, thread: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[16]);
  } catch {
    return undefined;
  }
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((served) => served.stop()));
});

describe('the threads of a function', () => {
  it.each([
    // Two inference threads of the Wide ResNet; one of MobileNet and four of libuv.
    ['primary', { 10: 2, 5: 1 + 4 }],
    ['fallback', { 5: 1 + 4 }],
  ] as const)(
    'let the event loop of a %s go first',
    async (target, expected) => {
      if (!isLinux) return;
      const served = await startFunction(target, { WORKERS: target === 'primary' ? '2' : '1' });
      running.push(served);
      const pid = served.process.pid as number;
      const isAsExpected = () => {
        const counts = countByNiceness(pid);
        return Object.entries(expected).every(([niceness, count]) => counts[Number(niceness)] === count);
      };
      for (let tries = 0; tries < 500 && !isAsExpected(); tries += 1) await sleep(20);

      // libvips starts its threads with the first image, from those of libuv.
      expect(countByNiceness(pid)).toMatchObject(expected);
      expect(nicenessOf(pid, String(pid))).toBe(getPriority());
      const before = countByNiceness(pid)[0];
      await fetch(`${served.url}/classify`, { method: 'POST', headers: { 'content-type': 'image/jpeg' }, body: photo });
      expect(countByNiceness(pid)[0]).toBeLessThanOrEqual(before as number);
    },
    30_000,
  );
});
