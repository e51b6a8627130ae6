import { spawnSync } from 'node:child_process';

/** Runs a compiled program of this project to its end, within a minute. */
export function runProgram(program: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}
