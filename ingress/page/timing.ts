import { make } from './dom.ts';

export interface Stage {
  readonly name: string;
  readonly ms: number;
}

const names: Readonly<Record<string, string>> = {
  upload: 'Upload',
  decode: 'Decoding',
  queue: 'Queue',
  model: 'Model',
};

/** The stages of a Server-Timing header, in its order; entries without a duration are left out. */
export function readServerTiming(header: string): readonly Stage[] {
  return header.split(',').flatMap((entry) => {
    const [name = '', ...parameters] = entry.split(';').map((text) => text.trim());
    const duration = parameters.find((parameter) => parameter.startsWith('dur='))?.slice(4);
    const ms = Number(duration ?? Number.NaN);
    return name !== '' && Number.isFinite(ms) ? [{ name: names[name] ?? name, ms }] : [];
  });
}

/** All of the time that the page has waited: what the function reports, and the rest, which is the way to it and back. */
export function splitTime(header: string, totalMs: number, isFailover: boolean): readonly Stage[] {
  const stages = readServerTiming(header);
  const rest = totalMs - stages.reduce((sum, { ms }) => sum + ms, 0);
  const name = isFailover ? 'Network, edge and primary' : 'Network and edge';
  return [...stages, { name, ms: Math.max(rest, 0) }];
}

/** A table with a bar for each stage, one beginning where the other ends. */
export function drawWaterfall(stages: readonly Stage[], totalMs: number): HTMLElement {
  const whole = Math.max(
    stages.reduce((sum, { ms }) => sum + ms, 0),
    1,
  );
  let from = 0;
  const rows = stages.map(({ name, ms }) => {
    const span = make('span', { class: 'span' });
    span.style.marginInlineStart = `${(from / whole) * 100}%`;
    span.style.inlineSize = `${(ms / whole) * 100}%`;
    from += ms;
    const cell = make('td', { class: 'track', 'aria-hidden': 'true' }, span);
    return make('tr', {}, make('th', { scope: 'row' }, name), make('td', { class: 'ms' }, tellMs(ms)), cell);
  });
  const total = make(
    'tr',
    { class: 'total' },
    make('th', { scope: 'row' }, 'In all'),
    make('td', { class: 'ms' }, tellMs(totalMs)),
    make('td', { 'aria-hidden': 'true' }),
  );
  return make(
    'table',
    { class: 'waterfall' },
    make('caption', {}, 'Where the time went'),
    make('tbody', {}, ...rows, total),
  );
}

/** 0.34 as "0.3 ms", 1234.5 as "1,235 ms". */
export function tellMs(ms: number): string {
  return `${ms.toLocaleString('en', { maximumFractionDigits: ms < 10 ? 1 : 0 })} ms`;
}
