import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { readResource } from './schema.ts';

/** The last bindings that were published: schema 6.50.0 of the provider. Test data, of 32 MB. */
const bindings = '@cdktf/provider-google@16.12.1';

/** The first time Go compiles a few hundred packages. */
const buildWithinMs = 15 * 60_000;

/** How a program ended. */
export interface Ended {
  readonly code: number | null;
  /** Both streams, without colors. */
  readonly output: string;
}

/** A place where Terraform checks configurations for Google Cloud without a provider of Google's. */
export interface Bed {
  /** Runs terraform on a copy of the folder `terraform` with these edits. @throws Error for an edit that changes nothing */
  terraform(args: readonly string[], edits?: readonly Edit[]): Ended;
  close(): void;
}

/** A change to one file: the text must be there. */
export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** The programs that are missing of those that the bed needs. */
export function missingPrograms(): readonly string[] {
  const asked = [
    ['terraform', 'version'],
    ['go', 'version'],
    ['npm', '--version'],
    ['tar', '--version'],
  ] as const;
  return asked.flatMap(([name, ...args]) => (spawnSync(name, args).status === 0 ? [] : [name]));
}

/** Fetches the bindings and builds the provider, once, into the user's cache folder. The caller closes it. */
export function openBed(): Bed {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'understudy', 'terraform-google-6.50.0');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'terraform-test-'));
  const build = ['build', '-trimpath', '-o', join(folder, 'terraform-provider-google'), '.'];
  succeed('go', build, 'tests/delivery/terraform/provider');
  writeFileSync(join(folder, 'schema.json'), JSON.stringify(readSchema(fetchBindings(cache), folder)));
  const configuration = join(folder, 'terraformrc');
  writeFileSync(
    configuration,
    `provider_installation {\n  dev_overrides {\n    "hashicorp/google" = "${folder}"\n  }\n  direct {}\n}\n`,
  );
  const env = { ...process.env, TF_CLI_CONFIG_FILE: configuration, CHECKPOINT_DISABLE: '1' };
  return {
    terraform(args, edits = []) {
      const copy = mkdtempSync(join(folder, 'copy-'));
      cpSync('terraform', copy, { recursive: true });
      for (const { file, from, to } of edits) {
        const text = readFileSync(join(copy, file), 'utf8');
        if (!text.includes(from)) throw new Error(`Expected "${from}" in ${file} but received none`);
        writeFileSync(join(copy, file), text.replace(from, to));
      }
      const { status, stdout, stderr } = spawnSync('terraform', args, { cwd: copy, env, encoding: 'utf8' });
      return { code: status, output: stdout + stderr };
    },
    close: () => rmSync(folder, { recursive: true }),
  };
}

/** The path of the bindings' archive. */
function fetchBindings(cache: string): string {
  const find = () => readdirSync(cache).find((file) => file.endsWith('.tgz'));
  if (find() === undefined) succeed('npm', ['pack', bindings, '--silent', '--pack-destination', cache]);
  return join(cache, find() ?? '');
}

/** The schema of the resources that our configuration names; one that Google does not have is left out. */
function readSchema(archive: string, folder: string): object {
  const files = readdirSync('terraform').filter((file) => file.endsWith('.tf'));
  const text = files.map((file) => readFileSync(join('terraform', file), 'utf8')).join('\n');
  const names = [...new Set([...text.matchAll(/^resource "(\w+)"/gm)].map(([, name]) => String(name)))];
  const members = names.map((name) => `package/lib/${name.replace(/^google_/, '').replaceAll('_', '-')}`);
  spawnSync('tar', ['xzf', archive, '--directory', folder, ...members]); // it fails for what is not there
  if (!existsSync(join(folder, 'package'))) throw new Error(`Expected bindings in ${archive} but received none`);
  return Object.fromEntries(
    names.flatMap((name) => {
      const block = readResource(join(folder, 'package/lib'), name);
      return block === undefined ? [] : [[name, block]];
    }),
  );
}

/** Runs a program to its end. @throws Error with its output where it fails */
export function succeed(program: string, args: readonly string[], cwd = '.'): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: buildWithinMs });
  if (status === 0) return stdout;
  throw new Error(`Expected an end of "${program} ${args.join(' ')}" but received ${status}:\n${stdout}${stderr}`);
}
