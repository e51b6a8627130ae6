import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';

/** The value below which `share` of them lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The middle value; of an even number of values, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? Number.NaN) + (sorted[Math.floor(half)] ?? Number.NaN)) / 2;
}

/** Processor, Node, libraries and load average, one line of Markdown. */
export function machine(): string {
  const version = (name: string) => JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version;
  const libraries = ['sharp', 'onnxruntime-node'].map((name) => `${name} ${version(name)}`).join(', ');
  const [load] = loadavg();
  return `${cpus().length} x ${cpus()[0]?.model}, Node ${process.versions.node}, ${libraries}, load average ${load?.toFixed(1)}\n`;
}

/** A Markdown table; all columns but the first are aligned right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'));
  return `${[line(head), line(rule), ...rows.map(line)].join('\n')}\n`;
}

// A reader such as `head` may leave: what it did not want is no fault.
process.stdout.on('error', (fault: NodeJS.ErrnoException) => {
  if (fault.code !== 'EPIPE') throw fault;
});

/** Writes a block of text and an empty line. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
