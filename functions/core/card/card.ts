import {
  anything,
  checked,
  faultsOf,
  fields,
  fileName,
  list,
  nullable,
  oneOf,
  optional,
  type Rule,
  sha256,
  tell,
  text,
} from './schema.ts';

/** One of the files that give a model's answers, with all that it takes to serve it; nothing is loaded yet. */
export interface ModelSpec<Details = unknown> {
  /** Name of the model folder: the model's name, or name@version. */
  readonly folder: string;
  readonly name: string;
  readonly version: string;
  /** Name of the variant, `portable` for the file that runs anywhere. */
  readonly variant: string;
  /** Path of the ONNX file. */
  readonly path: string;
  /** Every file of the graph, the ONNX file first, with the SHA-256 that it must have. */
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
  /** Version of ONNX Runtime whose optimizer wrote the file and which alone may load it; null for a plain graph. */
  readonly optimizedBy: string | null;
  readonly input: { readonly name: string };
  readonly output: { readonly name: string };
  /** What the task read from the card, such as the input's size and the labels; sent to the workers, so plain data. */
  readonly details: Details;
}

export type Json = Readonly<Record<string, unknown>>;

type Rules = Readonly<Record<string, Rule>>;

/** What a task says of the cards of its models. */
export interface CardRules<Details> {
  /** The rule for `input`, its name included. */
  readonly input: Rule;
  /** The rule for `output`, its name included. @default its name alone */
  readonly output?: Rule;
  /** Rules for further fields of a graph: the card itself, and each variant. */
  readonly graph: Rules;
  /** Rules for further fields of the card. */
  readonly card: Rules;
  /**
   * What the task needs of a card and one of its graphs, both of which follow the rules. `read` gives the JSON of a file in the folder.
   * @throws ModelError where the parts do not fit together
   */
  details(card: Json, graph: Json, read: (file: string) => { readonly path: string; readonly json: unknown }): Details;
}

/** A model folder or file that must not be served: each line names a file, what was expected of it and what was found. */
export class ModelError extends Error {
  override readonly name = 'ModelError';
}

/** The name of the file that every folder has and every processor runs. */
export const portable = 'portable';

/** What a variant may ask of a processor; `instructions.ts` tells which of them there are. */
const instructionSets = ['x64-avx512-vnni', 'x64-avx512', 'x64-avx2-vnni', 'x64-avx2', 'arm64'];

/** Fields that only people read. */
const notes = ['description', 'dataSet', 'license', 'provenance', 'accuracy', 'gates'];

/** Each fault of a card in a sentence, by what every card says and what the task adds. */
export function faultsOfCard<Details>(
  card: unknown,
  rules: CardRules<Details>,
  folder: string,
  path: string,
): string[] {
  const graph = {
    file: fileName,
    sha256,
    externalData: optional(list(fields({ file: fileName, sha256 }))),
    input: rules.input,
    output: rules.output ?? fields({ name: text }),
    ...rules.graph,
  };
  const isOwnName = (value: unknown) => typeof value === 'string' && value !== '' && value !== portable;
  const variant = {
    name: checked(isOwnName, 'a name of its own'),
    instructions: oneOf(instructionSets),
    precision: oneOf(['int8', 'float32'], '"int8" or "float32"'),
    optimizedBy: nullable(text, "ONNX Runtime's version or null"),
    measured: anything,
    ...graph,
  };
  const whole = fields({
    name: text,
    version: text,
    family: text,
    ...Object.fromEntries(notes.map((field) => [field, anything])),
    ...graph,
    ...rules.card,
    variants: optional(list(fields(variant))),
  });
  const faults = faultsOf(whole, card, path);
  return isObject(card) ? [...faults, ...faultsOfNames(card, folder, path)] : [...faults];
}

/** What no rule for a single field can tell. */
function faultsOfNames(card: Json, folder: string, path: string): string[] {
  const field = folder.includes('@') ? 'name@version' : 'name';
  const received = folder.includes('@') ? `${card.name}@${card.version}` : card.name;
  const said = `${path}: Expected`;
  const faults =
    received === folder ? [] : [`${said} "${folder}" (the folder's name) for ${field} but received ${tell(received)}`];
  const names = asList(card.variants).map(({ name }) => name);
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) === index || typeof name !== 'string' || name === portable) continue;
    faults.push(`${said} a name of its own for variants[${index}].name but received ${tell(name)}`);
  }
  return faults;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function asObject(value: unknown): Json {
  return isObject(value) ? value : {};
}

export function asList(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(asObject) : [];
}
