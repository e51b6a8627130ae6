import { execFileSync } from 'node:child_process';
import { chmodSync, constants, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { StartError } from './settings.ts';

/** nginx's working folder, with its configuration and a pipe for its access log. */
export interface RunFolder {
  readonly path: string;
  readonly accessLog: Readable;
  /** Removes it with all that is in it. */
  remove(): void;
}

export const configName = 'nginx.conf';
export const accessLogName = 'access.pipe';

/**
 * Makes the folder below TMPDIR. Mode 0700, so that no other user reaches the private sockets; as root, nginx's workers run as another
 * user, who must be able to pass through.
 * @throws StartError
 */
export function makeRunFolder(config: string): RunFolder {
  const parent = resolve(tmpdir());
  const isRoot = process.getuid?.() === 0;
  for (let above = parent; isRoot && above !== dirname(above); above = dirname(above)) {
    if (!isClosed(above)) continue;
    throw new StartError(
      `Expected a TMPDIR that every user may pass through but received ${tmpdir()}, closed at ${above}`,
    );
  }
  let path = '';
  const remove = () => path !== '' && rmSync(path, { recursive: true, force: true });
  try {
    path = mkdtempSync(join(parent, 'understudy-'));
    if (isRoot) chmodSync(path, 0o711);
    writeFileSync(join(path, configName), config);
    return { path, accessLog: openPipe(join(path, accessLogName)), remove };
  } catch (fault) {
    remove();
    throw unwritable(fault);
  }
}

/** A folder that only its owner may pass through. */
function isClosed(path: string): boolean {
  try {
    const stats = statSync(path);
    return stats.isDirectory() && (stats.mode & 0o001) === 0;
  } catch (fault) {
    throw unwritable(fault);
  }
}

function unwritable(fault: unknown): StartError {
  return new StartError(
    `Expected a folder to write to for TMPDIR but received ${JSON.stringify(tmpdir())}: ${(fault as Error).message}`,
  );
}

// nginx opens its access log by path, so it needs a named pipe.
function openPipe(path: string): Readable {
  execFileSync('mkfifo', ['-m', '600', path], { stdio: 'pipe' });
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK); // open for writing too, so that it stays open while nginx restarts
  return new Socket({ fd, readable: true, writable: false });
}
