/** An element, its attributes and what is in it. Never from markup: the page's policy forbids it. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The element of index.html with this data-part. @throws Error where it is missing or of another kind */
export function part<Kind extends HTMLElement = HTMLElement>(
  root: ParentNode,
  name: string,
  kind: new () => Kind = HTMLElement as new () => Kind,
): Kind {
  const found = root.querySelector(`[data-part="${name}"]`);
  if (found instanceof kind) return found;
  throw new Error(`Expected ${kind.name} for ${name} but received ${found?.tagName ?? 'none'}`);
}

const shares = new Intl.NumberFormat('en', { style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** 0.9612 as "96.1%". */
export function percent(share: number): string {
  return shares.format(share);
}

/** A name, a share and its bar; `note` is small print under the name. */
export function bar(id: string, name: string, share: number, note = ''): readonly HTMLElement[] {
  const label = make('span', { class: 'bar-name', id }, name);
  if (note !== '') label.append(' ', make('small', {}, note));
  const meter = make('meter', { min: '0', max: '1', value: String(share), 'aria-labelledby': id });
  meter.append(percent(share));
  return [label, make('span', { class: 'bar-share' }, percent(share)), meter];
}
