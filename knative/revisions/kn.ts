import { isOlder } from '../../load/tool.ts';
import type { Line } from './plan.ts';
import { runProgram } from './program.ts';
import { type RevisionsJson, readState, type ServiceJson, type State } from './state.ts';

/** What kn could not do; the message has kn's own words. */
export class KnError extends Error {
  override readonly name = 'KnError';
}

/** The Service that is operated on. */
export interface Subject {
  readonly service: string;
  readonly namespace: string;
}

/** The first version with all flags that are used here. */
const oldestKn = '1.15';
/** The same release by the number of its Go module, which `go install` leaves in the program. */
const oldestModule = '0.42';
/** A read or a change without waiting takes a tenth of a second; a rollback has ten seconds in all. */
const callWithinMs = 10_000;
/** kn ends at its own time limit; this much later it has lost its connection. */
const waitMarginMs = 15_000;
/** By then kn has sent its request: killed earlier, the request might arrive after the state was read. */
const killAfterMs = 1000;
/** kn reports the fault in its first lines. */
const mostWords = 600;

/** The line as one would type it. */
export function toShell(line: Line): string {
  const quote = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  return ['kn', ...line].map(quote).join(' ');
}

/**
 * Runs kn and returns its output. The signal ends kn only while it waits: a change is made or not, never left open.
 * @throws KnError where it fails, takes too long or is missing; the signal's reason
 */
export async function callKn(line: Line, signal?: AbortSignal): Promise<string> {
  const waits = line.indexOf('--wait-timeout');
  const withinMs = waits === -1 ? callWithinMs : Number(line[waits + 1]) * 1000 + waitMarginMs;
  const onAbort = waits === -1 ? undefined : { killAfterMs };
  const ended = await runProgram('kn', line, { withinMs, signal, onAbort }).catch((fault: NodeJS.ErrnoException) => {
    throw fault.code === 'ENOENT' ? missing('none') : fault;
  });
  if (ended.code === 0) return ended.stdout;
  if (ended.isLate) {
    throw new KnError(`Expected an end of "${toShell(line)}" within ${withinMs / 1000} s but received none`);
  }
  const words = wordsOf(ended.stderr || ended.stdout) || `exit code ${ended.code}`;
  throw new KnError(`${toShell(line)}: ${words}`);
}

/** @throws KnError where kn is missing or too old; one without a version number is accepted */
export async function checkKn(signal?: AbortSignal): Promise<void> {
  const { Version = '' } = JSON.parse(await callKn(['version', '-o', 'json'], signal)) as { Version?: string };
  const version = /^v?(\d+\.\d+)/.exec(Version)?.[1];
  if (version === undefined) return;
  if (isOlder(version, version.startsWith('0.') ? oldestModule : oldestKn)) throw missing(Version);
}

/** The Service's state now. @throws KnError */
export async function look({ service, namespace }: Subject, signal?: AbortSignal): Promise<State> {
  const from = ['--namespace', namespace, '--output', 'json'];
  const [described, listed] = await Promise.all([
    callKn(['service', 'describe', service, ...from], signal),
    callKn(['revision', 'list', '--service', service, ...from], signal),
  ]);
  // Without any revision kn answers in words.
  const revisions = listed.trimStart().startsWith('{') ? (JSON.parse(listed) as RevisionsJson) : {};
  return readState(JSON.parse(described) as ServiceJson, revisions);
}

function missing(received: string): KnError {
  return new KnError(
    `Expected kn ${oldestKn} or later in PATH but received ${received}: see https://knative.dev/docs/client/install-kn`,
  );
}

function wordsOf(text: string): string {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith("Run 'kn"));
  return lines
    .join(' ')
    .replace(/^Error: /, '')
    .slice(0, mostWords);
}
