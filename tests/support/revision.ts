import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { textsOf } from './program.ts';

const script = fileURLToPath(new URL('../../knative/revisions/revision.js', import.meta.url));

/** Shell scripts by the name of the program that they stand in for. */
export type Programs = Readonly<Record<string, string>>;

/** A kn that tells this version and no more. */
export const version = (text: string) => `[ "$1" = version ] && echo '{"Version":"${text}"}' && exit`;

/** Runs `npm run revision` to its end. It finds these programs besides the system's; `calls` are theirs, in order. */
export async function runRevision(args: readonly string[], programs: Programs = {}) {
  const bin = mkdtempSync(join(tmpdir(), 'revision-test-'));
  try {
    for (const [name, shell] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >>${bin}/calls\n${shell}\n`, { mode: 0o755 });
    }
    const env = { ...process.env, PATH: `${bin}:/bin:/usr/bin`, K6: join(bin, 'k6') };
    const child = spawn(process.execPath, [script, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const texts = textsOf(child);
    const [code] = (await once(child, 'close')) as [number | null];
    const calls = join(bin, 'calls');
    return { code, ...texts, calls: existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : [] };
  } finally {
    rmSync(bin, { recursive: true });
  }
}
