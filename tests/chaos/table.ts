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
  'fault',
  'requests',
  'non-answers',
  'of them 503 problems',
  'cut at nginx',
  'degraded',
  'worst gap, ms',
  'p99, ms',
  'recovery, s',
  'after ready, s',
  'failures before skip',
  '',
];

/** The rows as a Markdown table, what could not happen and what the gate says below it. */
export function toMarkdown(rows: readonly Row[], skipped: readonly Skipped[]): string {
  const lines = rows.map((row) => [
    row.fault,
    count(row.requests),
    row.nonAnswers,
    row.problems,
    row.cuts,
    `${(100 * row.degradedShare).toFixed(1)} %`,
    milliseconds(row.worstGapMs),
    milliseconds(row.p99Ms),
    seconds(row.recoveryMs),
    seconds(row.returnMs),
    row.failuresBeforeSkip ?? '–',
    row.faults.length === 0 ? 'ok' : '**failed**',
  ]);
  const rule = head.map((_, column) => (column === 0 || column === head.length - 1 ? '---' : '---:'));
  const table = [head, rule, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  const notes = [
    ...skipped.map(({ fault, why }) => `- not run: ${fault}: ${why}`),
    ...rows.flatMap((row) => row.faults.map((text) => `- failed: ${row.fault}: ${text}`)),
  ];
  const total = rows.reduce((sum, { requests }) => sum + requests, 0);
  const lost = rows.filter(({ allows }) => allows === 'none').reduce((sum, { nonAnswers }) => sum + nonAnswers, 0);
  const verdict = `${count(total)} requests, ${rows.length} faults; ${lost} non-answers in the rows that excuse none.`;
  return [table, ...(notes.length > 0 ? [notes.join('\n')] : []), verdict].join('\n\n');
}
