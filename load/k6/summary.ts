/** The part of k6's end-of-test data that is used here. */
export interface SummaryData {
  readonly metrics: Readonly<Record<string, SummaryMetric>>;
}

interface SummaryMetric {
  readonly contains: string;
  readonly values: Readonly<Record<string, number>>;
  readonly thresholds?: Readonly<Record<string, { readonly ok: boolean }>>;
}

/** One line a threshold: metric, measured value, limit, verdict. */
export function verdictTable({ metrics }: SummaryData): string {
  const rows: [string, string, string, string][] = [['judged', 'measured', 'limit', 'verdict']];
  for (const name of Object.keys(metrics).sort()) {
    const metric = metrics[name] as SummaryMetric;
    for (const [expression, { ok }] of Object.entries(metric.thresholds ?? {})) {
      rows.push([name, measured(metric, expression), expression, ok ? 'holds' : 'FAILS']);
    }
  }
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => String(row[column]).length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** Prints the table and writes all data as JSON into the file that SUMMARY names. */
export function summarize(data: SummaryData, file: string | undefined): Record<string, string> {
  return { stdout: `\n${verdictTable(data)}\n`, [file || 'k6-summary.json']: JSON.stringify(data, null, 2) };
}

function measured({ contains, values }: SummaryMetric, expression: string): string {
  const statistic = /^[a-z]+(\([\d.]+\))?/.exec(expression)?.[0] ?? '';
  const value = values[statistic];
  const isEmptyTrend = contains === 'time' && values.count === 0;
  if (value === undefined || isEmptyTrend) return 'nothing'; // k6 lets such a threshold hold
  if (statistic === 'rate') return `${(value * 100).toFixed(2)} %`;
  return contains === 'time' ? `${value.toFixed(0)} ms` : String(Math.round(value * 1000) / 1000);
}
