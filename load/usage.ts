import { cpuSecondsOf, processIds, residentMib, statFields } from './proc.ts';
import { table } from './report.ts';

/** What the programs have used up to `atMs`. */
export interface Usage {
  /** Unix time. */
  readonly atMs: number;
  /** Processor seconds since the watch began, by program. */
  readonly cpuSeconds: Readonly<Record<string, number>>;
  /** Resident memory by program in MB; a page that its processes share counts once for each. */
  readonly residentMb: Readonly<Record<string, number>>;
}

const intervalMs = 1000;
/** A soak of this length is judged by memory, without the minutes in which caches and pools fill. */
const judgedSeconds = 600;
const settlingMs = 180_000;
const mostGrowth = 0.02;

/** Reads once a second what process groups use; `groups` gives the current one of each program. Empty without /proc. */
export function watchUsage(groups: () => Readonly<Record<string, number>>): { stop(): readonly Usage[] } {
  const looks: Usage[] = [];
  const seen = new Map<number, number>();
  const totals: Record<string, number> = {};
  function look(): void {
    const residentMb: Record<string, number> = {};
    const names = new Map(Object.entries(groups()).map(([name, group]) => [group, name]));
    for (const pid of processIds()) {
      const [group, cpuSeconds] = readStat(pid);
      const name = names.get(group);
      if (name === undefined) continue;
      // A process that was there at first counts from then, a later one from its start.
      const base = seen.get(pid) ?? (looks.length === 0 ? cpuSeconds : 0);
      totals[name] = (totals[name] ?? 0) + cpuSeconds - base;
      seen.set(pid, cpuSeconds);
      residentMb[name] = (residentMb[name] ?? 0) + residentMib(pid);
    }
    looks.push({ atMs: Date.now(), cpuSeconds: { ...totals }, residentMb });
  }
  look();
  const timer = setInterval(look, intervalMs);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return looks;
    },
  };
}

/** Growth of a program's memory after `fromMs`: its slope, and the share from the first to the last tenth. */
function memoryTrend(
  looks: readonly Usage[],
  name: string,
  fromMs: number,
): { readonly mbPerMinute: number; readonly growth: number } | undefined {
  const points = looks.flatMap(({ atMs, residentMb }): [minutes: number, mb: number][] => {
    const mb = residentMb[name];
    return mb === undefined || atMs < fromMs ? [] : [[(atMs - fromMs) / 60_000, mb]];
  });
  if (points.length < 20) return undefined; // a tenth is two looks at least
  const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanMinutes = meanOf(points.map(([minutes]) => minutes));
  const meanMb = meanOf(points.map(([, mb]) => mb));
  const covariance = points.reduce((sum, [minutes, mb]) => sum + (minutes - meanMinutes) * (mb - meanMb), 0);
  const variance = points.reduce((sum, [minutes]) => sum + (minutes - meanMinutes) ** 2, 0);
  const tenth = Math.floor(points.length / 10);
  const first = meanOf(points.slice(0, tenth).map(([, mb]) => mb));
  const last = meanOf(points.slice(-tenth).map(([, mb]) => mb));
  return { mbPerMinute: covariance / variance, growth: last / first - 1 };
}

/** Process group and processor time of a process, its threads included. */
function readStat(pid: number): [group: number, cpuSeconds: number] {
  const fields = statFields(pid);
  return [Number(fields[2]), cpuSecondsOf(fields)];
}

/** Processor time and memory of each program. */
export function usageTable(usage: readonly Usage[]): string {
  const [first, last] = [usage[0], usage.at(-1)];
  const seconds = ((last?.atMs ?? 0) - (first?.atMs ?? 0)) / 1000;
  const rows = Object.entries(last?.cpuSeconds ?? {}).map(([name, cpuSeconds]) => {
    const memory = usage.map(({ residentMb }) => residentMb[name]).filter((mb) => mb !== undefined);
    const figures = [memory[0] ?? 0, memory.reduce((most, mb) => Math.max(most, mb), 0), memory.at(-1) ?? 0];
    return [name, cpuSeconds.toFixed(1), (cpuSeconds / seconds).toFixed(2), ...figures.map((mb) => mb.toFixed(0))];
  });
  return table(['program', 'CPU seconds', 'cores', 'MB at first', 'MB at most', 'MB at last'], rows);
}

/** Whether the primary's memory grew too much during a soak; undefined for other shapes and short runs. */
export function judgeMemory(usage: readonly Usage[], seconds: number, shape: string) {
  if (shape !== 'soak' || seconds < judgedSeconds) return undefined;
  const trend = memoryTrend(usage, 'primary', (usage[0]?.atMs ?? 0) + settlingMs);
  if (trend === undefined) return undefined;
  const { mbPerMinute, growth } = trend;
  const isOver = growth > mostGrowth;
  const slope = `${mbPerMinute.toFixed(2)} MB a minute, ${(growth * 100).toFixed(1)} % from the first to the last tenth`;
  const verdict = `${isOver ? 'more' : 'no more'} than the ${mostGrowth * 100} % allowed`;
  return { isOver, sentence: `Memory of the primary after the first 3 minutes: ${slope}, ${verdict}.\n` };
}
