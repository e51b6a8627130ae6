import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';

/** The text of a file, or undefined where there is none. @throws the system's error when it exists but cannot be read */
export function readTextFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fault;
  }
}

/** Lowercase hexadecimal SHA-256 of a file's bytes, or undefined where there is no file. */
export function sha256OfFile(path: string): string | undefined {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex');
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
