import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { type RunningFunction, startFunction } from './support/function.ts';

const isLinux = process.platform === 'linux';
const running: RunningFunction[] = [];
const photo = readFileSync('tests/images/test_image_1.jpg');

/** The niceness of each thread of a process, by its id (proc(5): the 19th value, counted behind the name in brackets). */
function nicenessOfThreads(pid: number): ReadonlyMap<number, number> {
  const folder = `/proc/${pid}/task`;
  const read = (thread: string) =>
    Number(readFileSync(`${folder}/${thread}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[16]);
  return new Map(readdirSync(folder).map((thread) => [Number(thread), read(thread)]));
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((served) => served.stop()));
});

describe('the threads of a function', () => {
  it.each([
    // Two inference threads of the Wide ResNet, one of MobileNet; four of libuv, and what libvips starts from these.
    ['primary', 3, { 10: 2, 5: 1 + 4 }],
    ['fallback', 1, { 5: 1 + 4 }],
  ] as const)('let the event loop of a %s go first', async (target, workers, least) => {
    if (!isLinux) return;
    const served = await startFunction(target, { WORKERS: target === 'primary' ? '2' : '1' });
    running.push(served);
    await served.ready();
    while (served.lines.filter(({ message }) => message === 'worker ready').length < workers) await sleep(20);
    const headers = { 'content-type': 'image/jpeg' };
    const response = await fetch(`${served.url}/classify`, { method: 'POST', headers, body: photo });

    const byThread = nicenessOfThreads(served.process.pid as number);

    expect(response.status).toBe(200);
    expect(byThread.get(served.process.pid as number)).toBe(0);
    for (const [niceness, count] of Object.entries(least)) {
      const alike = [...byThread.values()].filter((value) => value === Number(niceness));
      expect(alike.length).toBeGreaterThanOrEqual(count);
    }
  });
});
