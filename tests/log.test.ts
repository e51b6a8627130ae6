import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createLog, gatherLines } from '../functions/shared/log.ts';

function linesOf(level: Parameters<typeof createLog>[0], use: (log: ReturnType<typeof createLog>) => void) {
  const lines: string[] = [];
  use(createLog(level, (line) => lines.push(line)));
  return lines;
}

describe('createLog', () => {
  it('writes one JSON line a call', () => {
    const [line, ...rest] = linesOf('info', (log) => log('warn', 'two\nlines', { requestId: 'a' }));

    expect(rest).toEqual([]);
    expect(line?.indexOf('\n')).toBe((line?.length ?? 0) - 1);
    expect(JSON.parse(line ?? '')).toMatchObject({ severity: 'warn', message: 'two\nlines', requestId: 'a' });
  });

  it.each([
    ['debug', 4],
    ['info', 3],
    ['warn', 2],
    ['error', 1],
    ['silent', 0],
  ] as const)('at level %s writes %d of four severities', (level, count) => {
    const lines = linesOf(level, (log) => {
      for (const severity of ['debug', 'info', 'warn', 'error'] as const) log(severity, 'message');
    });

    expect(lines).toHaveLength(count);
  });

  it('keeps the stack of an error and of its cause', () => {
    const [line] = linesOf('info', (log) =>
      log('error', 'm', { error: new Error('outer', { cause: new Error('inner') }) }),
    );

    expect(JSON.parse(line ?? '').error.stack).toContain('outer');
    expect(JSON.parse(line ?? '').error.cause).toContain('inner');
  });
});

describe('gatherLines', () => {
  function gather() {
    const texts: string[] = [];
    return { texts, write: gatherLines((text) => texts.push(text)) };
  }

  it('hands lines on together, and those that come later by themselves', async () => {
    const { texts, write } = gather();

    write('one\n', false);
    write('two\n', false);
    const atOnce = [...texts];
    await sleep(50);
    write('three\n', false);
    await sleep(50);

    expect(atOnce).toEqual([]);
    expect(texts).toEqual(['one\ntwo\n', 'three\n']);
  });

  it('hands an urgent line on at once, after those before it and only once', async () => {
    const { texts, write } = gather();

    write('one\n', false);
    write('two\n', true);
    const atOnce = [...texts];
    await sleep(50);

    expect(atOnce).toEqual(['one\ntwo\n']);
    expect(texts).toEqual(atOnce);
  });

  it('loses no line when the process ends', () => {
    const module = new URL('../functions/shared/log.js', import.meta.url);
    const program = `const { createLog } = await import('${module}'); createLog('info')('info', 'last words');`;

    const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });

    expect(JSON.parse(output).message).toBe('last words');
  });
});
