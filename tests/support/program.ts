import { type ChildProcess, spawnSync } from 'node:child_process';

/** What a process has written to its pipes so far. */
export function textsOf({ stdout, stderr }: ChildProcess): { readonly stdout: string; readonly stderr: string } {
  const texts = { stdout: '', stderr: '' };
  for (const [name, stream] of Object.entries({ stdout, stderr })) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      texts[name as keyof typeof texts] += chunk;
    });
  }
  return texts;
}

/** Runs a compiled program of this project to its end, within a minute. */
export function runProgram(program: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}
