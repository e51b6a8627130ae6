import type { Row } from './row.ts';

/** A fault that could not happen here. */
export interface Skipped {
  readonly fault: string;
  readonly why: string;
}

const count = new Intl.NumberFormat('en-US').format;
const seconds = (ms: number | undefined) => (ms === undefined ? '–' : (ms / 1000).toFixed(1));
const milliseconds = (ms: number) => (Number.isFinite(ms) ? String(Math.round(ms)) : '–');

const head = [
  ...['fault', 'non-answers', 'degraded', 'gap, ms', 'p99, ms', 'recovery, s', 'after ready, s'],
  ...['failures before skip', 'verdict'],
];

function nonAnswers({ nonAnswers, problems, cuts }: Row): string {
  const others = nonAnswers - problems - cuts;
  const parts = [problems > 0 && `${problems} × 503`, cuts > 0 && `${cuts} cut`, others > 0 && `${others} others`];
  return parts.filter(Boolean).join(', ') || '0';
}

/** The rows as a Markdown table; below it, what could not happen and why rows failed. */
export function toMarkdown(rows: readonly Row[], skipped: readonly Skipped[]): string {
  const lines = rows.map((row) => [
    row.fault,
    nonAnswers(row),
    `${(100 * row.degradedShare).toFixed(1)}%`,
    milliseconds(row.worstGapMs),
    milliseconds(row.p99Ms),
    seconds(row.recoveryMs),
    seconds(row.returnMs),
    row.failuresBeforeSkip ?? '–',
    row.faults.length === 0 ? 'ok' : '**failed**',
  ]);
  const rule = head.map((_, column) => (column === 0 || column === head.length - 1 ? '---' : '---:'));
  const table = [head, rule, ...lines].map((cells) => `|${cells.join('|')}|`).join('\n');
  const notes = [
    ...skipped.map(({ fault, why }) => `- not run: ${fault}: ${why}`),
    ...rows.flatMap((row) => row.faults.map((text) => `- failed: ${row.fault}: ${text}`)),
  ];
  const total = rows.reduce((sum, { requests }) => sum + requests, 0);
  const lost = rows.filter(({ allows }) => allows === 'none').reduce((sum, { nonAnswers }) => sum + nonAnswers, 0);
  const verdict = `${count(total)} requests, ${rows.length} faults; ${lost} non-answers in the rows that excuse none.`;
  return [table, ...(notes.length > 0 ? [notes.join('\n')] : []), verdict].join('\n\n');
}
