import { spawn } from 'node:child_process';
import { isOlder } from '../../load/tool.ts';
import type { Line } from './plan.ts';
import { type RevisionsJson, readState, type ServiceJson, type State } from './state.ts';

/** What kn could not do; the message has its own words. */
export class KnError extends Error {
  override readonly name = 'KnError';
}

/** The Service that is operated on. */
export interface Subject {
  readonly service: string;
  readonly namespace: string;
}

/** From here on a Service's own annotations and every flag used here are as they are now. */
const oldestKn = '1.15';
/** The same release as the number of its Go module, which is what `go install` leaves in the program. */
const oldestModule = '0.42';
/** A read or a change that is not waited for takes a tenth of a second; a rollback has ten in all. */
const callWithinMs = 10_000;
/** kn ends by itself at its own time limit; this much later it has lost its connection. */
const waitMarginMs = 15_000;
/** What kn was about to ask for is on its way by then: ended sooner, it might still arrive after a look at the state. */
const askedWithinMs = 1000;
/** kn says what went wrong in its first lines and how to get help in its last. */
const mostWords = 600;

/** The line as one would type it. */
export function toShell(line: Line): string {
  const quote = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  return ['kn', ...line].map(quote).join(' ');
}

/**
 * Runs kn and returns what it wrote. The signal ends it only where it waits for something: a change is made or not, never left open.
 * @throws KnError where it fails, overstays or is missing; the signal's reason
 */
export function callKn(line: Line, signal?: AbortSignal): Promise<string> {
  const waits = line.indexOf('--wait-timeout');
  const withinMs = waits === -1 ? callWithinMs : Number(line[waits + 1]) * 1000 + waitMarginMs;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    // In a group of its own: a Ctrl-C reaches only us, and what is under way is ended or finished as we decide.
    const child = spawn('kn', line, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        texts[name] += chunk;
      });
    }
    let fault: unknown;
    const end = (reason: unknown) => {
      fault ??= reason;
      child.kill('SIGKILL');
    };
    const late = setTimeout(() => {
      end(new KnError(`Expected an end of "${toShell(line)}" within ${withinMs / 1000} s but received none`));
    }, withinMs);
    let ending: NodeJS.Timeout | undefined;
    const interrupt = () => {
      if (waits !== -1) ending = setTimeout(() => end(signal?.reason), askedWithinMs);
    };
    signal?.addEventListener('abort', interrupt);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      fault ??= cause.code === 'ENOENT' ? missing('none') : cause;
    });
    child.on('close', (code) => {
      clearTimeout(late);
      clearTimeout(ending);
      signal?.removeEventListener('abort', interrupt);
      if (signal?.aborted) reject(signal.reason);
      else if (fault !== undefined) reject(fault);
      else if (code === 0) resolve(texts.stdout);
      else reject(new KnError(`${toShell(line)}: ${wordsOf(texts.stderr || texts.stdout) || `exit code ${code}`}`));
    });
  });
}

/** @throws KnError where there is no kn, or one that is too old; one that does not tell its version is trusted */
export async function checkKn(signal?: AbortSignal): Promise<void> {
  const { Version = '' } = JSON.parse(await callKn(['version', '-o', 'json'], signal)) as { Version?: string };
  const version = /^v?(\d+\.\d+)/.exec(Version)?.[1];
  if (version === undefined) return;
  if (isOlder(version, version.startsWith('0.') ? oldestModule : oldestKn)) throw missing(Version);
}

/** How the Service is now. @throws KnError */
export async function look({ service, namespace }: Subject, signal?: AbortSignal): Promise<State> {
  const from = ['--namespace', namespace, '--output', 'json'];
  const [described, listed] = await Promise.all([
    callKn(['service', 'describe', service, ...from], signal),
    callKn(['revision', 'list', '--service', service, ...from], signal),
  ]);
  return readState(JSON.parse(described) as ServiceJson, parseList(listed));
}

/** Without any revision kn answers in words, not in JSON. */
function parseList(text: string): RevisionsJson {
  return text.trimStart().startsWith('{') ? (JSON.parse(text) as RevisionsJson) : {};
}

function missing(received: string): KnError {
  return new KnError(
    `Expected kn ${oldestKn} or later in PATH but received ${received}: see https://knative.dev/docs/client/install-kn`,
  );
}

function wordsOf(text: string): string {
  const words = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith("Run 'kn"))
    .join(' ');
  return words.replace(/^Error: /, '').slice(0, mostWords);
}
