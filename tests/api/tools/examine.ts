import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe } from '@jest/globals';
import { operationsOf } from '../../../ingress/docs/openapi.ts';
import { document } from '../../support/document.ts';

/** Where install.sh leaves it. */
const python = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'understudy', 'api', 'python', 'bin');
const program = join(python, 'schemathesis');
const folder = resolve('tests/api/tools');

/** `describe` where schemathesis is installed; else its tests are skipped and counted. */
export const describeWithSchemathesis = existsSync(program) ? describe : describe.skip;

export interface Examined {
  /** 0 where nothing was found. */
  readonly status: number;
  readonly output: string;
}

/** What is asked, by the tags of operations and by paths. */
export interface Part {
  readonly tags?: readonly string[];
  readonly paths?: readonly string[];
}

/**
 * Has schemathesis ask all that a part of the document allows, and much that it does not.
 * @param samples files of tests/images that are uploaded, beside bytes that are no picture
 */
export function examine(url: string, part: Part, samples: readonly string[]): Promise<Examined> {
  const place = mkdtempSync(join(tmpdir(), 'api-test-'));
  const file = join(place, 'openapi.json');
  writeFileSync(file, JSON.stringify({ ...document, paths: pathsOf(part) }));
  const args = ['--config-file', join(folder, 'schemathesis.toml'), 'run', file, '--url', url, '--no-color'];
  const paths = samples.map((name) => resolve('tests/images', name)).join(':');
  const env = {
    ...process.env,
    SAMPLES: paths,
    SCHEMATHESIS_HOOKS: join(folder, 'hooks.py'),
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const options = { cwd: place, env, maxBuffer: 100_000_000 };
  return new Promise((done) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      rmSync(place, { recursive: true });
      done({ status: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr });
    });
  });
}

function pathsOf({ tags = [], paths = [] }: Part) {
  const chosen = operationsOf(document).filter(
    ([, path, operation]) => paths.includes(path) || operation.tags.some((tag) => tags.includes(tag)),
  );
  return Object.fromEntries(chosen.map(([, path]) => [path, document.paths[path]]));
}
