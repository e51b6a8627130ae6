/** A system's line: what it is called beside its end, and its points from left to right. */
export interface Line {
  readonly label: string;
  readonly color: string;
  readonly isOurs: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
}

/** What a chart shows: panels side by side with the same axes. */
export interface Chart {
  readonly title: string;
  /** Lines of at most 80 characters: a picture may be one panel wide. */
  readonly subtitle: readonly string[];
  readonly xTitle: string;
  readonly xTicks: readonly number[];
  readonly yTicks: readonly { readonly at: number; readonly text: string }[];
  readonly isLogarithmic: boolean;
  /** Level drawn through all panels. */
  readonly level?: { readonly at: number; readonly text: string };
  readonly panels: readonly Panel[];
}

const inkColor = '#24292f';
const faintColor = '#57606a';
const gridColor = '#e3e6ea';
const plotWidth = 380;
const plotHeight = 340;
const plotTop = 130;
const leftMargin = 62;
const labelWidth = 200;
const lineHeight = 18;

/** The chart as SVG, readable without its colors: every line ends at its name. */
export function drawChart(chart: Chart): string {
  const panelWidth = leftMargin + plotWidth + labelWidth;
  const width = panelWidth * chart.panels.length + 20;
  const height = plotTop + plotHeight + 60;
  const panels = chart.panels.map((panel, index) => drawPanel(chart, panel, index * panelWidth + leftMargin));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(chart.title)}" font-family="system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif">
<rect width="100%" height="100%" fill="#ffffff"/>
${text(20, 38, chart.title, { size: 22, weight: 600 })}
${chart.subtitle.map((line, index) => text(20, 60 + index * lineHeight, line, { size: 14, color: faintColor })).join('\n')}
${panels.join('\n')}
</svg>
`;
}

function drawPanel(chart: Chart, { title, lines }: Panel, left: number): string {
  const [low, high] = range(chart.yTicks.map(({ at }) => at));
  const [, farRight] = range(chart.xTicks);
  const level = chart.isLogarithmic ? Math.log : (value: number) => value;
  const x = (value: number) => left + (value / farRight) * plotWidth;
  const y = (value: number) => {
    const share = (level(Math.min(high, Math.max(low, value))) - level(low)) / (level(high) - level(low));
    return plotTop + plotHeight * (1 - share);
  };
  const bottom = plotTop + plotHeight;
  const grid = chart.yTicks.map(
    ({ at, text: label }) =>
      `<path d="M${left} ${num(y(at))}h${plotWidth}" stroke="${gridColor}"/>${text(left - 8, y(at) + 4, label, { anchor: 'end', color: faintColor })}`,
  );
  const ticks = chart.xTicks.map((at) => text(x(at), bottom + 20, `${at}×`, { anchor: 'middle', color: faintColor }));
  const marked = chart.level
    ? [
        `<path d="M${left} ${num(y(chart.level.at))}h${plotWidth}" stroke="${faintColor}" stroke-dasharray="3 4"/>`,
        `<g paint-order="stroke" stroke="#ffffff" stroke-width="4">${text(left + 6, y(chart.level.at) - 6, chart.level.text, { color: faintColor, size: 12 })}</g>`,
      ]
    : [];
  const ends = lines.flatMap((line) => {
    const last = line.points.at(-1);
    return last === undefined ? [] : [{ line, x: x(last[0]), y: y(last[1]) }];
  });
  const places = spread(
    ends.map((end) => end.y),
    lineHeight,
    bottom,
  );
  const names = ends.map(({ line, ...end }, index) => {
    const at = places[index] as number;
    const from = left + plotWidth + 10;
    return `<path d="M${num(end.x + 6)} ${num(end.y)}L${from} ${num(at)}h8" fill="none" stroke="${line.color}"/>${text(from + 12, at + 4, line.label, { color: line.color, weight: line.isOurs ? 600 : 400 })}`;
  });
  const curves = lines.toReversed().map(({ color, isOurs, points }) => {
    const path = points.map(([px, py], index) => `${index === 0 ? 'M' : 'L'}${num(x(px))} ${num(y(py))}`).join('');
    const dots = points.map(
      ([px, py]) => `<circle cx="${num(x(px))}" cy="${num(y(py))}" r="${isOurs ? 4.5 : 3.5}" fill="${color}"/>`,
    );
    return `<path d="${path}" fill="none" stroke="${color}" stroke-width="${isOurs ? 3.5 : 1.8}" stroke-linejoin="round"/>${dots.join('')}`;
  });
  return [
    text(left, plotTop - 20, title, { size: 15, weight: 600 }),
    ...grid,
    ...ticks,
    text(left + plotWidth / 2, bottom + 42, chart.xTitle, { anchor: 'middle', color: faintColor }),
    ...curves,
    ...marked,
    ...names,
  ].join('\n');
}

/**
 * Places at least `gap` apart and not beyond `limit`, in the order of what they were asked to be: who would come too close
 * to each other stand as a group around the middle of where they want to be.
 */
export function spread(wanted: readonly number[], gap: number, limit: number): readonly number[] {
  const order = wanted.map((_, index) => index).sort((one, other) => (wanted[one] ?? 0) - (wanted[other] ?? 0));
  /** `sum` adds up where each member would have the group begin. */
  const groups: { readonly sum: number; readonly members: readonly number[] }[] = [];
  const begin = ({ sum, members }: (typeof groups)[number]) =>
    Math.min(sum / members.length, limit - (members.length - 1) * gap);
  for (const index of order) {
    let group = { sum: wanted[index] ?? 0, members: [index] as readonly number[] };
    for (let above = groups.at(-1); above; above = groups.at(-1)) {
      const size = above.members.length * gap;
      if (begin(above) + size <= begin(group)) break;
      group = {
        sum: above.sum + group.sum - size * group.members.length,
        members: [...above.members, ...group.members],
      };
      groups.pop();
    }
    groups.push(group);
  }
  const places = [...wanted];
  for (const group of groups) {
    for (const [rank, index] of group.members.entries()) places[index] = begin(group) + rank * gap;
  }
  return places;
}

function range(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

function text(
  x: number,
  y: number,
  content: string,
  { size = 13, weight = 400, color = inkColor, anchor = 'start' } = {},
): string {
  return `<text x="${num(x)}" y="${num(y)}" font-size="${size}" font-weight="${weight}" fill="${color}" text-anchor="${anchor}">${escapeXml(content)}</text>`;
}

function num(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
