import type { Outcome } from './ask.ts';
import { make, part } from './dom.ts';

const most = 60;

/** By whom a request was answered, with a letter for who does not tell colors apart. */
const kinds = {
  lead: { name: 'lead model', sign: '' },
  standby: { name: 'standby model, primary function', sign: 's' },
  fallback: { name: 'fallback function', sign: 'f' },
  problem: { name: 'problem', sign: '×' },
} as const;

type Kind = keyof typeof kinds;

export interface Strip {
  add(outcome: Outcome): void;
}

function kindOf(outcome: Outcome): Kind {
  if (outcome.kind === 'problem') return 'problem';
  if (outcome.answer.tier === 'fallback') return 'fallback';
  return outcome.answer.degraded ? 'standby' : 'lead';
}

/** The last answers that this page has received, the newest at the end. */
export function setUpStrip(root: ParentNode): Strip {
  const [strip, legend] = [part(root, 'strip'), part(root, 'legend')];
  const last: Kind[] = [];
  const draw = (): void => {
    const counts = (Object.keys(kinds) as Kind[]).map((kind) => ({
      kind,
      count: last.filter((one) => one === kind).length,
    }));
    const empty = Array.from({ length: most - last.length }, () => make('span', { class: 'cell' }));
    strip.replaceChildren(
      ...last.map((kind) => make('span', { class: 'cell', 'data-kind': kind }, kinds[kind].sign)),
      ...empty,
    );
    const told = counts.filter(({ count }) => count > 0).map(({ kind, count }) => `${count} by ${kinds[kind].name}`);
    strip.setAttribute(
      'aria-label',
      last.length === 0 ? 'No answers yet' : `${last.length} answers: ${told.join(', ')}`,
    );
    const items = counts.map(({ kind, count }) =>
      make(
        'li',
        {},
        make('span', { class: 'cell', 'data-kind': kind, 'aria-hidden': 'true' }, kinds[kind].sign),
        `${kinds[kind].name}: `,
        make('strong', {}, String(count)),
      ),
    );
    legend.replaceChildren(...items);
  };
  draw();
  return {
    add(outcome) {
      last.push(kindOf(outcome));
      if (last.length > most) last.shift();
      draw();
    },
  };
}
