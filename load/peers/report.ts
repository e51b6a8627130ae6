import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCommand } from '../../ingress/command.ts';
import { print } from '../report.ts';
import { type Chart, drawChart, type Line } from './chart.ts';
import { type Family, loadFactors, type System, systems } from './plan.ts';
import type { Kept } from './results.ts';
import { type Accuracy, allTables, type Measured, middle, outcomesOf } from './tables.ts';

const root = resolve(fileURLToPath(new URL('../../../', import.meta.url)));
const here = join(root, 'load/peers');

const usage = `Usage: node dist/load/peers/report.js [options]

Tables and plots of what npm run peers has measured.

  --quick            of its quick runs
  --results FOLDER   where the measurements are (default load/peers/build/results)
  --out FOLDER       where tables and plots go (default load/peers)`;

const { values: args } = readCommand(usage, {
  options: {
    quick: { type: 'boolean', default: false },
    results: { type: 'string' },
    out: { type: 'string', default: here },
  },
});
const results = resolve(args.results ?? join(here, 'build', args.quick ? 'quick' : 'results'));
const out = resolve(args.out);

/** Okabe and Ito's colors, told apart also by those who see no red or no green. */
const colors: Readonly<Record<Family, string>> = {
  understudy: '#0072b2',
  strict: '#3d9bd1', // likewise their light blue
  fastapi: '#b87700', // their orange, darker, so that its name can be read on white
  litserve: '#009e73',
  bentoml: '#d55e00',
  ray: '#b0578d', // and their purple
};

const measured = readAll();
if (measured.length === 0) throw new Error(`Expected measurements in ${results} but received none`);
const read = (name: string) => JSON.parse(readFileSync(join(results, name), 'utf8'));
const machine = read('machine.json') as Readonly<Record<string, string>>;
const capacity = existsSync(join(results, 'capacity.json')) ? Number(read('capacity.json').perSecond) : undefined;

const goodput = chartOf((run) => run.good / run.seconds);
const latency = chartOf((run) => run.answerMs.p99);
const offered = measured.flatMap(({ kept: { outcome } }) =>
  outcome.scenario === 'open' ? [outcome.offeredPerSecond] : [],
);
const mostOffered = Math.max(10, ...offered);
const step =
  10 ** Math.floor(Math.log10(mostOffered)) / (mostOffered / 10 ** Math.floor(Math.log10(mostOffered)) > 4 ? 1 : 2);
const goodTicks = Array.from({ length: Math.ceil(mostOffered / step) + 1 }, (_, index) => index * step);
const axes = { xTitle: 'offered load, times the capacity of the Wide ResNet', xTicks: [0, 0.5, 1, 1.5, 2, 2.5, 3] };

writeFileSync(
  join(out, 'goodput.svg'),
  drawChart({
    ...axes,
    title: 'Photos classified within one second',
    subtitle: [
      'a second, open loop on two cores; medians;',
      'what the Wide ResNet cannot take, ours answers with MobileNet',
    ],
    yTicks: goodTicks.map((at) => ({ at, text: String(at) })),
    isLogarithmic: false,
    ...(capacity === undefined
      ? {}
      : { level: { at: capacity, text: 'what a bare loop of the Wide ResNet classifies' } }),
    panels: goodput,
  }),
);
writeFileSync(
  join(out, 'latency.svg'),
  drawChart({
    ...axes,
    title: 'How long the slowest answers take',
    subtitle: ['99th percentile of the answers; medians;', 'a client gives up after 10 s; refusals are not answers'],
    yTicks: [
      { at: 30, text: '30 ms' },
      { at: 100, text: '0.1 s' },
      { at: 300, text: '0.3 s' },
      { at: 1000, text: '1 s' },
      { at: 3000, text: '3 s' },
      { at: 10_000, text: '10 s' },
    ],
    isLogarithmic: true,
    level: { at: 1000, text: 'limit of a good answer' },
    panels: latency,
  }),
);

const when = measured.map(({ kept }) => kept.measuredAt).sort();
const lines = [
  '# Side by side: results',
  '',
  `Written by \`node dist/load/peers/report.js\` from ${measured.length} measurements, ${when[0]} to ${when.at(-1)}; how they were made: [README.md](${join(relative(out, here), 'README.md')}).`,
  '',
  Object.entries(machine)
    .map(([name, value]) => `${name} ${value}`)
    .join(', '),
  '',
  ...(capacity === undefined
    ? []
    : [`Capacity (bare decode and run of the Wide ResNet on two cores): ${capacity} photos a second.`, '']),
  '![Photos classified within one second against offered load](goodput.svg)',
  '',
  '![99th percentile of the answers against offered load](latency.svg)',
  '',
  allTables(measured, readAccuracy()),
];
writeFileSync(join(out, 'RESULTS.md'), `${lines.join('\n').trimEnd()}\n`);
print(`${join(out, 'RESULTS.md')}, goodput.svg, latency.svg: ${measured.length} measurements`);

function readAll(): readonly Measured[] {
  return systems.flatMap(({ name }) => {
    const folder = join(results, name);
    if (!existsSync(folder)) return [];
    return readdirSync(folder).flatMap((file): readonly Measured[] => {
      const parts = /^[a-z]+(?:-([\d.]+))?-(\d+)\.json$/.exec(file);
      if (parts === null) return [];
      const kept = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Kept;
      const point = parts[1] === undefined ? {} : { point: Number(parts[1]) };
      return [{ system: name, ...point, repeat: Number(parts[2]), kept }];
    });
  });
}

/** As their makers ship them on the left, tuned on the right, where they have been measured. */
function chartOf(figure: (run: ReturnType<typeof outcomesOf<'open'>>[number]) => number | null): Chart['panels'] {
  const lineOf = ({ name, label, family }: System): Line => ({
    label: label.replace(', tuned', ''),
    color: colors[family],
    isOurs: family === 'understudy',
    points: loadFactors.flatMap((factor): (readonly [number, number])[] => {
      const value = middle(outcomesOf(measured, name, 'open', factor).map(figure));
      return value === null ? [] : [[factor, value]];
    }),
  });
  const panels = [
    { title: 'as shipped', lines: systems.filter(({ tuned }) => !tuned).map(lineOf) },
    { title: 'tuned to answer or refuse within 1 s', lines: systems.filter(({ tuned }) => tuned).map(lineOf) },
  ];
  return panels.filter(({ lines }) => lines.some(({ points }) => points.length > 0));
}

/** From the cards of the shipped pair, where both were measured on the same data. */
function readAccuracy(): Accuracy | undefined {
  const cardOf = (name: string): readonly { readonly data: string; readonly top1: number }[] =>
    JSON.parse(readFileSync(join(root, 'models', name, 'model.json'), 'utf8')).accuracy;
  const [primary] = cardOf('wide-resnet');
  const standby = cardOf('mobilenet').find(({ data }) => data === primary?.data);
  return primary && standby ? { primary: primary.top1, standby: standby.top1, data: primary.data } : undefined;
}
