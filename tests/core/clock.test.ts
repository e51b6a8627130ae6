import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createWorkingClock } from '../../functions/core/chain/clock.ts';

describe('createWorkingClock', () => {
  it('goes on while the process works or waits', async () => {
    const now = createWorkingClock();
    const [startedMs, sinceMs] = [now(), performance.now()];

    await sleep(700);

    const tookMs = performance.now() - sinceMs;
    expect(now() - startedMs).toBeGreaterThan(600);
    expect(now() - startedMs).toBeLessThanOrEqual(tookMs + 50);
  });

  it('counts a quarter of a second at the most of the time for which the process is stopped', async () => {
    const module = new URL('../../functions/core/chain/clock.js', import.meta.url);
    const program = `
      const { createWorkingClock } = await import('${module}');
      const now = createWorkingClock();
      const startedMs = now();
      console.log('begun');
      setTimeout(() => console.log(now() - startedMs), 300);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface(child.stdout);
    await once(lines, 'line');

    child.kill('SIGSTOP');
    await sleep(2000);
    const read = once(lines, 'line');
    child.kill('SIGCONT');

    const [ms] = await read;
    expect(Number(ms)).toBeGreaterThan(0);
    expect(Number(ms)).toBeLessThan(700);
  });
});
