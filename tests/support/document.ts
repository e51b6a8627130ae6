import { readFileSync } from 'node:fs';
import { load } from './yaml.ts';

/** What the tests read of an OpenAPI document. */
export interface Document {
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly enum?: readonly string[] }>>;
    readonly responses: Readonly<Record<string, ResponseObject>>;
    readonly parameters: Readonly<Record<string, Parameter>>;
    readonly examples: Readonly<Record<string, ProblemExample>>;
  };
}

export type PathItem = Readonly<Record<string, Operation>>;

export interface Operation {
  readonly tags: readonly string[];
  readonly operationId: string;
  readonly parameters?: readonly (Parameter | Reference)[];
  readonly responses: Readonly<Record<string, ResponseObject | Reference>>;
  /** Of an upload. */
  readonly 'x-limits'?: Readonly<Record<'uploadBytes' | 'pixels' | 'deadlineMs' | 'maxDeadlineMs', number>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly schema: Readonly<Record<string, unknown>>;
}

export interface Reference {
  readonly $ref: string;
}

export interface ResponseObject {
  readonly headers?: Readonly<Record<string, { readonly required?: boolean; readonly schema: object } | Reference>>;
  readonly content: Readonly<Record<string, { readonly schema?: object; readonly examples?: object }>>;
}

/** A problem: `summary` says when it is answered, `description` what to do. */
export interface ProblemExample {
  readonly summary: string;
  readonly description: string;
  readonly value: Readonly<Record<string, string | number>>;
}

export const documentText = readFileSync('functions/openapi.yaml', 'utf8');

export const document = load(documentText) as Document;

/** What a reference points to, or the value itself. */
export function resolve<T extends object>(value: T | Reference): T {
  if (!('$ref' in value)) return value;
  const steps = value.$ref.slice('#/'.length).split('/');
  return steps.reduce((place, step) => (place as Record<string, object>)[step] as object, document as object) as T;
}
