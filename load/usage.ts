import { processIds, residentMib, statFields, ticksPerSecond } from './proc.ts';

/** What the programs have used up to a moment. */
export interface Usage {
  /** Unix time. */
  readonly atMs: number;
  /** Processor seconds since the watch began, by program. */
  readonly cpuSeconds: Readonly<Record<string, number>>;
  /** Resident memory by program, of those that run; what its processes share counts once for each. */
  readonly residentMb: Readonly<Record<string, number>>;
}

const intervalMs = 1000;

/**
 * Looks once a second at process groups: `groups` gives each program's current one, so that one that is started again keeps
 * its name. Where there is no /proc (not Linux) it sees nothing.
 */
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
      // What was there when the watch began counts from then, what came later from its start.
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

/** By how many MB a minute the memory grew, and by what share from the first to the last tenth, after `fromMs`. */
export function memoryTrend(
  looks: readonly Usage[],
  name: string,
  fromMs: number,
): { readonly mbPerMinute: number; readonly growth: number } | undefined {
  const points = looks.flatMap(({ atMs, residentMb }): [minutes: number, mb: number][] => {
    const mb = residentMb[name];
    return mb === undefined || atMs < fromMs ? [] : [[(atMs - fromMs) / 60_000, mb]];
  });
  if (points.length < 20) return undefined; // a tenth has to be more than one look
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
  return [Number(fields[2]), (Number(fields[11]) + Number(fields[12])) / ticksPerSecond];
}

/** A model's workers in the primary: how many, and for how long they have been busy, all together. */
export interface Lane {
  readonly workers: number;
  readonly busySeconds: number;
}

/** What a function's metrics say of its models' workers. */
export async function readLanes(origin: string): Promise<Readonly<Record<string, Lane>>> {
  const text = await (await fetch(`${origin}/metrics`)).text();
  const read = (name: string) =>
    Object.fromEntries(
      [...text.matchAll(new RegExp(`^${name}{model="([^"]+)"} (\\S+)$`, 'gm'))].map(([, model, value]) => [
        model,
        Number(value),
      ]),
    );
  const [workers, busySeconds] = [read('understudy_workers'), read('understudy_workers_busy_seconds_total')];
  return Object.fromEntries(
    Object.keys(workers).map((model) => [
      model,
      { workers: workers[model] ?? 0, busySeconds: busySeconds[model] ?? Number.NaN },
    ]),
  );
}
