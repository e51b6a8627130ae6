import { quantile } from './report.ts';
import { groupBy, kindOf, type Sample } from './samples.ts';
import type { Usage } from './usage.ts';

/** What a picture shows besides the requests. */
export interface Scene {
  readonly title: string;
  readonly subtitle: string;
  /** Stretches of the run; rates in requests a second, absent for a closed loop. */
  readonly phases: readonly Stretch[];
  /** Moments that something was done to the service. */
  readonly marks: readonly { readonly atMs: number; readonly label: string }[];
  readonly usage: readonly Usage[];
}

/** A named stretch of the time axis, in seconds from the first request. */
export interface Stretch {
  readonly label: string;
  readonly seconds: number;
  readonly fromRate?: number;
  readonly toRate?: number;
}

/** Okabe and Ito's colors, told apart also by those who see no red or no green. */
const reasonColors: Readonly<Record<string, string>> = {
  '': '#0072b2',
  overload: '#e69f00',
  failover: '#d55e00',
  timeout: '#cc79a7',
  warming: '#009e73',
  error: '#56b4e9',
};
const faultColor = '#111111';
const candidateColor = '#d55e00';
const inkColor = '#24292f';
const faintColor = '#6e7781';
const gridColor = '#e3e6ea';
const usageColors: Readonly<Record<string, string>> = {
  primary: '#0072b2',
  fallback: '#d55e00',
  nginx: '#009e73',
  k6: '#6e7781',
};

const width = 1200;
const left = 74;
const right = 968;
const rateTop = 118;
const rateHeight = 220;
const latencyTop = 398;
const latencyHeight = 290;
const usageTop = 748;
const usageHeight = 120;
/** Of dots that would lie on each other one is drawn: the file stays small however long the run was. */
const dotGrid = 2;
const mostBins = 160;

type Scale = (value: number) => number;

interface Kind {
  readonly name: string;
  readonly color: string;
  readonly samples: readonly Sample[];
}

/** Answers by kind against what was offered, the time of each, and what the programs used, over one time axis; SVG. */
export function drawPicture(samples: readonly Sample[], scene: Scene): string {
  const beginMs = samples.reduce((first, { atMs }) => Math.min(first, atMs), Number.POSITIVE_INFINITY);
  const planned = scene.phases.reduce((sum, { seconds }) => sum + seconds, 0);
  const lastMs = samples.reduce((last, { atMs, ms }) => Math.max(last, atMs + ms), 0);
  const seconds = Math.max(planned, (lastMs - beginMs) / 1000, 1);
  const x: Scale = (second) => left + (second / seconds) * (right - left);
  const at = (ms: number) => x(Math.max(0, ms - beginMs) / 1000);
  const kinds = kindsOf(samples);
  // The look before the first request is where the first interval begins.
  const usage = scene.usage.filter(({ atMs }) => atMs >= beginMs - 1000 && atMs <= beginMs + seconds * 1000);
  const hasUsage = usage.some(({ cpuSeconds }) => Object.keys(cpuSeconds).length > 0);
  const bottom = hasUsage ? usageTop + usageHeight : latencyTop + latencyHeight;
  const parts = [
    text(left, 40, scene.title, { size: 24, weight: 600 }),
    text(left, 66, scene.subtitle, { size: 14, color: faintColor }),
    drawPhases(scene.phases, x, bottom),
    drawRates(kinds, scene.phases, { x, beginMs, seconds, whole: samples.length }),
    drawLatencies(kinds, samples, { x, at, beginMs, seconds }),
    ...(hasUsage ? [drawUsage(usage, at)] : []),
    ...scene.marks.map(({ atMs, label }, place) => drawMark(at(atMs), label, place === 0, bottom)),
    drawTimeAxis(seconds, x, bottom),
  ];
  const height = bottom + 64;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(scene.title)}" font-family="system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif">
