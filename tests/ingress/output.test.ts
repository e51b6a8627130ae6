import { PassThrough, Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { openOutput } from '../../ingress/output.ts';

const mebibyte = 1024 * 1024;

/** A reader that takes nothing before `goOn`. */
function slowReader() {
  const taken: string[] = [];
  let waiting: (() => void) | undefined;
  let isSlow = true;
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      taken.push(chunk.toString());
      if (isSlow) waiting = done;
      else done();
    },
  });
  const goOn = () => {
    isSlow = false;
    waiting?.();
  };
  return { sink, text: () => taken.join(''), goOn };
}

describe('openOutput', () => {
  it.each([
    ['below', mebibyte - 1, 'b\nc\n'],
    ['at', mebibyte, 'b\nc\n'],
    ['above', mebibyte + 1, 'understudy: 2 lines are missing here: they were not read in time\n'],
  ])(
    'keeps what a slow reader has not taken, %s a mebibyte, and counts the lines that it drops',
    async (_, all, then) => {
      const { sink, text, goOn } = slowReader();
      const output = openOutput(sink);
      const first = `${'a'.repeat(all - 5)}\n`;

      output.write(first);
      output.write('b\nc\n');
      goOn();
      await output.flush(1000);
      output.write('d\n');

      expect(text()).toBe(`${first}${then}d\n`);
    },
  );

  it('passes on whole lines of several programs', async () => {
    const { sink, text, goOn } = slowReader();
    const output = openOutput(sink);
    const [one, other] = [new PassThrough(), new PassThrough()];
    output.pass(one);
    output.pass(other);
    goOn();

    one.write('1 begins, ');
    await turn();
    other.write('2 is whole\n2 has');
    await turn();
    one.write('1 ends\n');
    await turn();
    other.end(' no end');
    await turn();

    expect(text()).toBe('2 is whole\n1 begins, 1 ends\n2 has no end\n');
  });

  it.each([
    ['at', 64 * 1024, ''],
    ['above', 64 * 1024 + 1, 'x'.repeat(64 * 1024 + 1)],
  ])('holds a line that does not end, up to 64 KiB: %s', async (_, length, passed) => {
    const { sink, text, goOn } = slowReader();
    const program = new PassThrough({ highWaterMark: mebibyte });
    openOutput(sink).pass(program);
    goOn();

    program.write('x'.repeat(length));
    await turn();

    expect(text()).toBe(passed);
  });

  it('outlives its reader', async () => {
    const sink = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
    const output = openOutput(sink);

    output.write('a\n');
    await turn();
    output.write('b\n');

    await output.flush(1000);
  });

  it('waits for a stalled reader only as long as it is told', async () => {
    const { sink } = slowReader();
    const output = openOutput(sink);
    output.write('a\n');
    const startedMs = performance.now();

    await output.flush(50);

    expect(performance.now() - startedMs).toBeLessThan(1000);
  });
});
