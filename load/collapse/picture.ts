import { type Mark, parse, type Spec, View } from 'vega';
import type { Sweep } from './limits.ts';

/** Colors of Okabe and Ito, which color-blind readers can tell apart; each system has a symbol of its own, too. */
const colors = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b8860b'];
const shapes = ['circle', 'square', 'triangle-up', 'diamond', 'cross'];
const faint = '#57606a';

/** SVG of goodput against offered load, one line a system, ours first. */
export async function drawSweeps(sweeps: readonly Sweep[]): Promise<string> {
  return new View(parse(specOf(sweeps)), { renderer: 'none' }).toSVG();
}

const axes: Spec['axes'] = [
  { orient: 'left', scale: 'y', grid: true, domain: false, ticks: false, tickCount: 6, labelFontSize: 13, zindex: 0 },
  {
    ...{ orient: 'bottom', scale: 'x', values: [0, 1, 2, 3, 4, 5, 7, 10], labelFontSize: 13 },
    ...{ title: 'offered load, as a multiple of the capacity', titleFontSize: 13, titleFontWeight: 'normal' },
    encode: { labels: { update: { text: { signal: "datum.label + '×'" } } } },
  },
];

const place = { x: { scale: 'x', field: 'factor' }, y: { scale: 'y', field: 'goodput' } };
const color = { scale: 'color', field: 'label' };
const symbol = { fill: color, shape: { scale: 'shape', field: 'label' }, size: { value: 60 } };

const lines: Mark = {
  type: 'group',
  from: { facet: { name: 'system', data: 'points', groupby: 'label' } },
  marks: [
    {
      type: 'line',
      from: { data: 'system' },
      encode: { update: { ...place, strokeWidth: { value: 2.5 }, stroke: color } },
    },
    { type: 'symbol', from: { data: 'system' }, encode: { update: { ...place, ...symbol } } },
  ],
};

function capacityRule(capacity: number): Mark {
  const ends = { x: { value: 0 }, x2: { signal: 'width' }, y: { scale: 'y', value: capacity } };
  return {
    type: 'rule',
    encode: { update: { ...ends, stroke: { value: faint }, strokeDash: { value: [3, 4] } } },
  };
}

function specOf(sweeps: readonly Sweep[]): Spec {
  const [ours] = sweeps as [Sweep];
  const labels = sweeps.map(({ label }) => label);
  const points = sweeps.flatMap(({ label, steps }) =>
    steps.map(({ factor, good, seconds }) => ({ label, factor, goodput: good / seconds })),
  );
  return {
    description: 'Answers within one second against offered load',
    ...{ width: 420, height: 320, padding: 16, background: 'white', config: { title: { color: '#24292f' } } },
    title: {
      ...{ text: 'Answered within one second', anchor: 'start', fontSize: 20, offset: 16 },
      subtitle: [
        'Photos a second by the same Wide ResNet;',
        'beyond 1×, Understudy’s by MobileNet, too;',
        `${ours.cores} cores, load generator included; dashed: 1× = ${ours.capacity.toFixed(0)} a second`,
      ],
      ...{ subtitleFontSize: 13, subtitleColor: faint },
    },
    data: [{ name: 'points', values: points }],
    scales: [
      { name: 'x', type: 'linear', range: 'width', zero: true, domain: { data: 'points', field: 'factor' } },
      {
        name: 'y',
        type: 'linear',
        range: 'height',
        zero: true,
        nice: true,
        domain: { data: 'points', field: 'goodput' },
      },
      { name: 'color', type: 'ordinal', domain: labels, range: colors },
      { name: 'shape', type: 'ordinal', domain: labels, range: shapes },
    ],
    ...(axes && { axes }),
    legends: [{ fill: 'color', shape: 'shape', labelFontSize: 13, labelLimit: 200, symbolSize: 90, orient: 'right' }],
    marks: [lines, capacityRule(ours.capacity)],
  };
}
