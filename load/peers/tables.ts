import { median, table } from '../report.ts';
import { clientCounts, loadFactors, type System, systems } from './plan.ts';
import type { Kept, Outcome } from './results.ts';

/** A kept measurement with where it came from. */
export interface Measured {
  readonly system: string;
  readonly point?: number;
  readonly repeat: number;
  readonly kept: Kept;
}

/** What answering with the standby model costs: top-1 of the shipped pair, from their cards. */
export interface Accuracy {
  readonly primary: number;
  readonly standby: number;
  readonly data: string;
}

type OutcomeOf<Name extends Outcome['scenario']> = Extract<Outcome, { readonly scenario: Name }>;

/** The system whose answers the others' are compared with: the plainest one. */
const reference = 'fastapi';

/** The outcomes of a system's repeats. */
export function outcomesOf<Name extends Outcome['scenario']>(
  all: readonly Measured[],
  system: string,
  scenario: Name,
  point?: number,
): readonly OutcomeOf<Name>[] {
  return all.flatMap(({ system: name, point: at, kept }) => {
    const isWanted = name === system && at === point && kept.outcome.scenario === scenario;
    return isWanted ? [kept.outcome as OutcomeOf<Name>] : [];
  });
}

/** The middle of what is known; null when most of them are not. */
export function middle(values: readonly (number | null | undefined)[]): number | null {
  const known = values.filter((value) => typeof value === 'number');
  return known.length * 2 > values.length ? median(known) : null;
}

/** Every table, as Markdown. */
export function allTables(all: readonly Measured[], accuracy: Accuracy | undefined): string {
  return [
    ['Same answers', parityTable(all)],
    ['One client after another', closedTable(all)],
    ...loadFactors.map((factor) => [`Open loop, ${factor} times the capacity`, openTable(all, factor, accuracy)]),
    ['Bad inputs', inputTable(all)],
    ['Start and memory', startTable(all)],
    ['SIGTERM while eight clients ask', shutdownTable(all)],
    ['kill -9 of the process that runs the model', faultTable(all, 'kill')],
    ['The process that runs the model stops for 10 s', faultTable(all, 'stop')],
  ]
    .filter(([, text]) => text !== '')
    .map(([title, text]) => `## ${title}\n\n${text}`)
    .join('\n');
}

/** One row a system that has been measured, none when nobody has. */
function rowsOf(head: readonly string[], row: (system: System) => readonly string[] | undefined, note: string): string {
  const rows = systems.flatMap((system) => {
    const cells = row(system);
    return cells === undefined ? [] : [[system.label, ...cells]];
  });
  return rows.length === 0 ? '' : `${note}\n\n${table(['system', ...head], rows)}`;
}

function parityTable(all: readonly Measured[]): string {
  const expected = outcomesOf(all, reference, 'parity')[0]?.tops;
  if (expected === undefined) return '';
  return rowsOf(
    ['photos', 'same top-1', 'largest difference of its score'],
    ({ name }) => {
      const tops = outcomesOf(all, name, 'parity')[0]?.tops;
      if (tops === undefined) return undefined;
      const pairs = Object.entries(expected).map(([photo, top]) => [top, tops[photo] ?? null] as const);
      const same = pairs.filter(([one, other]) => one !== null && other !== null && one[0] === other[0]);
      const gaps = same.map(([one, other]) => Math.abs((one?.[1] ?? 0) - (other?.[1] ?? 0)));
      return [String(pairs.length), String(same.length), Math.max(0, ...gaps).toFixed(4)];
    },
    'The best prediction of every photo against that of FastAPI, whose preprocessing the other peers share.',
  );
}

function closedTable(all: readonly Measured[]): string {
  const head = clientCounts.flatMap((count) => [`${count}: a second`, 'p50 ms', 'p99 ms', 'Wide ResNet']);
  return rowsOf(
    head,
    ({ name }) => {
      const cells = clientCounts.flatMap((count) => {
        const runs = outcomesOf(all, name, 'closed', count);
        if (runs.length === 0) return ['', '', '', ''];
        return [
          digits(middle(runs.map(({ statuses, seconds }) => (statuses['200'] ?? 0) / seconds)), 1),
          digits(middle(runs.map(({ answerMs }) => answerMs.p50)), 0),
          digits(middle(runs.map(({ answerMs }) => answerMs.p99)), 0),
          percent(middle(runs.map(({ byPrimary, statuses }) => byPrimary / (statuses['200'] ?? 0)))),
        ];
      });
      return cells.some((cell) => cell !== '') ? cells : undefined;
    },
    `Answers a second by 1, 2 and 8 clients, how long they took, and how many of them the Wide ResNet gave. ${basisOf(all, 'closed')}`,
  );
}

