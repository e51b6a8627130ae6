import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeSync,
} from 'node:fs';

/** What a file holds, short of its bytes. */
export interface Digest {
  /** Lowercase hexadecimal SHA-256. */
  readonly sha256: string;
  readonly bytes: number;
}

/** Read at a time for a digest: weights of hundreds of megabytes are never in memory as a whole because of it. */
const blockBytes = 1 << 20;

/** The text of a file, or undefined where there is none. @throws the system's error when it exists but cannot be read */
export function readTextFile(path: string): string | undefined {
  return unlessAbsent(() => readFileSync(path, 'utf8'));
}

/** The first `bytes` bytes of a file as text, or undefined where there is none. @throws the system's error */
export function readTextStart(path: string, bytes: number): string | undefined {
  return unlessAbsent(() => {
    const file = openSync(path, 'r');
    try {
      const start = Buffer.alloc(bytes);
      return start.toString('utf8', 0, readSync(file, start));
    } finally {
      closeSync(file);
    }
  });
}

/** The digest of a file, or undefined where there is none. @throws the system's error when it exists but cannot be read */
export function digestOfFile(path: string): Digest | undefined {
  return unlessAbsent(() => {
    const file = openSync(path, 'r');
    try {
      const hash = createHash('sha256');
      const block = Buffer.alloc(blockBytes);
      let bytes = 0;
      for (let read = readSync(file, block); read > 0; read = readSync(file, block)) {
        hash.update(block.subarray(0, read));
        bytes += read;
      }
      return { sha256: hash.digest('hex'), bytes };
    } finally {
      closeSync(file);
    }
  });
}

/** The same without holding up the event loop, which only hashes, a block at a time. */
export async function digestMeanwhile(path: string): Promise<Digest | undefined> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const block of createReadStream(path, { highWaterMark: blockBytes })) {
      hash.update(block);
      bytes += block.length;
    }
  } catch (fault) {
    return unlessAbsent(() => {
      throw fault;
    });
  }
  return { sha256: hash.digest('hex'), bytes };
}

function unlessAbsent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fault;
  }
}

/** The kernel's id of the calling thread, or undefined where there is no Linux /proc. */
export function readThreadId(): number | undefined {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  } catch {
    return undefined;
  }
}

/** The kernel's ids of this process' threads, empty where there is no Linux /proc. */
export function readThreadIds(): readonly number[] {
  try {
    return readdirSync('/proc/self/task').map(Number);
  } catch {
    return [];
  }
}

/** Whether there is a terminal from which this process can be interrupted; not any more once that has been closed. */
export function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

/**
 * Writes to stdout as many bytes as there is room for and says how many; never waits. Not by way of `process.stdout`: that keeps
 * all that a stalled reader leaves, and waits for the reader when whoever shares the pipe has made it a blocking one, as every
 * Node.js does that starts a program which inherits it. A reader that has gone takes everything and reads nothing.
 */
export function openStdout(): (bytes: Buffer) => number {
  const ignore = () => {}; // EPIPE, which would end the process
  process.stdout.on('error', ignore);
  process.stderr.on('error', ignore);
  const { _handle: pipe } = process.stdout as { _handle?: { setBlocking?(isBlocking: boolean): void } };
  return (bytes) => {
    try {
      pipe?.setBlocking?.(false); // anew each time: it may have been changed since
      return writeSync(1, bytes);
    } catch (fault) {
      return (fault as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : bytes.length;
    }
  };
}
