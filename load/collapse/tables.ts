import { table } from '../report.ts';
import type { Sweep } from './limits.ts';
import { goodPerCpuSecond, type Step, type Times } from './step.ts';

const whole = (value: number | null | undefined) => (value === null || value === undefined ? '' : value.toFixed(0));
const percent = (part: number, of: number) => (of === 0 ? '' : `${((part / of) * 100).toFixed(part === of ? 0 : 1)} %`);
const pair = ({ p50, p99 }: Times) => (p50 === null ? '' : `${whole(p50)}, ${whole(p99)}`);
const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((all, count) => all + count, 0);

/** What clients received and what it cost; the row `then 0.5` is the load after the overload. */
export function sweepTables(sweep: Sweep): string {
  const { label, measuredAt, machine, capacity, photos, after } = sweep;
  const rows = sweep.steps.map((step): Rows[number] => [String(step.factor), step]);
  if (after !== undefined) rows.push([`then ${after.factor}`, after]);
  const head = `${label}, ${photos}, capacity ${capacity.toFixed(1)} a second, ${measuredAt.slice(0, 16).replace('T', ' ')} UTC. ${machine}`;
  return [head, answerTable(rows), costTable(rows, sweep.cores), ...namesOf(rows)].join('\n');
}

type Rows = readonly (readonly [name: string, step: Step])[];

function answerTable(rows: Rows): string {
  const cells = rows.map(([name, step]) => {
    const { offered, seconds, sent, onTime, good, late, busy, problems, broken, by } = step;
    const answers = good + late;
    return [
      name,
      whole(offered / seconds),
      whole(sent / seconds),
      percent(offered - onTime, offered),
      whole(good / seconds),
      percent(good, offered),
      String(late),
      String(busy),
      pair(step.refusalMs),
      String(sum(problems)),
      String(sum(broken)),
      pair(step.answerMs),
      [by.lead, by.standby, by.fallback].map((count) => percent(count, answers)).join(', '),
    ];
  });
  const columns = [
    'x capacity',
    'offered a second',
    'sent',
    'sent late',
    '200 within 1 s, a second',
    'of all',
    '200 later',
    'BUSY',
  ];
  const others = ['its p50, p99, ms', 'other problems', 'no answer', '200: p50, p99, ms', 'lead, standby, fallback'];
  return table([...columns, ...others], cells);
}

function costTable(rows: Rows, cores: number): string {
  const [, first] = rows[0] as Rows[number];
  const [programs, held, probes] = [first.cpuSeconds, first.mostMb, first.probeMs].map(Object.keys) as [
    string[],
    string[],
    string[],
  ];
  const cells = rows.map(([name, step]) => [
    name,
    goodPerCpuSecond(step, cores).toFixed(1),
    step.loadCpuSeconds.toFixed(1),
    ...programs.map((program) => (step.cpuSeconds[program] ?? 0).toFixed(1)),
    ...held.map((program) => whole(step.mostMb[program])),
    ...probes.map((probe) => whole(step.probeMs[probe]) || '-'),
  ]);
  const head = [
    'x capacity',
    'good a CPU second left',
    'CPU s: load',
    ...programs,
    ...held.map((name) => `MB: ${name}`),
  ];
  return table([...head, ...probes.map((name) => `${name} p99, ms`)], cells);
}

/** Kinds of other problems and broken answers, and values of Retry-After. */
function namesOf(rows: Rows): string[] {
  return rows.flatMap(([name, { problems, broken, retryAfter }]) => {
    const parts = Object.entries({ ...problems, ...broken }).map(([what, count]) => `${count} ${what}`);
    if (retryAfter.length > 0) parts.push(`Retry-After ${retryAfter.map((value) => value || 'missing').join(', ')}`);
    return parts.length === 0 ? [] : [`${name}: ${parts.join('; ')}\n`];
  });
}