function openTable(all: readonly Measured[], factor: number, accuracy: Accuracy | undefined): string {
  const isLossKnown = accuracy !== undefined;
  const head = [
    'offered a second',
    'good a second',
    'good',
    'p50 ms',
    'p99 ms',
    'Wide ResNet',
    ...(isLossKnown ? ['top-1 lost'] : []),
    'answers by status',
    'refused after ms',
    'cores, servers',
    'cores, k6',
  ];
  return rowsOf(
    head,
    ({ name }) => {
      const runs = outcomesOf(all, name, 'open', factor);
      const [first] = runs;
      if (first === undefined) return undefined;
      const primaryShare = middle(runs.map(({ byPrimary, statuses }) => byPrimary / (statuses['200'] || Number.NaN)));
      const cores = (key: 'serverCpuSeconds' | 'k6CpuSeconds') =>
        digits(middle(runs.map((run) => run[key] / run.tookSeconds)), 2);
      return [
        digits(first.offeredPerSecond, 1),
        digits(middle(runs.map(({ good, seconds }) => good / seconds)), 1),
        percent(middle(runs.map((run) => run.good / requestsOf(run)))),
        digits(middle(runs.map(({ answerMs }) => answerMs.p50)), 0),
        digits(middle(runs.map(({ answerMs }) => answerMs.p99)), 0),
        percent(primaryShare),
        ...(isLossKnown ? [lossOf(primaryShare, accuracy)] : []),
        statusesOf(runs),
        digits(middle(runs.map(({ refusalMs }) => refusalMs.p50)), 0),
        cores('serverCpuSeconds'),
        cores('k6CpuSeconds'),
      ];
    },
    'Good: 200 within 1 s. Times are those of answers; who waited 10 s gave up, counts with them, and has status 0.' +
      (isLossKnown
        ? ` Top-1 lost: what the share of MobileNet would cost with the shipped pair (${accuracy.data}).`
        : '') +
      ` ${basisOf(all, 'open', factor)}`,
  );
}

/** How many runs of how many seconds each row of a table of loads rests on. */
function basisOf(all: readonly Measured[], scenario: 'open' | 'closed', factor?: number): string {
  const loads = all.filter(
    ({ point, kept }) => kept.outcome.scenario === scenario && (factor === undefined || point === factor),
  );
  const runs = new Map<string, number>();
  for (const { system, point } of loads) {
    runs.set(`${system} ${point}`, (runs.get(`${system} ${point}`) ?? 0) + 1);
  }
  const seconds = loads.map(({ kept }) => Math.round((kept.outcome as OutcomeOf<'open' | 'closed'>).seconds));
  const count = span([...runs.values()]);
  return `${count === '1' ? 'One run' : `Medians of ${count} runs`} of ${span(seconds)} s.`;
}

function span(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? String(least) : `${least} to ${most}`;
}

/** What was sent, and what k6 should have sent. */
function requestsOf({ statuses, dropped }: OutcomeOf<'open'>): number {
  return Object.values(statuses).reduce((sum, count) => sum + count, dropped);
}

/** Percentage points of top-1 that a mix loses against the leading model alone. */
export function lossOf(primaryShare: number | null, { primary, standby }: Accuracy): string {
  return primaryShare === null ? '' : `${((1 - primaryShare) * (primary - standby) * 100).toFixed(2)} points`;
}

function statusesOf(runs: readonly OutcomeOf<'open'>[]): string {
  const names = [...new Set(runs.flatMap(({ statuses }) => Object.keys(statuses)))].sort();
  const counts = names.map(
    (name) => `${name}: ${Math.round(middle(runs.map(({ statuses }) => statuses[name] ?? 0)) ?? 0)}`,
  );
  const dropped = middle(runs.map((run) => run.dropped)) ?? 0;
  return [...counts, ...(dropped > 0 ? [`not sent: ${dropped}`] : [])].join(', ');
}

