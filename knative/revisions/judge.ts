import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type SummaryData, verdictTable } from '../../load/k6/summary.ts';
import type { Subject } from './kn.ts';
import type { Tag } from './state.ts';

/** One run of k6 against tags of the Service. */
export interface Trial {
  readonly script: 'classify' | 'canary';
  readonly seconds: number;
  readonly variables: Readonly<Record<string, string>>;
}

/** Longest that k6 may take beyond its traffic: its start, its end, and requests that wait for all of their patience. */
const k6MarginMs = 110_000;
/** From an interruption on, k6 writes its summary. */
const interruptGraceMs = 5000;
/** k6's own exit code for a threshold that did not hold. */
const crossedThresholds = 99;
/** Characters of k6's log that are told where it ended otherwise. */
const mostWords = 600;

const scripts = fileURLToPath(new URL('../../../load/k6/', import.meta.url));

/** The name under which the gateway knows a tag of a cluster-local Service. */
export function hostOf({ service, namespace }: Subject, tag: Tag): string {
  return `${tag}-${service}.${namespace}.svc.cluster.local`;
}

/** A few requests to the candidate alone: does it answer at all? */
export function smokeOf(subject: Subject, address: string, candidate: string, seconds: number): Trial {
  const variables = {
    TARGET: address,
    TARGET_HOST: hostOf(subject, 'candidate'),
    TARGET_REVISION: candidate,
    SHAPE: 'smoke',
    SECONDS: String(seconds),
  };
  return { script: 'classify', seconds, variables };
}

/** The same photos to the candidate and to who serves, both by their tags through the same gateway; each answer has to name its revision. */
export function comparisonOf(
  subject: Subject,
  address: string,
  { current, candidate }: { readonly current: string; readonly candidate: string },
  seconds: number,
): Trial {
  const variables = {
    BASELINE: address,
    BASELINE_HOST: hostOf(subject, 'current'),
    BASELINE_REVISION: current,
    CANDIDATE: address,
    CANDIDATE_HOST: hostOf(subject, 'candidate'),
    CANDIDATE_REVISION: candidate,
    SECONDS: String(seconds),
  };
  return { script: 'canary', seconds, variables };
}

/** The trial as one would type it. */
export function trialToShell({ script, variables }: Trial): string {
  const named = Object.entries(variables).map(([name, value]) => `-e ${name}=${value}`);
  return ['k6 run', ...named, `load/k6/${script}.ts`].join(' ');
}

/** Runs k6 and tells what fell short; nothing where everything held. @throws the signal's reason where it aborts */
export async function judgeTrial(k6: string, trial: Trial, signal: AbortSignal): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-trial-'));
  try {
    const summary = join(folder, 'summary.json');
    const { code, words } = await runK6(k6, trial, summary, signal);
    if (code === 0) return [];
    if (code !== crossedThresholds) return [`k6 ended with ${code ?? 'no exit code in time'}: ${words}`];
    return shortfalls(JSON.parse(readFileSync(summary, 'utf8')) as SummaryData);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A clause for each limit that did not hold. */
export function shortfalls(data: SummaryData): readonly string[] {
  const rows = verdictTable(data).trimEnd().split('\n').slice(1);
  const cells = rows.map((row) => row.split(/ {2,}/)).filter(([, , , verdict]) => verdict === 'FAILS');
  return cells.map(([judged, measured, limit]) => `${judged} was ${measured} (${limit})`);
}

/** Whether all that fell short is the comparison's times, which whoever else needs the cores may have lengthened. */
export function isTimeAlone(clauses: readonly string[]): boolean {
  return clauses.length > 0 && clauses.every((clause) => /^(p95_ratio|pairs) was /.test(clause));
}

async function runK6(path: string, { script, seconds, variables }: Trial, summary: string, signal: AbortSignal) {
  signal.throwIfAborted();
  const named = Object.entries({ ...variables, SUMMARY: summary }).flatMap(([name, value]) => [
    '-e',
    `${name}=${value}`,
  ]);
  const args = ['run', '--quiet', '--no-usage-report', '--address', '', ...named, join(scripts, `${script}.ts`)];
  // In a group of its own, so that a Ctrl-C reaches only us. Its table goes where our own words go.
  const child: ChildProcess = spawn(path, args, { stdio: ['ignore', 2, 'pipe'], detached: true });
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    words = (words + chunk).slice(-mostWords);
  });
  const kill = () => void child.kill('SIGKILL');
  const late = setTimeout(kill, seconds * 1000 + k6MarginMs);
  let graceless: NodeJS.Timeout | undefined;
  const interrupt = () => {
    child.kill('SIGINT');
    graceless = setTimeout(kill, interruptGraceMs);
  };
  signal.addEventListener('abort', interrupt);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    signal.throwIfAborted();
    return { code, words: words.trim() };
  } finally {
    clearTimeout(late);
    clearTimeout(graceless);
    signal.removeEventListener('abort', interrupt);
  }
}
