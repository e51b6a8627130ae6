import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
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
  if (!existsSync(program)) {
    // What set-up prints is no part of the command's output.
    const { status } = spawnSync('bash', [join(root, 'models/setup.sh')], { stdio: ['ignore', 2, 2] });
    if (status !== 0) return 1;
  }
  return spawnSync(program, words, { stdio: 'inherit' }).status ?? 1;
}