function inputTable(all: readonly Measured[]): string {
  const measured = systems.flatMap(({ name, label }) => {
    const statuses = outcomesOf(all, name, 'inputs')[0]?.statuses;
    return statuses === undefined ? [] : [{ label, statuses }];
  });
  const names = [...new Set(measured.flatMap(({ statuses }) => Object.keys(statuses)))];
  if (names.length === 0) return '';
  const rows = names.map((name) => [name, ...measured.map(({ statuses }) => statuses[name] ?? '')]);
  const note = 'The status of each; a time where it took over a second; without an answer the reason.';
  return `${note}\n\n${table(['input', ...measured.map(({ label }) => label)], rows)}`;
}

function startTable(all: readonly Measured[]): string {
  return rowsOf(
    ['starts', 'first 200, ms', 'by the Wide ResNet, ms', 'peak memory, MB', 'processes'],
    ({ name }) => {
      const own = all.filter(({ system }) => system === name);
      if (own.length === 0) return undefined;
      const peak = own.reduce((one, other) => (other.kept.peakMb > one.kept.peakMb ? other : one)).kept;
      return [
        String(own.length),
        digits(middle(own.map(({ kept }) => kept.firstMs)), 0),
        digits(middle(own.map(({ kept }) => kept.primaryMs)), 0),
        digits(peak.peakMb, 0),
        String(peak.processes),
      ];
    },
    'From the start of the first process; medians. Memory: the most that all processes of a system took in any measurement, shared pages counted once.',
  );
}

function shutdownTable(all: readonly Measured[]): string {
  return rowsOf(
    ['in flight', 'of them lost', 'of them refused', 'broken afterwards', 'answered afterwards', 'ended after ms'],
    ({ name }) => {
      const runs = outcomesOf(all, name, 'sigterm');
      if (runs.length === 0) return undefined;
      return [
        digits(middle(runs.map(({ inFlight }) => inFlight)), 0),
        runs.map(({ lost }) => lost).join(', '),
        runs.map(({ refused }) => refused).join(', '),
        runs.map(({ brokenAfter }) => brokenAfter).join(', '),
        digits(middle(runs.map(({ answeredAfter }) => answeredAfter)), 0),
        digits(middle(runs.map(({ endedAfterMs }) => endedAfterMs)), 0) || 'not within 6 s',
      ];
    },
    'The first process of each system gets the signal. Refused: 429 or 503. Broken afterwards: let in later, and then neither answered nor refused; a refused connection is none of these.',
  );
}

function faultTable(all: readonly Measured[], scenario: 'kill' | 'stop'): string {
  return rowsOf(
    [
      'sent',
      'lost',
      'after more than 1 s',
      'longest time without an answer, s',
      'longest wait, s',
      'Wide ResNet',
      'serves at the end',
    ],
    ({ name }) => {
      const runs = outcomesOf(all, name, scenario);
      if (runs.length === 0) return undefined;
      return [
        digits(middle(runs.map(({ sent }) => sent)), 0),
        runs.map(({ lost }) => lost).join(', '),
        runs.map(({ late }) => late).join(', '),
        digits(middle(runs.map(({ gapMs }) => gapMs / 1000)), 1),
        digits(middle(runs.map(({ worstMs }) => worstMs / 1000)), 1),
        percent(middle(runs.map(({ byPrimary, sent, lost }) => byPrimary / (sent - lost || Number.NaN)))),
        runs.map(({ isServingAtEnd }) => (isServingAtEnd ? 'yes' : 'no')).join(', '),
      ];
    },
    'At half the capacity, 5 s after the load began. One figure for each run where they are few, else medians.',
  );
}

function digits(value: number | null, places: number): string {
  return value === null || Number.isNaN(value) ? '' : value.toFixed(places);
}

function percent(value: number | null): string {
  return value === null || Number.isNaN(value) ? '' : `${(value * 100).toFixed(value > 0.99 && value < 1 ? 2 : 1)} %`;
}