<rect width="100%" height="100%" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`;
}

/** The kinds of answers, the leading model's first, non-answers last. */
function kindsOf(samples: readonly Sample[]): readonly Kind[] {
  const order = [...Object.keys(reasonColors)];
  const groups = [...groupBy(samples, kindOf)].map(([name, group]) => {
    const { reason, fault } = group[0] as Sample;
    const isFault = fault !== '';
    return {
      kind: { name, color: colorOf(group[0] as Sample), samples: group },
      place: isFault ? order.length : order.indexOf(reason),
    };
  });
  return groups.sort((one, other) => one.place - other.place).map(({ kind }) => kind);
}

function colorOf({ side, reason, fault }: Sample): string {
  if (fault !== '') return faultColor;
  if (side === 'candidate' && reason === '') return candidateColor;
  return reasonColors[reason] ?? faintColor;
}

interface Axes {
  readonly x: Scale;
  readonly beginMs: number;
  readonly seconds: number;
}

function drawRates(kinds: readonly Kind[], phases: readonly Stretch[], axes: Axes & { whole: number }): string {
  const { x, beginMs, seconds, whole } = axes;
  const binSeconds = binOf(seconds);
  const bins = fullBins(seconds);
  const perBin = kinds.map(({ samples }) => {
    const counts = new Array<number>(bins).fill(0);
    for (const { atMs, ms } of samples) {
      const bin = Math.floor((atMs + ms - beginMs) / 1000 / binSeconds);
      if (bin < bins) counts[bin] = (counts[bin] ?? 0) + 1 / binSeconds;
    }
    return counts;
  });
  const sums = Array.from({ length: bins }, (_, bin) => perBin.reduce((sum, counts) => sum + (counts[bin] ?? 0), 0));
  const offered = phases.flatMap(({ fromRate = 0, toRate = 0 }) => [fromRate, toRate]);
  const top = niceAbove(Math.max(...sums, ...offered, 1));
  const y: Scale = (rate) => rateTop + rateHeight - (rate / top) * rateHeight;
  const base = new Array<number>(bins).fill(0);
  const areas = kinds.map(({ color }, index) => {
    const counts = perBin[index] as readonly number[];
    const lower = [...base];
    counts.forEach((count, bin) => {
      base[bin] = (base[bin] ?? 0) + count;
    });
    const edge = (values: readonly number[], bin: number, end: number) =>
      `${round(x((bin + end) * binSeconds))},${round(y(values[bin] ?? 0))}`;
    const upperEdge = base.flatMap((_, bin) => [edge(base, bin, 0), edge(base, bin, 1)]);
    const lowerEdge = lower.flatMap((_, bin) => [edge(lower, bin, 0), edge(lower, bin, 1)]).reverse();
    return `<polygon points="${[...upperEdge, ...lowerEdge].join(' ')}" fill="${color}" fill-opacity="0.88"/>`;
  });
  let second = 0;
  const line = phases.flatMap(({ fromRate, toRate, seconds }) => {
    if (fromRate === undefined || toRate === undefined) return [];
    const ends = [`${round(x(second))},${round(y(fromRate))}`, `${round(x(second + seconds))},${round(y(toRate))}`];
    second += seconds;
    return ends;
  });
  const offeredLine =
    line.length === 0
      ? ''
      : `<polyline points="${line.join(' ')}" fill="none" stroke="#ffffff" stroke-width="4.5"/>
