import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Linux takes one such change in a tenth of a second from all users but root. */
const againMs = 120;
const attempts = 50;

/**
 * Sets how far the session that a process leads gives way to others. Linux shares cores between sessions first, and a process's own
 * niceness counts only among those of its session. Nothing comes of it where the kernel does not do so, nor below 0 without the right.
 */
export async function setSessionNiceness(pid: number, niceness: number): Promise<void> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    try {
      await writeFile(`/proc/${pid}/autogroup`, String(niceness));
      return;
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      await sleep(againMs, undefined, { ref: false });
    }
  }
}
