import { type Mark, parse, type Spec, View } from 'vega';

/** What was answered for pictures of each digit. */
export interface Confusion {
  readonly title: string;
  /** `counts[shown][said]`; the last `said` of each row counts the refused. */
  readonly counts: readonly (readonly number[])[];
}

const side = 300;
/** Okabe and Ito's blue and vermilion, which color-blind readers can tell apart. */
const [right, wrong] = ['#0072b2', '#d55e00'];
const faint = '#57606a';

/** SVG of tables side by side: a row for each digit shown, a column for each digit answered and one for those refused. */
export async function drawConfusions(confusions: readonly Confusion[]): Promise<string> {
  return new View(parse(specOf(confusions)), { renderer: 'none' }).toSVG();
}

function specOf(confusions: readonly Confusion[]): Spec {
  return {
    description: 'Digits shown and digits answered',
    ...{ padding: 12, background: 'white', layout: { columns: confusions.length, padding: 36 } },
    marks: confusions.map(tableOf),
  };
}

function tableOf({ title, counts }: Confusion): Mark {
  const shown = counts.map((_, digit) => String(digit));
  const said = [...shown, 'none'];
  const cells = counts.flatMap((row, digit) => {
    const all = Math.max(
      1,
      row.reduce((sum, count) => sum + count, 0),
    );
    return row.flatMap((count, answer) => {
      // Wrong answers are few: shown 20 times as strongly.
      const strength = digit === answer ? count / all : Math.min(1, (20 * count) / all);
      return count === 0
        ? []
        : [{ shown: String(digit), said: said[answer], count, strength, isRight: digit === answer }];
    });
  });
  const axis = {
    ticks: false,
    domain: false,
    labelFontSize: 12,
    titleFontWeight: 'normal',
    titleFontSize: 12,
    titleColor: faint,
  } as const;
  const [x, y] = [
    { scale: 'said', field: 'said' },
    { scale: 'shown', field: 'shown' },
  ];
  return {
    type: 'group',
    title: { text: title, anchor: 'start', fontSize: 15, color: '#24292f' },
    encode: { update: { width: { value: side * 1.1 }, height: { value: side } } },
    data: [{ name: 'cells', values: cells }],
    scales: [
      { name: 'said', type: 'band', domain: said, range: [0, side * 1.1], padding: 0.06 },
      { name: 'shown', type: 'band', domain: shown, range: [0, side], padding: 0.06 },
    ],
    axes: [
      { orient: 'left', scale: 'shown', title: 'shown', ...axis },
      { orient: 'bottom', scale: 'said', title: 'answered', ...axis },
    ],
    marks: [
      {
        type: 'rect',
        from: { data: 'cells' },
        encode: {
          update: {
            ...{ x, y, width: { scale: 'said', band: 1 }, height: { scale: 'shown', band: 1 } },
            fill: { signal: `datum.isRight ? '${right}' : '${wrong}'` },
            fillOpacity: { signal: '0.12 + 0.6 * datum.strength' },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'cells' },
        encode: {
          update: {
            ...{ x: { ...x, band: 0.5 }, y: { ...y, band: 0.5 }, text: { field: 'count' } },
            ...{ align: { value: 'center' }, baseline: { value: 'middle' }, fontSize: { value: 11 } },
          },
        },
      },
    ],
  };
}
