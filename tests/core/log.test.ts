import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createLog, gatherLines } from '../../functions/core/observe/log.ts';

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
    const sink = (bytes: Buffer) => {
      texts.push(String(bytes));
      return bytes.length;
    };
    return { texts, write: gatherLines(sink) };
  }

  /** A reader with room for so many bytes, at first. */
  function gatherFor(room: number, maxBytes: number) {
    const reader = { room, text: '' };
    const sink = (bytes: Buffer) => {
      const taken = bytes.subarray(0, reader.room);
      reader.room -= taken.length;
      reader.text += taken;
      return taken.length;
    };
    return { reader, write: gatherLines(sink, maxBytes) };
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

  it('hands on later what the reader has no room for, in order and whole', async () => {
    const { reader, write } = gatherFor(6, 1000);

    write('one\n', true);
    write('two\n', true);
    write('three\n', false);
    await sleep(50);
    const atFirst = reader.text;
    reader.room = 100;
    await sleep(50);

    expect(atFirst).toBe('one\ntw');
    expect(reader.text).toBe('one\ntwo\nthree\n');
  });

  it.each([
    ['below', 29, 0],
    ['at', 30, 0],
    ['above', 31, 1],
  ])('holds lines %s the limit, drops the others and says how many', async (_where, bytes, count) => {
    const { reader, write } = gatherFor(0, 30);

    write(`${'a'.repeat(19)}\n`, false);
    write(`${'b'.repeat(bytes - 21)}\n`, false);
    reader.room = 1000;
    await sleep(50);
    write('later\n', false);
    await sleep(50);

    const dropped = reader.text.split('\n').filter((line) => line.startsWith('{'));
    expect(dropped.map((line) => JSON.parse(line))).toMatchObject(
      count === 0 ? [] : [{ severity: 'warn', message: 'log lines dropped', count }],
    );
    expect(reader.text.includes('b')).toBe(count === 0);
    expect(reader.text.endsWith('later\n')).toBe(true);
  });

  it('loses no line when the process ends', () => {
    const folder = new URL('../../functions/core/', import.meta.url);
    const program = `
      const { createLog, gatherLines } = await import('${folder}observe/log.js');
      const { openStdout } = await import('${folder}files.js');
      createLog('info', gatherLines(openStdout()))('info', 'last words');
    `;

    const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });

    expect(JSON.parse(output).message).toBe('last words');
  });
});
