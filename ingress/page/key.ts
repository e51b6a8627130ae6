import { make } from './dom.ts';

/** The API key of all systems, for as long as the page is open: kept anywhere else, another page of this origin could read it. */
export interface KeyHolder {
  /** Empty where none is known. */
  key(): string;
  keep(key: string): void;
}

export function createKeyHolder(): KeyHolder {
  let kept = '';
  return {
    key: () => kept,
    keep(key) {
      kept = key.trim();
    },
  };
}

/** What a header can contain: fetch() throws for anything else. */
const pattern = String.raw`\s*[\x21-\x7e]+\s*`;

/** A field for the key that a request lacked. */
export function askForKey(onKey: (key: string) => void): HTMLElement {
  const input = make('input', { type: 'password', required: '', autocomplete: 'off', class: 'key', pattern });
  const label = make('label', { class: 'key-label' }, make('span', {}, 'API key'), input);
  const form = make('form', {}, label, make('button', { type: 'submit', class: 'button strong' }, 'Ask with this key'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    onKey(input.value);
  });
  return form;
}
