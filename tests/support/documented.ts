import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Answer, Header, Method } from '../../ingress/docs/openapi.ts';
import { document, resolve } from './document.ts';

/** An answer, and what was asked. */
export interface Asked {
  readonly method: string;
  /** With or without a query. */
  readonly path: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string | Uint8Array;
}

/** The header of an answer that a test has made up for nginx to pass on. */
export const inventedHeader = 'x-invented';

/** What any route may be answered with, or one that is none: the request is no well-formed HTTP, or has a header that is too long. */
const anywhere = { '400': 'BadRequest' };

/** What the ingress answers before it looks for a route: there is no key, or a page may ask. */
const before = { '401': 'Unauthorized', '204': 'Preflight' };

/** Of no use to a client: answered by a function that has K_REVISION, and hidden by the ingress; what guards a browser. */
const undocumented = new Set([inventedHeader, 'x-revision', 'x-content-type-options']);

/** What belongs to the page, and not to the API. */
const ofPage = /^\/(?:\w+\.html|favicon\.svg|page\.json|assets\/.+)$/;

/** @throws Error for an answer that functions/openapi.yaml does not have: its status, type, headers and body */
export function expectDocumented(asked: Asked): void {
  if (asked.headers[inventedHeader] !== undefined) return;
  if (asked.status === 200 && ofPage.test(asked.path)) return;
  const faults = faultsOf(asked);
  if (faults.length === 0) return;
  const { method, path, status, headers, body } = asked;
  const told = `${method} ${path} ${status} ${JSON.stringify(headers)} ${Buffer.from(body).toString().slice(0, 500)}`;
  throw new Error(`Expected an answer of functions/openapi.yaml but received ${told}: ${faults.join('; ')}`);
}

/** `fetch`, whose answer has to be in the document. */
export async function documentedFetch(url: string, init?: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  const { pathname, search } = new URL(url);
  expectDocumented({
    method: init?.method ?? 'GET',
    path: pathname + search,
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: new Uint8Array(await response.clone().arrayBuffer()),
  });
  return response;
}

function faultsOf({ method, path, status, headers, body }: Asked): readonly string[] {
  const name = responsesOf(method, path)[status];
  if (name === undefined) return [`no ${status} of this path and method`];
  const response = typeof name === 'string' ? (document.components.responses[name] as Answer) : name;
  const faults = faultsOfHeaders(response, headers);
  if (method === 'HEAD') return faults;
  if (response.content === undefined) return body.length === 0 ? faults : [...faults, 'no body'];
  const [type = ''] = String(headers['content-type']).split(';', 1);
  if (response.content[type] === undefined) return [...faults, `no content of type ${type}`];
  const { schema } = response.content[type];
  if (schema === undefined) return faults;
  const text = Buffer.from(body).toString();
  const value = type.endsWith('json') ? JSON.parse(text) : text;
  return [
    ...faults,
    ...faultsOfValue(schema, value, 'body'),
    ...(type.includes('problem') ? faultsOfProblem(value) : []),
  ];
}

/** The responses that the document has for a request, in full or by the name of a component. */
function responsesOf(method: string, path: string): Readonly<Record<string, Answer | string>> {
  const item = findPath(path);
  const operation = item?.[(method === 'HEAD' ? 'get' : method.toLowerCase()) as Method];
  if (operation === undefined) {
    return { ...anywhere, ...before, '404': 'NotFound', '405': 'MethodNotAllowed', '415': 'UnsupportedMediaType' };
  }
  const entries = Object.entries(operation.responses).map(([status, value]) => [status, resolve(value)] as const);
  const elsewhere = operation.tags.includes('function') ? { '404': 'NotFound' } : {}; // at the ingress
  return { ...anywhere, ...elsewhere, ...Object.fromEntries(entries) };
}

function findPath(path: string) {
  const [raw = ''] = path.split('?', 1);
  const decoded = /%(?![\da-f]{2})/i.test(raw) ? raw : decodeURIComponent(raw);
  const found = Object.entries(document.paths).find(([template]) =>
    new RegExp(`^${template.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(decoded),
  );
  return found?.[1];
}

function faultsOfHeaders({ headers = {} }: Answer, received: Asked['headers']): readonly string[] {
  const known = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), resolve<Header>(value)] as const);
  const names = new Set(known.map(([name]) => name));
  const others = Object.keys(received).filter((name) => name.startsWith('x-') && !names.has(name));
  return [
    ...others.filter((name) => !undocumented.has(name)).map((name) => `no header ${name}`),
    ...known.flatMap(([name, { required = false, schema }]) => {
      const value = received[name];
      if (value === undefined) return required ? [`${name} is missing`] : [];
      return faultsOfValue(schema, isNumeric(schema) ? Number(value) : value, name);
    }),
  ];
}

function isNumeric(schema: object): boolean {
  return ['integer', 'number'].includes((resolve(schema) as { type?: string }).type ?? '');
}

/** The document cannot say that type, title and status go with the code: the code's example does. */
function faultsOfProblem(problem: Readonly<Record<string, unknown>>): readonly string[] {
  const example = document.components.examples[String(problem.code)]?.value ?? {};
  const different = ['type', 'title', 'status'].filter((field) => problem[field] !== example[field]);
  return different.map((field) => `${field} is not that of ${problem.code}`);
}

const validators = new WeakMap<object, ValidateFunction>();
let ajv: Ajv2020 | undefined;

function faultsOfValue(schema: object, value: unknown, name: string): readonly string[] {
  ajv ??= openAjv();
  const validate = validators.get(schema) ?? ajv.compile(closed(schema) as object);
  validators.set(schema, validate);
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) => {
    return `${name}${instancePath} ${message} ${JSON.stringify(params)}`;
  });
}

function openAjv(): Ajv2020 {
  // Formats, examples and what begins with x- only tell.
  const opened = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  const { schemas } = document.components;
  for (const [name, schema] of Object.entries(schemas)) {
    opened.addSchema(closed(schema) as object, `document:/components/schemas/${name}`);
  }
  return opened;
}

/**
 * A schema whose objects have no fields but those that it names, though clients are told to expect more: what a function answers has
 * to be documented. References become those of `openAjv`.
 */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const fields = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  if (typeof fields.$ref === 'string') {
    const [, component = '', inside = ''] = /^#(\/components\/schemas\/\w+)(.*)$/.exec(fields.$ref) ?? [];
    return { $ref: `document:${component}${inside && `#${inside}`}` };
  }
  const isWhole = 'properties' in fields && 'type' in fields;
  return isWhole ? { ...fields, unevaluatedProperties: false } : fields;
}
