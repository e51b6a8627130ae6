import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Of pipeline/__main__.py, those that a person calls. */
const commands = ['build', 'compare', 'features', 'optimize', 'retrain', 'train'];

export function isPipelineCommand(word: string | undefined): boolean {
  return word !== undefined && commands.includes(word);
}

/** Runs a command of the pipeline, which is Python, and sets up its environment first where there is none. Returns its exit code. */
export function runPipeline(words: readonly string[]): number {
  const program = join(root, 'models/.venv/bin/models');
  if (!isUpToDate()) {
    // What set-up prints is no part of the command's output.
    const { status } = spawnSync('bash', [join(root, 'models/setup.sh')], { stdio: ['ignore', 2, 2] });
    if (status !== 0) return 1;
  }
  return spawnSync(program, words, { stdio: 'inherit' }).status ?? 1;
}

/** Whether the environment was made of today's list of packages, with or without the extras that setup.sh was told. */
function isUpToDate(): boolean {
  const installed = join(root, 'models/.venv/installed.txt');
  const wanted = readFileSync(join(root, 'models/pyproject.toml'), 'utf8').trimEnd();
  return existsSync(installed) && readFileSync(installed, 'utf8').startsWith(wanted);
}
