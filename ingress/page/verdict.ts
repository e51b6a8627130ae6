import type { Answer, Outcome } from './ask.ts';
import { copyText } from './copy.ts';
import { make, part } from './dom.ts';
import { askForKey } from './key.ts';
import { drawWaterfall, splitTime, tellMs } from './timing.ts';
import { advise, tellAnswer } from './words.ts';

type Answered<Kind extends Answer> = Extract<Outcome<Kind>, { kind: 'answer' }>;
type Failed = Extract<Outcome, { kind: 'problem' }>;

/** Who answered, what, and how long it took. */
export function showAnswer<Kind extends Answer>(
  panel: HTMLElement,
  { answer, timing, ms, requestId }: Answered<Kind>,
  show: (answer: Kind, place: HTMLElement) => void,
): void {
  const badge = answer.degraded ? `Degraded: ${answer.reason}` : 'Lead model';
  setVerdict(panel, answer.degraded ? 'degraded' : 'lead', badge, `${tellAnswer(answer)} It took ${tellMs(ms)}.`);
  const result = part(panel, 'result');
  result.replaceChildren();
  show(answer, result);
  const stages = splitTime(timing, ms, answer.reason === 'failover');
  part(panel, 'times').replaceChildren(drawWaterfall(stages, ms), showId(requestId));
}

/** What a person may do about a problem. */
export interface Remedies {
  /** Lets the standby model answer, too, and asks again. */
  relax(): void;
  /** Asks again with an API key. */
  useKey(key: string): void;
}

/** What went wrong, and what to do; the upload stays. */
export function showProblem(panel: HTMLElement, { problem, ms }: Failed, { relax, useKey }: Remedies): void {
  const { title, detail, code, status, requestId } = problem;
  setVerdict(panel, 'problem', status === 0 ? code : `${status} ${code}`, `${title}. ${detail}. ${advise(problem)}`);
  if (code === 'PRIMARY_REQUIRED') {
    const button = make('button', { type: 'button', class: 'button strong' }, "Take the standby model's answer");
    button.addEventListener('click', relax);
    part(panel, 'actions').append(button);
  }
  if (code === 'KEY_REQUIRED') part(panel, 'actions').append(askForKey(useKey));
  part(panel, 'result').replaceChildren();
  const isOurs = status !== 0 && /^[A-Z_]+$/.test(code); // neither silence nor an answer of something in between
  const about = make('a', { href: `/problems#${code.toLowerCase().replaceAll('_', '-')}` }, 'About this problem');
  const told = make('p', { class: 'hint' }, `Told after ${tellMs(ms)}. `, ...(isOurs ? [about] : []));
  part(panel, 'times').replaceChildren(told, ...(requestId === '' ? [] : [showId(requestId)]));
}

function setVerdict(panel: HTMLElement, kind: 'lead' | 'degraded' | 'problem', badge: string, sentence: string): void {
  part(panel, 'verdict').dataset.kind = kind;
  const place = part(panel, 'badge');
  place.textContent = badge;
  place.hidden = false;
  part(panel, 'status').textContent = sentence;
  part(panel, 'actions').replaceChildren();
}

function showId(requestId: string): HTMLElement {
  const copied = make('span', { role: 'status' });
  const button = make('button', { type: 'button', class: 'button slim', 'aria-label': 'Copy the request id' }, 'Copy');
  const id = make('code', {}, requestId);
  button.addEventListener('click', () => void copyText(id, copied));
  return make('p', { class: 'hint id' }, 'Request id ', id, button, copied);
}
