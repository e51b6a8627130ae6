import { createReadStream, existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { readCommand, refuse } from '../../ingress/command.ts';
import { inTimeMs } from '../k6/shapes.ts';
import { print, quantile, table } from '../report.ts';
import { groupBy, readSamples, type Sample } from '../samples.ts';

const usage = `Usage: node dist/load/peers/compare.js FOLDER...

Side by side: what npm run load -- overload has left in each FOLDER (--out), a row for each system and load.`;

const { positionals: folders } = readCommand(usage, { allowPositionals: true });
const files = folders.map((folder) => join(folder, 'classify.csv'));
const missing = files.find((file) => !existsSync(file));
if (missing !== undefined || files.length === 0) refuse(`Expected folders of results but received none at ${missing}`);

const rows: string[][] = [];
for (const file of files) {
  const samples = await readSamples(createInterface({ input: createReadStream(file) }));
  for (const [phase, group] of groupBy(samples, ({ scenario }) => scenario)) {
    rows.push([basename(join(file, '..')), phase.replace('x', '').replace('_', '.'), ...figuresOf(group)]);
  }
}
rows.sort(([, one], [, other]) => Number(one) - Number(other));
const head = ['system', 'x capacity', 'offered a second', '200 within 1 s, a second', 'p50, ms', 'p99, ms'];
print(table([...head, 'by the Wide ResNet', '429 or 503', 'other non-answers'], rows));

function figuresOf(samples: readonly Sample[]): string[] {
  const answers = samples.filter(({ fault }) => fault === '');
  const times = answers.map(({ ms }) => ms);
  const seconds = ((samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0)) / 1000;
  const lead = answers.filter(({ model }) => model === 'wide-resnet').length;
  const refused = samples.filter(({ status }) => status === 429 || status === 503).length;
  return [
    (samples.length / seconds).toFixed(1),
    (times.filter((ms) => ms <= inTimeMs).length / seconds).toFixed(1),
    ...[0.5, 0.99].map((share) => quantile(times, share).toFixed(0)),
    `${((lead / answers.length) * 100).toFixed(1)} %`,
    String(refused),
    String(samples.length - answers.length - refused),
  ];
}
