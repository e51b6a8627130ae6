import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A block of a provider's schema, as `provider/main.go` reads it. */
export interface Block {
  readonly attributes: Record<string, Attribute>;
  readonly blocks: Record<string, Nested>;
}

interface Attribute {
  /** In Terraform's own notation, such as `"string"` or `["list","string"]`. */
  readonly type: unknown;
  readonly required?: boolean;
  readonly computed?: boolean;
}

interface Nested {
  readonly nesting: 'single' | 'list' | 'set';
  readonly required: boolean;
  /** Whether there is at most one. */
  readonly isOne: boolean;
  readonly block: Block;
}

/** The sources of one resource's bindings. */
interface Sources {
  readonly js: string;
  readonly declarations: string;
}

const primitives: Readonly<Record<string, string>> = { boolean: 'bool', number: 'number', string: 'string' };
const computedTypes: Readonly<Record<string, unknown>> = {
  Boolean: 'bool',
  Number: 'number',
  String: 'string',
  List: ['list', 'string'],
  NumberList: ['list', 'number'],
  StringMap: ['map', 'string'],
};

/**
 * Reads the schema of a resource such as `google_container_cluster` from the folder `lib` of the bindings @cdktf/provider-google. They
 * do not tell an optional attribute that the provider computes from one that it leaves: both are optional here.
 * @returns undefined where there is no such resource
 */
export function readResource(lib: string, type: string): Block | undefined {
  const name = type.replace(/^google_/, '').replaceAll('_', '-');
  const folder = ['', 'google-'].map((prefix) => join(lib, prefix + name)).find((path) => isFolder(path));
  if (folder === undefined) return undefined;
  const files = (readdirSync(folder, { recursive: true }) as string[]).toSorted();
  const read = (ending: string) =>
    files
      .filter((file) => file.endsWith(ending))
      .map((file) => readFileSync(join(folder, file), 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, ''))
      .join('\n');
  const sources = { js: read('.js'), declarations: read('.d.ts') };
  const [, className] = /class (\w+) extends cdktf\.TerraformResource/.exec(sources.declarations) ?? [];
  return className === undefined ? undefined : readBlock(sources, className, true);
}

function isFolder(path: string): boolean {
  try {
    return readdirSync(path).includes('index.js');
  } catch {
    return false;
  }
}

function readBlock(sources: Sources, name: string, isResource: boolean): Block {
  const struct = isResource ? `${name}Config` : name;
  const required = readRequired(sources, struct);
  const attributes: Record<string, Attribute> = {};
  const blocks: Record<string, Nested> = {};
  for (const [, attribute = '', kind, storage = ''] of settable(sources, name, isResource).matchAll(
    /^ +(\w+): \{\n.*\n *isBlock: \w+,\n *type: "(\w+)",\n *storageClassType: "(\w+)",/gm,
  )) {
    const isRequired = required.has(attribute);
    const type = typeOf(String(kind), storage);
    if (type === undefined) {
      const block = readBlock(sources, storage.replace(/List$/, ''), false);
      const isOne = !new RegExp(`new [\\w.]*${storage}\\(this, "${attribute}"`).test(sources.js);
      const nesting = kind === 'struct' ? 'single' : kind === 'set' ? 'set' : 'list';
      blocks[attribute] = { nesting, required: isRequired, isOne, block };
    } else attributes[attribute] = { type, ...(isRequired && { required: true }) };
  }
  for (const [, kind = '', attribute = ''] of classOf(sources, isResource ? name : `${name}OutputReference`).matchAll(
    /this\.get(\w*?)Attribute\('(\w+)'\)/g,
  )) {
    if (kind in computedTypes) attributes[attribute] ??= { type: computedTypes[kind], computed: true };
  }
  if (isResource) attributes.id = { type: 'string', computed: true };
  return { attributes, blocks };
}

/** Terraform's type of an attribute, undefined for a block. */
function typeOf(kind: string, storage: string): unknown {
  if (kind === 'simple') return primitives[storage];
  const [, element = '', container] = /^(string|number|boolean)(List|Map)$/.exec(storage) ?? [];
  if (container === undefined) return undefined;
  return [kind === 'set' ? 'set' : container.toLowerCase(), primitives[element]];
}

/** The object that lists what can be set. */
function settable({ js }: Sources, name: string, isResource: boolean): string {
  const start = isResource
    ? js.indexOf('synthesizeHclAttributes() {', js.indexOf(`class ${name} extends`))
    : js.indexOf(`function ${name.charAt(0).toLowerCase()}${name.slice(1)}ToHclTerraform(`);
  if (start === -1) throw new Error(`Expected what can be set of ${name} in the bindings but received none`);
  return js.slice(start, js.indexOf('// remove undefined attributes', start));
}

function classOf({ js }: Sources, name: string): string {
  const start = js.indexOf(`class ${name} extends`);
  return start === -1 ? '' : js.slice(start, js.indexOf('\n}', start));
}

/** The names that the interface does not mark as optional. */
function readRequired({ declarations }: Sources, struct: string): ReadonlySet<string> {
  const start = declarations.search(new RegExp(`export interface ${struct}\\b`));
  if (start === -1) throw new Error(`Expected an interface ${struct} in the bindings but received none`);
  const text = declarations.slice(start, declarations.indexOf('\n}', start));
  const names = [...text.matchAll(/#(\w+) \w+#\w+\}(?:(?!readonly)[\s\S])*readonly \w+(\??):/g)];
  return new Set(names.flatMap(([, name, optional]) => (optional === '' ? [String(name)] : [])));
}
