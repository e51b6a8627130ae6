import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Linux takes one such change in a tenth of a second from all users but root. */
const againMs = 120;
const attempts = 50;

/**
 * Lets the session that a process leads give way to others by as much as `niceness` says. Linux shares cores between sessions first,
 * and a process's own niceness counts only among those of its session. Nothing comes of it where the kernel or its settings do not do so.
 */
export async function yieldSession(pid: number, niceness: number): Promise<void> {
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
