import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const lineFeed = 10;

/** Bytes buffered for a slow reader; lines beyond that are dropped. */
const mostWaiting = 1024 * 1024;
/** Bytes of a line without an end; a longer one is passed on in pieces. */
const longestLine = 64 * 1024;

/** The output of this process and of its programs. Never waits for its reader and survives it. */
export interface Output {
  write(lines: string | Buffer): void;
  /** Forwards what a program writes, in whole lines. */
  pass(source: Readable): void;
  /** Settles when all is written, after `withinMs` at the latest. */
  flush(withinMs: number): Promise<void>;
}

type Sink = Writable & { readonly _handle?: { setBlocking?(isBlocking: boolean): void } };

/** Lines that are not read in time are dropped and counted. */
export function openOutput(sink: Sink): Output {
  let dropped = 0;
  sink.on('error', () => undefined); // a closed reader or a full disk is no reason to stop serving
  sink._handle?.setBlocking?.(false); // a terminal held by Ctrl-S would block this process too

  function write(lines: string | Buffer): void {
    if (sink.writableLength + lines.length > mostWaiting) {
      dropped += Buffer.from(lines).filter((byte) => byte === lineFeed).length;
      return;
    }
    if (dropped > 0) sink.write(`understudy: ${dropped} lines are missing here: they were not read in time\n`);
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
  let begun = Buffer.alloc(0); // an unfinished line
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
