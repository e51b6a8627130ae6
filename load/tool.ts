import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** The oldest version that the scripts are tested with. */
export const k6Version = '1.8.1';
const k6Package = `go.k6.io/k6@v${k6Version}`;

/** From this version on Go downloads the toolchain that k6 needs. */
const oldestGo = '1.24.0';

/** For several hundred packages on one slow core. */
const buildWithinMs = 30 * 60_000;

/** k6 is missing; the message says how to get it. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
}

/** Path of k6: what K6 names, else the first in PATH, else one that was built before. @throws ToolError where it is too old */
export async function findK6(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  if (env.K6) return judgeVersion(env.K6, 'K6');
  const inPath = findProgram('k6', env);
  if (inPath !== undefined) return judgeVersion(inPath, 'k6 in PATH');
  const built = join(buildFolder(env), 'k6');
  return isProgram(built) ? judgeVersion(built, built) : undefined;
}

/** The same; where there is none, builds it with Go into the user's cache folder. @throws ToolError without Go */
export async function ensureK6(
  say: (text: string) => void,
  env: NodeJS.ProcessEnv = process.env,
  signal?: AbortSignal,
): Promise<string> {
  const found = await findK6(env);
  if (found !== undefined) return found;
  const folder = buildFolder(env);
  const go = findProgram('go', env);
  const goVersion = go && (await versionOf(go, ['version'], /go(\d+\.\d+(?:\.\d+)?)/));
  if (go === undefined || goVersion === undefined || isOlder(goVersion, oldestGo)) {
    throw new ToolError(
      `Expected k6 ${k6Version} or later in PATH or at K6 but received none: get it with "go install ${k6Package}"`,
    );
  }
  say(`builds k6 ${k6Version} into ${folder}, once: some minutes`);
  await build(go, folder, env, signal);
  const built = join(folder, 'k6');
  return judgeVersion(built, built);
}

function buildFolder(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'understudy', `k6-${k6Version}`);
}

async function build(go: string, folder: string, env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const child = spawn(go, ['install', '-trimpath', '-ldflags=-s -w', k6Package], {
    env: { ...env, GOBIN: folder, CGO_ENABLED: '0' },
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: buildWithinMs,
    ...(signal && { signal }),
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new ToolError(`Expected k6 from "go install ${k6Package}" but received exit code ${code}`);
}

async function judgeVersion(path: string, name: string): Promise<string> {
  const version = await versionOf(path, ['version'], /k6(?:\.exe)? v(\d+\.\d+\.\d+)/);
  if (version === undefined || isOlder(version, k6Version)) {
    throw new ToolError(`Expected k6 ${k6Version} or later for ${name} but received ${version ?? 'no version'}`);
  }
  return path;
}

async function versionOf(path: string, args: readonly string[], pattern: RegExp): Promise<string | undefined> {
  const { stdout } = await promisify(execFile)(path, args, { timeout: 20_000 }).catch(() => ({ stdout: '' }));
  return pattern.exec(stdout)?.[1];
}

/** Whether one version, such as 1.24.3, is lower than another. */
export function isOlder(version: string, than: string): boolean {
  const [one, other] = [version, than].map((text) => text.split('.').map(Number)) as [number[], number[]];
  for (const place of [0, 1, 2]) {
    const difference = (one[place] ?? 0) - (other[place] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
