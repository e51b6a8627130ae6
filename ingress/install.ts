import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

// Where package managers install it; /usr/sbin is often missing from PATH.
const usualFolders = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin', '/opt/local/sbin'];

// The oldest version that the tests ran with.
const oldest = [1, 22] as const;

const advice =
  'Expected nginx 1.22 or later on this machine but received none: install it ' +
  '(Debian, Ubuntu: sudo apt-get install nginx; macOS: brew install nginx) and run this again.';

/** nginx is missing or too old and cannot be installed without a question; the message says what to do. */
export class NginxError extends Error {
  override readonly name = 'NginxError';
}

/** Path of a new enough nginx, installed by apt where that needs no question. @throws NginxError with one sentence of advice */
export async function ensureNginx(): Promise<string> {
  const path = findNginx() ?? (await installNginx());
  await checkVersion(path);
  return path;
}

function findNginx(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), ...usualFolders];
  return folders.map((folder) => join(folder, 'nginx')).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

async function installNginx(): Promise<string> {
  const asRoot = await rootPrefix();
  if (asRoot === undefined) throw new NginxError(advice);
  process.stderr.write('nginx is missing: installing it with apt-get\n');
  try {
    await apt(asRoot, ['update', '-qq']);
    await apt(asRoot, ['install', '-y', '-qq', '--no-install-recommends', 'nginx']);
    await stopService(asRoot);
  } catch (fault) {
    throw new NginxError(advice, { cause: fault });
  }
  const path = findNginx();
  if (path === undefined) throw new NginxError(advice);
  return path;
}

// The prefix that runs a command as root without a question; undefined where that, or apt, is not available.
async function rootPrefix(): Promise<readonly string[] | undefined> {
  if (!isExecutable('/usr/bin/apt-get')) return undefined;
  if (process.getuid?.() === 0) return [];
  return (await succeeds(['sudo', '-n', 'true'])) ? ['sudo', '-n'] : undefined;
}

async function apt(asRoot: readonly string[], args: readonly string[]): Promise<void> {
  // Debian's package starts nginx on port 80. In runlevel 1 its script does not (without systemd) ...
  const quiet = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1', 'PREVLEVEL=N'];
  // Another apt may hold the lock: wait, but not for ever.
  await execute([...asRoot, ...quiet, 'apt-get', '-o', 'DPkg::Lock::Timeout=120', ...args]);
}

// ... and under systemd, which ignores the runlevel, the package's service is stopped again.
async function stopService(asRoot: readonly string[]): Promise<void> {
  try {
    statSync('/run/systemd/system');
  } catch {
    return;
  }
  await execute([...asRoot, 'systemctl', 'disable', '--now', 'nginx.service']);
}

async function checkVersion(path: string): Promise<void> {
  const { stderr } = await run(path, ['-v']); // nginx version: nginx/1.22.1
  const [major = 0, minor = 0] = (/nginx\/(\d+)\.(\d+)/.exec(stderr) ?? []).slice(1).map(Number);
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return;
  throw new NginxError(`Expected nginx ${oldest.join('.')} or later for ${path} but received ${stderr.trim()}.`);
}

async function succeeds(command: readonly string[]): Promise<boolean> {
  return execute(command).then(
    () => true,
    () => false,
  );
}

async function execute([file = '', ...args]: readonly string[]): Promise<void> {
  await run(file, args, { timeout: 300_000, maxBuffer: 16 * 1024 * 1024 }); // for a slow mirror and all that it prints
}
