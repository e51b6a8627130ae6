import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import type { LoopReport } from './loop.ts';

/** The value below which `share` of them lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The middle value, of an even number of them halfway between the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? Number.NaN) + (sorted[Math.floor(half)] ?? Number.NaN)) / 2;
}

/** What a measurement was made on, one line of Markdown: processor, Node and the libraries that do the work. */
export function machine(): string {
  const version = (name: string) => JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version;
  const libraries = ['sharp', 'onnxruntime-node'].map((name) => `${name} ${version(name)}`).join(', ');
  const [load] = loadavg();
  return `${cpus().length} x ${cpus()[0]?.model}, Node ${process.versions.node}, ${libraries}, load average ${load?.toFixed(1)}\n`;
}

/** A Markdown table, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'));
  return `${[line(head), line(rule), ...rows.map(line)].join('\n')}\n`;
}

/** Writes a block of text and an empty line. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Of each function's event loop, how late it was at most, and whether by its own work or for want of a core. */
export function loopTable(loops: readonly LoopReport[]): string {
  const rows = loops.map((loop) => {
    const figures = [loop.longestStallMs, loop.longestWorkMs, loop.longestWaitMs].map((ms) => ms.toFixed(1));
    return [loop.function, String(loop.looks), String(loop.longStalls), ...figures];
  });
  const head = [
    'event loop of',
    'looks',
    'stalls over 20 ms',
    'longest stall, ms',
    'its own work, ms',
    'waiting for a core, ms',
  ];
  return table(head, rows);
}
