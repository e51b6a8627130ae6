import { quantile, table } from './report.ts';

/** One request of k6. */
export interface Sample {
  /** Unix time of its start. */
  readonly atMs: number;
  readonly ms: number;
  /** 0 without a response. */
  readonly status: number;
  readonly scenario: string;
  /** Which of two addresses, of canary; whether beside jobs, of jobs. */
  readonly side: string;
  readonly tier: string;
  readonly model: string;
  readonly version: string;
  /** Empty unless degraded. */
  readonly reason: string;
  /** What is wrong with it; empty for a valid answer. */
  readonly fault: string;
}

/** Reads the points that k6 wrote as CSV with times in milliseconds. */
export async function readSamples(lines: AsyncIterable<string> | Iterable<string>): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  let columns: readonly string[] | undefined;
  for await (const line of lines) {
    if (columns === undefined) {
      columns = line.split(',');
    } else if (line.startsWith('latency,')) {
      samples.push(parseSample(columns, line));
    }
  }
  return samples.sort((one, other) => one.atMs - other.atMs);
}

function parseSample(columns: readonly string[], line: string): Sample {
  const cells = line.split(','); // no tag of ours holds a comma
  const cell = (name: string) => cells[columns.indexOf(name)] ?? '';
  const tags = Object.fromEntries(
    cell('extra_tags')
      .split('&')
      .map((tag) => tag.split('=')),
  ) as Readonly<Record<string, string | undefined>>;
  const ms = Number(cell('metric_value'));
  const { side = '', tier = '', model = '', version = '', reason = '', fault = '' } = tags;
  return {
    atMs: Number(cell('timestamp')) - ms,
    ms,
    status: Number(cell('status') || tags.status),
    scenario: cell('scenario'),
    ...{ side, tier, model, version, reason, fault },
  };
}

/** One row for each phase, address, tier, model and reason, and one for all; milliseconds. */
export function answerTable(samples: readonly Sample[]): string {
  const groups = groupBy(samples, ({ scenario, side, tier, model, version, reason, fault }) =>
    [[scenario, side].filter(Boolean).join(' '), tier || '-', model || fault, version || '-', reason || '-'].join('\t'),
  );
  const perPhase = groupBy(samples, ({ scenario, side }) => [scenario, side].filter(Boolean).join(' '));
  const rows = [...groups].map(([key, group]) => {
    const [phase = '', ...names] = key.split('\t');
    return [phase, ...names, ...figures(group, perPhase.get(phase)?.length ?? 0)];
  });
  rows.push(['all', '', '', '', '', ...figures(samples, samples.length)]);
  const head = ['phase', 'tier', 'model', 'version', 'reason', 'requests', 'share', 'p50', 'p95', 'p99', 'max'];
  return table(head, rows);
}

/** Number of requests by status. */
export function statusTable(samples: readonly Sample[]): string {
  const groups = [...groupBy(samples, ({ status }) => status)].sort(([one], [other]) => one - other);
  const rows = groups.map(([status, group]) => [status === 0 ? 'none' : String(status), String(group.length)]);
  return table(['status', 'requests'], rows);
}

/** Requests a second that undegraded answers reached, from `fromMs` after the first request to the last answer. */
export function throughput(samples: readonly Sample[], fromMs: number): number {
  const beginMs = (samples[0]?.atMs ?? 0) + fromMs;
  const ends = samples.filter(({ fault, reason }) => fault === '' && reason === '').map(({ atMs, ms }) => atMs + ms);
  const counted = ends.filter((endMs) => endMs > beginMs);
  const lastMs = counted.reduce((last, endMs) => Math.max(last, endMs), beginMs);
  return lastMs === beginMs ? 0 : (counted.length * 1000) / (lastMs - beginMs);
}

/** Shares of requests that were answered, answered in time, and answered by the lead model. */
export function headline(samples: readonly Sample[], inTimeMs: number): string {
  const answers = samples.filter(({ fault }) => fault === '');
  const share = (part: readonly Sample[]) => {
    const percent = (part.length / samples.length) * 100;
    return `${part.length === samples.length ? percent : Math.min(percent, 99.99).toFixed(2)} %`;
  };
  const inTime = answers.filter(({ ms }) => ms <= inTimeMs);
  const leading = answers.filter(({ reason }) => reason === '');
  return `${share(answers)} answered, ${share(inTime)} within ${inTimeMs / 1000} s, ${share(leading)} undegraded`;
}

/** When the lead model answered a request for the first time that was sent after a moment. */
export function firstLead(samples: readonly Sample[], atMs: number): string {
  const first = samples.find((sample) => sample.atMs > atMs && sample.fault === '' && sample.reason === '');
  if (first === undefined) return 'no answer of the lead model after it';
  return `first answer of the lead model ${((first.atMs + first.ms - atMs) / 1000).toFixed(1)} s later`;
}

/** Items by key; keys and items keep their order. */
export function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>(); // Map.groupBy came with Node 21
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

function figures(group: readonly Sample[], whole: number): string[] {
  const times = group.map(({ ms }) => ms);
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantile(times, share).toFixed(0)) as [
    string,
    string,
    string,
  ];
  const max = times.reduce((longest, ms) => Math.max(longest, ms), 0).toFixed(0);
  return [String(group.length), `${((group.length / whole) * 100).toFixed(2)} %`, p50, p95, p99, max];
}
