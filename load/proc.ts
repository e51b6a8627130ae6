import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Unit of processor time in /proc, on every architecture. */
export const ticksPerSecond = 100;

/** Ids of all processes; none without /proc. */
export function processIds(): readonly number[] {
  if (!existsSync('/proc/self/stat')) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** A file below /proc; empty when its process has ended. */
export function readProc(file: string): string {
  try {
    return readFileSync(`/proc/${file}`, 'latin1');
  } catch {
    return '';
  }
}

/** The fields of /proc/PID/stat from the third, the state, on; none when the process has ended. */
export function statFields(pid: number): readonly string[] {
  const stat = readProc(`${pid}/stat`);
  return stat === '' ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name before it may contain any character
}

/** Processor time of a process in seconds, its threads included, by what `statFields` gives. */
export function cpuSecondsOf(fields: readonly string[]): number {
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Resident memory of a process in MiB, now (`VmRSS`) or at its highest so far (`VmHWM`); 0 when it has ended. */
export function residentMib(pid: number, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readProc(`${pid}/status`))?.[1] ?? 0) / 1024;
}
