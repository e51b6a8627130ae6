import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const lineFeed = 10;

/** Bytes that wait for a slow reader; what comes then is dropped. */
const mostWaiting = 1024 * 1024;
/** Bytes of a line that does not end: it is passed on in pieces then. */
const longestLine = 64 * 1024;

/** Where our own lines and those of the programs go. Never waits for its reader, and outlives it. */
export interface Output {
  write(lines: string | Buffer): void;
  /** Passes on what a program writes, whole lines at a time. */
  pass(source: Readable): void;
  /** Settles when all is written, at the latest after `withinMs`. */
  flush(withinMs: number): Promise<void>;
}

type Sink = Writable & { readonly _handle?: { setBlocking?(isBlocking: boolean): void } };

/** Lines that nobody reads in time are dropped, and counted once there is room again. */
export function openOutput(sink: Sink): Output {
  let dropped = 0;
  sink.on('error', () => undefined); // the reader is gone, the disk full: no reason to stop serving
  sink._handle?.setBlocking?.(false); // or a terminal held by Ctrl-S would hold this process, too

  function write(lines: string | Buffer): void {
    if (sink.writableLength + lines.length > mostWaiting) {
      dropped += Buffer.from(lines).filter((byte) => byte === lineFeed).length;
      return;
    }
    if (dropped > 0) sink.write(`understudy: ${dropped} lines are missing here: nobody read them in time\n`);
    dropped = 0;
    sink.write(lines);
  }

  return {
    write,
    pass: (source) => passLines(source, write),
    flush: async (withinMs) => {
      for (const end = Date.now() + withinMs; sink.writableLength > 0 && Date.now() < end; ) await sleep(10);
    },
  };
}

function passLines(source: Readable, write: (lines: Buffer) => void): void {
  let begun = Buffer.alloc(0); // a line without its end
  source.on('data', (chunk: Buffer) => {
    const all = Buffer.concat([begun, chunk]);
    const lastLine = all.lastIndexOf(lineFeed) + 1;
    const end = all.length - lastLine > longestLine ? all.length : lastLine;
    begun = all.subarray(end);
    if (end > 0) write(all.subarray(0, end));
  });
  source.on('end', () => begun.length > 0 && write(Buffer.concat([begun, Buffer.from('\n')])));
  source.on('error', () => undefined);
}
