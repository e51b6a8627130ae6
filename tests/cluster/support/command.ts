import { spawn } from 'node:child_process';
import { textsOf } from '../../support/program.ts';

/** How a command ended; code -1 means that it was killed because it took too long. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Its standard input. */
  readonly input?: string;
  /** SIGKILL after this long. @default 60000 */
  readonly withinMs?: number;
  /** Variables besides those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end, whatever its exit code. @throws Error when it cannot be started */
export async function run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const { input = '', withinMs = 60_000, env = {} } = options;
  const child = spawn(program, args, { env: { ...process.env, ...env }, timeout: withinMs, killSignal: 'SIGKILL' });
  const texts = textsOf(child);
  child.stdin.on('error', () => undefined); // it may end without having read everything
  child.stdin.end(input);
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? -1));
  });
  return { code, ...texts };
}

/** The output of `kubectl ARGS`. @throws Error with its complaint */
export function kubectl(args: readonly string[], options?: CommandOptions): Promise<string> {
  return runWell('kubectl', args, options);
}

/** The output of `kn ARGS`. @throws Error with its complaint */
export function kn(args: readonly string[], options?: CommandOptions): Promise<string> {
  return runWell('kn', args, options);
}

async function runWell(program: string, args: readonly string[], options?: CommandOptions): Promise<string> {
  // Without it both would use the user's current context, which may be a production cluster.
  if (!process.env.KUBECONFIG) throw new Error('Expected a file for KUBECONFIG but received none');
  const { code, stdout, stderr } = await run(program, args, options);
  if (code === 0) return stdout;
  const ending = code === -1 ? 'none in time' : `exit code ${code}`;
  throw new Error(`Expected an end of "${program} ${args.join(' ')}" but received ${ending}:\n${stderr || stdout}`);
}

/** Retries until the answer is not undefined. @throws Error naming what was awaited, and the last fault */
export async function until<Found>(
  what: string,
  look: () => Promise<Found | undefined> | Found | undefined,
  { withinMs = 60_000, everyMs = 250 }: { readonly withinMs?: number; readonly everyMs?: number } = {},
): Promise<Found> {
  let last = 'nothing of the kind';
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; ) {
    try {
      const found = await look();
      if (found !== undefined) return found;
    } catch (fault) {
      last = (fault as Error).message;
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  throw new Error(`Expected ${what} within ${withinMs / 1000} s but received ${last}`);
}
