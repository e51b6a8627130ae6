/** Text as HTML. */
export function text(plain: string): string {
  return plain.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** One line of the document, in which backticks mark code. */
export function line(plain: string): string {
  return text(plain.trim()).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

/** Paragraphs of the document, apart by empty lines. */
export function paragraphs(plain: string): string {
  const parts = plain.trim().split(/\n{2,}/);
  return parts.map((part) => `<p>${line(part)}</p>`).join('\n');
}

/** Terms and what they mean, as HTML. */
export type Terms = readonly (readonly [term: string, meaning: string])[];

export function list(terms: Terms): string {
  const rows = terms.map(([term, meaning]) => `<div><dt>${term}</dt><dd>${meaning}</dd></div>`);
  return `<dl>\n${rows.join('\n')}\n</dl>`;
}

/** A list below its heading; nothing where it is empty. */
export function listBelow(heading: string, terms: Terms): string {
  return terms.length === 0 ? '' : `<h4>${text(heading)}</h4>\n${list(terms)}`;
}

/** JSON for people: what fits stays in one line. */
export function json(value: unknown): string {
  return `<pre><code>${text(layOut(value, ''))}</code></pre>`;
}

const width = 76;

function layOut(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const short = spaced(value);
  if (indent !== '' && indent.length + short.length <= width) return short;
  const deeper = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((entry) => layOut(entry, deeper))
    : Object.entries(value).map(([key, entry]) => `${JSON.stringify(key)}: ${layOut(entry, deeper)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  return `${open}\n${parts.map((part) => deeper + part).join(',\n')}\n${indent}${close}`;
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const parts = Object.entries(value).map(([key, entry]) => `${JSON.stringify(key)}: ${spaced(entry)}`);
  return `{ ${parts.join(', ')} }`;
}

/** A whole page in the style of the one at /. */
export function page({ title, about, body }: Readonly<Record<'title' | 'about' | 'body', string>>): Buffer {
  return Buffer.from(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${text(title)} – Understudy</title>
<link rel="icon" href="/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/base.css">
<link rel="stylesheet" href="/assets/docs.css">
</head>
<body class="docs">
<header class="top">
<div>
<h1>${text(title)}</h1>
${about}
<nav aria-label="Pages"><a href="/">Try it</a> <a href="/docs">API</a> <a href="/problems">Problems</a> <a href="/openapi.json">OpenAPI 3.1</a></nav>
</div>
</header>
<main>
${body}
</main>
</body>
</html>
`);
}
