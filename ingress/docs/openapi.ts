/** What the pages and the tests read of the API's document, as functions/openapi.yaml has it. */
export interface Document {
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly info: { readonly version: string; readonly summary: string; readonly description: string };
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly responses: Readonly<Record<string, Answer>>;
    readonly parameters: Readonly<Record<string, Parameter>>;
    readonly examples: Readonly<Record<string, ProblemExample>>;
  };
}

export type Method = 'get' | 'post' | 'put' | 'delete' | 'options';

export type PathItem = Readonly<Partial<Record<Method, Operation>>> & {
  readonly parameters?: readonly (Parameter | Reference)[];
};

export interface Operation {
  readonly tags: readonly string[];
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly (Parameter | Reference)[];
  readonly requestBody?: Body | Reference;
  readonly responses: Readonly<Record<string, Answer | Reference>>;
  /** Of an upload. */
  readonly 'x-limits'?: Readonly<Record<string, number>>;
  /** A command to try. */
  readonly 'x-example'?: string;
}

export interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly description?: string;
  readonly required?: boolean;
  readonly schema: Schema | Reference;
}

export interface Body {
  readonly description: string;
  readonly content: Readonly<Record<string, object>>;
}

export interface Answer {
  readonly description: string;
  readonly headers?: Readonly<Record<string, Header | Reference>>;
  /** Absent where there is no body. */
  readonly content?: Readonly<Record<string, Content>>;
}

export interface Header {
  readonly description: string;
  readonly required?: boolean;
  readonly schema: Schema | Reference;
}

export interface Content {
  readonly schema?: Schema | Reference;
  readonly examples?: Readonly<Record<string, { readonly summary: string; readonly value: unknown } | Reference>>;
}

/** JSON Schema, as far as the document uses it. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Schema | Reference;
  readonly properties?: Readonly<Record<string, Schema | Reference>>;
  readonly required?: readonly string[];
  readonly oneOf?: readonly (Schema | Reference)[];
  readonly allOf?: readonly (Schema | Reference)[];
}

/** A problem: `summary` says when it is answered, `description` what to do. */
export interface ProblemExample {
  readonly summary: string;
  readonly description: string;
  readonly value: Readonly<Record<string, string | number>>;
}

export interface Reference {
  readonly $ref: string;
}

/** What a reference of the document points to, or the value itself. */
export type Resolve = <T extends object>(value: T | Reference) => T;

export function resolverOf(document: object): Resolve {
  return <T extends object>(value: T | Reference) => {
    if (!('$ref' in value)) return value;
    const steps = value.$ref.slice('#/'.length).split('/');
    return steps.reduce((place, step) => (place as Record<string, object>)[step] as object, document) as T;
  };
}

/** Method, path and operation of all routes, but those of PUT: it is POST once more. */
export function operationsOf({ paths }: Document): readonly (readonly [Method, string, Operation])[] {
  const methods: readonly Method[] = ['get', 'post', 'delete', 'options'];
  return Object.entries(paths).flatMap(([path, item]) =>
    methods.flatMap((method) => {
      const operation = item[method];
      return operation === undefined ? [] : [[method, path, operation] as const];
    }),
  );
}
