import { json, line, list, listBelow, page, paragraphs, text } from './html.ts';
import {
  type Answer,
  type Content,
  type Document,
  type Method,
  type Operation,
  operationsOf,
  type Parameter,
  type Resolve,
  resolverOf,
  type Schema,
} from './openapi.ts';
import { fieldsOf, typeOf } from './types.ts';

/** The API's document as a page for people: routes, what they take and answer, and commands to try. Without a script. */
export function renderDocs(document: Document): Buffer {
  const resolve = resolverOf(document);
  const all = operationsOf(document);
  const groups = document.tags.map(({ name, description }) => {
    const routes = all.filter(([, , { tags }]) => tags[0] === name);
    const sections = routes.map(([method, path, operation]) => route(method, path, operation, document, resolve));
    return `<h2 class="group">${text(description.replace(/\.$/, ''))}</h2>\n${sections.join('\n')}`;
  });
  const links = all.map(
    ([method, path, { operationId, summary }]) =>
      [`<a href="#${operationId}">${called(method, path)}</a>`, line(summary)] as const,
  );
  const { info } = document;
  const body = `${paragraphs(info.description)}\n<nav aria-label="Routes">${list(links)}</nav>\n${groups.join('\n')}`;
  const about = `<p>${line(info.summary)} Version ${text(info.version)}.</p>`;
  return page({ title: 'The API', about, body });
}

/** Every code of a problem: when it is answered, by which routes, and what to do. `type` of a problem is the address of its section. */
export function renderProblems(document: Document): Buffer {
  const resolve = resolverOf(document);
  const sections = Object.entries(document.components.examples).map(([code, { summary, description, value }]) => {
    const routes = operationsOf(document).filter(([, , operation]) => codesOf(operation, resolve).includes(code));
    const links = routes.map(([method, path, { operationId }]) => {
      return `<a href="/docs#${operationId}">${called(method, path)}</a>`;
    });
    return `<section class="card" id="${anchorOf(code)}">
<h2>${text(String(value.title))}</h2>
<p><code>${code}</code> <span class="type">status ${value.status}</span></p>
${list([
  ['When', line(summary)],
  ['What to do', line(description)],
  ['Answered by', links.join(', ')],
])}
${json(value)}
</section>`;
  });
  const about =
    '<p>A fault is answered as <code>application/problem+json</code> (RFC 9457). Switch on <code>code</code>.</p>';
  return page({ title: 'Problems', about, body: sections.join('\n') });
}

/** As in the `type` of a problem. */
function anchorOf(code: string): string {
  return code.toLowerCase().replaceAll('_', '-');
}

function called(method: Method, path: string): string {
  return `<code>${method.toUpperCase()} ${text(path)}</code>`;
}

function route(method: Method, path: string, operation: Operation, document: Document, resolve: Resolve): string {
  const { operationId, summary, description = '', requestBody } = operation;
  const shared = document.paths[path]?.parameters ?? [];
  const parameters = [...shared, ...(operation.parameters ?? [])].map((value) => resolve<Parameter>(value));
  const body = requestBody && resolve(requestBody);
  const { 'x-example': command, 'x-limits': limits } = operation;
  return `<section class="card" id="${operationId}">
<h3>${called(method, path)}</h3>
<p>${line(summary)}.</p>
${paragraphs(description)}
${command === undefined ? '' : `<pre><code>${text(command)}</code></pre>`}
${listBelow('You send', [...parameters.map(parameter), ...(body ? [[typesOf(body.content), line(body.description)] as const] : [])])}
${limits === undefined ? '' : listBelow('Limits', limitsOf(limits))}
${listBelow(
  'You get',
  Object.entries(operation.responses).map(([status, value]) => answer(status, resolve(value), resolve)),
)}
${Object.entries(operation.responses)
  .map(([, value]) => shown(resolve(value), resolve))
  .join('')}
</section>`;
}

function parameter({ name, in: place, description = '', schema }: Parameter): readonly [string, string] {
  const written = { query: `?${name}=`, header: `${name}:`, path: `{${name}}` }[place] ?? name;
  return [
    `<code>${text(written)}</code>`,
    `${line(description)} <span class="type">${typeOf(schema as object)}</span>`,
  ];
}

function typesOf(content: Readonly<Record<string, object>>): string {
  return Object.keys(content)
    .map((type) => `<code>${text(type)}</code>`)
    .join('<br>');
}

const limitNames: Readonly<Record<string, string>> = {
  uploadBytes: 'bytes of the file',
  pixels: 'pixels of the image',
  deadlineMs: 'ms of patience, where none is named',
  maxDeadlineMs: 'ms of patience that can be named',
};

function limitsOf(limits: Readonly<Record<string, number>>): readonly (readonly [string, string])[] {
  return Object.entries(limits).map(([name, value]) => [value.toLocaleString('en'), limitNames[name] ?? text(name)]);
}

function answer(
  status: string,
  { description, headers = {}, content = {} }: Answer,
  resolve: Resolve,
): readonly [string, string] {
  const problems = Object.values(content).flatMap((one) => codesOfContent(one, resolve));
  const links = problems.map((code) => `<a href="/problems#${anchorOf(code)}"><code>${code}</code></a>`);
  const names = Object.keys(headers).map((name) => `<code>${text(name)}</code>`);
  return [
    `<code>${status}</code>`,
    [line(description), links.join(' '), names.length > 0 ? `Headers: ${names.join(', ')}.` : '']
      .filter(Boolean)
      .join(' '),
  ];
}

/** The fields of a JSON answer that is no problem, and its examples. */
function shown({ content = {} }: Answer, resolve: Resolve): string {
  const { schema, examples = {} } = content['application/json'] ?? {};
  if (schema === undefined) return '';
  const shownExamples = Object.values(examples).flatMap((example) =>
    'value' in example ? [`<p>${line(example.summary)}:</p>\n${json(example.value)}`] : [],
  );
  return `${listBelow('Fields of the JSON', fieldsOf(firstOf(resolve(schema), resolve), resolve))}\n${shownExamples.join('\n')}\n`;
}

/** Of several forms of an answer that which is usual. */
function firstOf({ oneOf: [first] = [], ...whole }: Schema, resolve: Resolve): Schema {
  return first === undefined ? whole : resolve(first);
}

function codesOf({ responses }: Operation, resolve: Resolve): readonly string[] {
  return Object.values(responses).flatMap((value) =>
    Object.values(resolve(value).content ?? {}).flatMap((content) => codesOfContent(content, resolve)),
  );
}

/** The examples of problems are named after their codes. */
function codesOfContent({ schema, examples = {} }: Content, resolve: Resolve): readonly string[] {
  const isProblem = schema !== undefined && resolve(schema).allOf !== undefined;
  return isProblem ? Object.keys(examples) : [];
}