<polyline points="${line.join(' ')}" fill="none" stroke="${inkColor}" stroke-width="2" stroke-dasharray="6 3"/>`;
  const labels = kinds.map(({ name, color, samples }, index) => {
    const share = ((samples.length / whole) * 100).toFixed(samples.length === whole ? 0 : 2);
    const labelY = rateTop + 14 + index * 36;
    return [
      `<rect x="${right + 20}" y="${labelY - 10}" width="11" height="11" rx="2" fill="${color}"/>`,
      text(right + 38, labelY, name, { size: 14, weight: 600, color }),
      text(right + 38, labelY + 16, `${share} % · ${samples.length} of ${whole}`, { size: 12, color: faintColor }),
    ].join('\n');
  });
  const offeredY = rateTop + 14 + kinds.length * 36;
  if (line.length > 0) {
    labels.push(
      `<line x1="${right + 14}" x2="${right + 33}" y1="${offeredY - 5}" y2="${offeredY - 5}" stroke="${inkColor}" stroke-width="2" stroke-dasharray="6 3"/>`,
      text(right + 38, offeredY, 'offered', { size: 14, weight: 600 }),
    );
  }
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => share * top);
  return [
    panelTitle(rateTop, 'Answers a second, by model and reason'),
    ...ticks.map((tick) => gridLine(y(tick), String(Math.round(tick * 100) / 100))),
    ...areas,
    offeredLine,
    ...labels,
  ].join('\n');
}

function drawLatencies(kinds: readonly Kind[], samples: readonly Sample[], axes: Axes & { at: Scale }): string {
  const { x, at, beginMs, seconds } = axes;
  const times = samples.map(({ ms }) => ms);
  const low = times.some((ms) => ms < 10) ? 1 : 10;
  const longest = times.reduce((most, ms) => Math.max(most, ms), 1000) * 1.1;
  const high = [3, 10, 30, 100].map((factor) => factor * 1000).find((ms) => ms > longest) ?? 100_000;
  const top = longest > 1100 ? high : 1500;
  const y: Scale = (ms) =>
    latencyTop + latencyHeight - (Math.log(Math.max(ms, low) / low) / Math.log(top / low)) * latencyHeight;
  const ticks = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000].filter((ms) => ms >= low && ms <= top);
  const dots = kinds.map(({ color, samples: group, name }) => {
    const taken = new Set<string>();
    for (const { atMs, ms } of group) {
      taken.add(`M${Math.round(at(atMs) / dotGrid) * dotGrid} ${Math.round(y(ms) / dotGrid) * dotGrid}h0`);
    }
    const isFault = name === 'no answer';
    const size = isFault ? 6 : group.length < 2000 ? 4.2 : 3;
    const opacity = isFault || group.length < 200 ? 0.9 : 0.62;
    return `<path d="${[...taken].join('')}" fill="none" stroke="${color}" stroke-opacity="${opacity}" stroke-width="${size}" stroke-linecap="round"/>`;
  });
  const binSeconds = binOf(seconds);
  const binOfSample = ({ atMs }: Sample) => Math.floor((atMs - beginMs) / 1000 / binSeconds);
  const bins = [...groupBy(samples, binOfSample)]
    .filter(([bin]) => bin < fullBins(seconds))
    .sort(([one], [other]) => one - other);
  const curve = (share: number) =>
    bins.map(([bin, group]) => {
      const value = quantile(
        group.map(({ ms }) => ms),
        share,
      );
      return [x(Math.min((bin + 0.5) * binSeconds, seconds)), y(value)] as const;
    });
  const curves = [
    { label: 'median', points: curve(0.5), dash: '' },
    { label: 'p99', points: curve(0.99), dash: '2 3' },
  ];
  const ends = spread(curves.map(({ points }) => (points.at(-1)?.[1] ?? latencyTop) + 5));
  const lines = curves.map(({ label, points, dash }, index) => {
    const path = points.map(([px, py]) => `${round(px)},${round(py)}`).join(' ');
    return [
      `<polyline points="${path}" fill="none" stroke="#ffffff" stroke-opacity="0.7" stroke-width="3.4" stroke-linejoin="round"/>`,
      `<polyline points="${path}" fill="none" stroke="${inkColor}" stroke-width="1.8" stroke-linejoin="round" stroke-dasharray="${dash}"/>`,
      text(right + 20, ends[index] ?? 0, `${label} of ${binSeconds === 1 ? 'each second' : `${binSeconds} s`}`, {
        size: 13,
        weight: 600,
      }),
    ].join('\n');
  });
  return [
    panelTitle(latencyTop, 'Time to the answer, one dot a request (logarithmic)'),
    ...ticks.map((ms) => gridLine(y(ms), ms < 1000 ? `${ms} ms` : `${ms / 1000} s`)),
    `<line x1="${left}" x2="${right}" y1="${round(y(1000))}" y2="${round(y(1000))}" stroke="#b42318" stroke-width="1.2" stroke-dasharray="7 4"/>`,
    ...dots,
    ...lines,
    text(left + 8, y(1000) - 6, '1 s: later is too late', { size: 12, color: '#b42318', halo: true }),
  ].join('\n');
}

function drawUsage(usage: readonly Usage[], at: Scale): string {
  const names = Object.keys(usage.at(-1)?.cpuSeconds ?? {});
  const curves = names.map((name) => ({
    name,
    points: usage.slice(1).map(({ atMs, cpuSeconds }, index) => {
      const before = usage[index] as Usage;
      const used = (cpuSeconds[name] ?? 0) - (before.cpuSeconds[name] ?? 0);
      return [atMs, (used * 1000) / Math.max(atMs - before.atMs, 1)] as const;
    }),
    total: (usage.at(-1)?.cpuSeconds[name] ?? 0) - (usage[0]?.cpuSeconds[name] ?? 0),
  }));
  const top = niceAbove(Math.max(...curves.flatMap(({ points }) => points.map(([, cores]) => cores)), 0.5));
  const y: Scale = (cores) => usageTop + usageHeight - (cores / top) * usageHeight;
  const order = curves.sort((one, other) => other.total - one.total);
  const lines = order.map(({ name, points, total }, index) => {
    const color = usageColors[name] ?? faintColor;
    const path = points.map(([atMs, cores]) => `${round(at(atMs))},${round(y(cores))}`).join(' ');
    const label = `${name} ${total.toFixed(1)} s`;
    return [
      `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2" stroke-linejoin="round"/>`,
      `<rect x="${right + 20}" y="${usageTop + 4 + index * 24}" width="11" height="4" fill="${color}"/>`,
      text(right + 38, usageTop + 11 + index * 24, label, { size: 13, weight: 600, color }),
    ].join('\n');
  });
  const ticks = [0, 0.5, 1].map((share) => share * top);
  return [
    panelTitle(usageTop, 'Processor cores in use, and seconds in all'),
    ...ticks.map((tick) => gridLine(y(tick), String(Math.round(tick * 100) / 100))),
    ...lines,
  ].join('\n');
}

