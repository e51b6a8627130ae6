import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type SummaryData, verdictTable } from '../../load/k6/summary.ts';
import type { Subject } from './kn.ts';
import { runProgram } from './program.ts';
import type { Tag } from './state.ts';

/** One run of k6 against tags of the Service. */
export interface Trial {
  readonly script: 'classify' | 'canary';
  readonly seconds: number;
  readonly variables: Readonly<Record<string, string>>;
}

/** Longest that k6 may take beyond its traffic: its start, its end, and requests that use all of their time. */
const k6MarginMs = 110_000;
/** After SIGINT k6 writes its summary. */
const interruptGraceMs = 5000;
/** k6's exit code for a threshold that did not hold. */
const crossedThresholds = 99;
/** Characters of k6's log that are reported after another exit code. */
const mostWords = 600;

const scripts = fileURLToPath(new URL('../../../load/k6/', import.meta.url));

/** A few requests to the candidate alone: does it answer at all? */
export function smokeOf(subject: Subject, address: string, candidate: string, seconds: number): Trial {
  const variables = { ...side('TARGET', subject, address, 'candidate', candidate), SHAPE: 'smoke' };
  return { script: 'classify', seconds, variables: { ...variables, SECONDS: String(seconds) } };
}

/** The same photos to both revisions by their tags through one gateway; each answer has to name its revision. */
export function comparisonOf(
  subject: Subject,
  address: string,
  { current, candidate }: { readonly current: string; readonly candidate: string },
  seconds: number,
): Trial {
  const variables = {
    ...side('BASELINE', subject, address, 'current', current),
    ...side('CANDIDATE', subject, address, 'candidate', candidate),
    SECONDS: String(seconds),
  };
  return { script: 'canary', seconds, variables };
}

/** One side of a trial: the gateway, the tag's host at it, and the revision that has to answer. */
function side(name: string, { service, namespace }: Subject, address: string, tag: Tag, revision: string) {
  const host = `${tag}-${service}.${namespace}.svc.cluster.local`;
  return { [name]: address, [`${name}_HOST`]: host, [`${name}_REVISION`]: revision };
}

/** Runs k6 and returns a clause for each limit that did not hold. @throws the signal's reason where it aborts */
export async function judgeTrial(k6: string, trial: Trial, signal: AbortSignal): Promise<readonly string[]> {
  const { script, seconds, variables } = trial;
  const folder = mkdtempSync(join(tmpdir(), 'understudy-trial-'));
  try {
    const summary = join(folder, 'summary.json');
    const named = Object.entries({ ...variables, SUMMARY: summary }).flatMap(([name, value]) => [
      '-e',
      `${name}=${value}`,
    ]);
    const args = ['run', '--quiet', '--no-usage-report', '--address', '', ...named, join(scripts, `${script}.ts`)];
    const onAbort = { send: 'SIGINT', killAfterMs: interruptGraceMs } as const;
    const limits = { withinMs: seconds * 1000 + k6MarginMs, signal, onAbort, stdout: 2 };
    const { code, stderr } = await runProgram(k6, args, limits);
    if (code === 0) return [];
    if (code === crossedThresholds) return shortfalls(JSON.parse(readFileSync(summary, 'utf8')) as SummaryData);
    return [`k6 ended with ${code ?? 'no exit code in time'}: ${stderr.slice(-mostWords).trim()}`];
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

/** Whether only the comparison's times fell short, which other load on the machine may cause. */
export function isTimeAlone(clauses: readonly string[]): boolean {
  return clauses.length > 0 && clauses.every((clause) => /^(p95_ratio|pairs) was /.test(clause));
}
