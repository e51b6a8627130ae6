import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder whose disk can be filled. */
export interface Disk {
  readonly folder: string;
  /** Takes all room that is left. Does nothing where this process may not mount a disk of its own. */
  fill(): void;
  empty(): void;
  remove(): void;
}

const blockBytes = 1_048_576;

/** @param size of the disk, as mount(8) takes it */
export function limitedFolder(size: string): Disk {
  const folder = mkdtempSync(join(tmpdir(), 'disk-test-'));
  const isOwn = process.getuid?.() === 0 && mounts(folder, size);
  const ballast = join(folder, 'ballast');
  return {
    folder,
    fill() {
      if (!isOwn) return;
      writeFileSync(ballast, '');
      try {
        for (;;) appendFileSync(ballast, Buffer.alloc(blockBytes));
      } catch (fault) {
        if ((fault as NodeJS.ErrnoException).code !== 'ENOSPC') throw fault;
      }
    },
    empty: () => rmSync(ballast, { force: true }),
    remove() {
      if (isOwn) execFileSync('umount', ['--lazy', folder]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function mounts(folder: string, size: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