function drawPhases(phases: readonly Stretch[], x: Scale, bottom: number): string {
  let second = 0;
  return phases
    .map(({ label, seconds }, index) => {
      const [from, to] = [x(second), x(second + seconds)];
      second += seconds;
      const shade = index % 2 === 1 ? '#f6f7f9' : '#ffffff';
      const isWide = to - from > label.length * 7;
      return [
        `<rect x="${round(from)}" y="${rateTop - 24}" width="${round(to - from)}" height="${bottom - rateTop + 24}" fill="${shade}"/>`,
        phases.length > 1 && isWide
          ? text((from + to) / 2, rateTop - 30, label, { size: 13, weight: 600, anchor: 'middle', color: faintColor })
          : '',
      ].join('');
    })
    .join('\n');
}

function drawMark(markX: number, label: string, isFirst: boolean, bottom: number): string {
  const color = '#b42318';
  return [
    `<line x1="${round(markX)}" x2="${round(markX)}" y1="${rateTop - 6}" y2="${bottom}" stroke="${color}" stroke-width="1.8"/>`,
    `<path d="M${round(markX)} ${rateTop - 2}l-5 -9h10z" fill="${color}"/>`,
    text(markX + (isFirst ? -9 : 9), latencyTop - 36, label, {
      size: 13,
      weight: 600,
      color,
      anchor: isFirst ? 'end' : 'start',
    }),
  ].join('\n');
}

function drawTimeAxis(seconds: number, x: Scale, bottom: number): string {
  const inMinutes = seconds > 300;
  const unit = inMinutes ? 60 : 1;
  const step = [1, 2, 5, 10, 20, 30, 60].find((value) => seconds / unit / value <= 14) ?? 120;
  const ticks = Array.from({ length: Math.floor(seconds / unit / step) + 1 }, (_, index) => index * step);
  return [
    ...ticks.map((tick) => {
      const tickX = round(x(tick * unit));
      return `<line x1="${tickX}" x2="${tickX}" y1="${bottom}" y2="${bottom + 5}" stroke="${faintColor}"/>${text(x(tick * unit), bottom + 21, String(tick), { size: 12, anchor: 'middle', color: faintColor })}`;
    }),
    `<line x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}" stroke="${faintColor}"/>`,
    text((left + right) / 2, bottom + 44, inMinutes ? 'minutes' : 'seconds', { size: 13, anchor: 'middle' }),
  ].join('\n');
}

function panelTitle(top: number, title: string): string {
  return text(left, top - 10, title, { size: 14, weight: 600 });
}

function gridLine(lineY: number, label: string): string {
  return `<line x1="${left}" x2="${right}" y1="${round(lineY)}" y2="${round(lineY)}" stroke="${gridColor}"/>${text(left - 8, lineY + 4, label, { size: 12, anchor: 'end', color: faintColor })}`;
}

interface TextStyle {
  readonly size: number;
  readonly weight?: number;
  readonly color?: string;
  readonly anchor?: 'start' | 'middle' | 'end';
  /** White around the letters, over what is drawn. */
  readonly halo?: boolean;
}

function text(textX: number, textY: number, content: string, style: TextStyle): string {
  const { size, weight = 400, color = inkColor, anchor = 'start', halo = false } = style;
  const outline = halo ? ' stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke"' : '';
  return `<text x="${round(textX)}" y="${round(textY)}" font-size="${size}" font-weight="${weight}" fill="${color}" text-anchor="${anchor}"${outline}>${escapeXml(content)}</text>`;
}

/** Moves labels down until none lies on the one above; the order stays. */
function spread(ys: readonly number[]): readonly number[] {
  const gap = 17;
  const order = ys.map((y, index) => ({ y, index })).sort((one, other) => one.y - other.y);
  const moved = new Array<number>(ys.length);
  let above = Number.NEGATIVE_INFINITY;
  for (const { y, index } of order) {
    above = Math.max(y, above + gap);
    moved[index] = above;
  }
  return moved;
}

function binOf(seconds: number): number {
  return [1, 2, 5, 10, 15, 30].find((bin) => seconds / bin <= mostBins) ?? 60;
}

/** The last bin is left out where it is cut short: it would look like a fall. */
function fullBins(seconds: number): number {
  return Math.max(1, Math.floor(seconds / binOf(seconds)));
}

/** The next round number. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 1.2, 1.6, 2, 2.4, 3, 4, 6, 8, 10].find((factor) => factor * power >= value) ?? 10) * power;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
