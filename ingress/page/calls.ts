import type { Call } from './ask.ts';
import { writeCalls } from './code.ts';
import { copyText } from './copy.ts';
import { make, part } from './dom.ts';
import { setUpTabs } from './tabs.ts';

const languages = ['curl', 'Python', 'fetch'] as const;

/** The call as code, in the language that is chosen. */
export function setUpCode(
  panel: HTMLElement,
  id: (name: string) => string,
): { readonly show: (call: Call, file: string) => void } {
  const [list, place, code] = [part(panel, 'languages'), part(panel, 'code-panel'), part(panel, 'code')];
  let texts = { curl: '', Python: '', fetch: '' };
  let chosen: (typeof languages)[number] = 'curl';
  const tabs = languages.map((name) =>
    make('button', { type: 'button', role: 'tab', id: id(name), 'aria-controls': id('code') }, name),
  );
  list.append(...tabs);
  list.setAttribute('aria-label', 'Language');
  place.id = id('code');
  place.tabIndex = 0; // it may be wider than the page
  const draw = (): void => {
    code.textContent = texts[chosen];
    part(panel, 'copied').textContent = '';
  };
  setUpTabs(tabs, (index) => {
    chosen = languages[index] as typeof chosen;
    place.setAttribute('aria-labelledby', id(chosen));
    draw();
  })(0);
  part(panel, 'copy').addEventListener('click', () => void copyText(code, part(panel, 'copied')));
  return {
    show(call, file) {
      texts = writeCalls({ ...call, key: call.key && 'YOUR_KEY' }, location.origin, file); // a copied text may be shared
      draw();
    },
  };
}
