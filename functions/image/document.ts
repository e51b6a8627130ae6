/**
 * The API's document as it is served: `node dist/functions/image/document.js` makes dist/functions/openapi.json of functions/openapi.yaml,
 * as `npm run build` and the images do.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

// As CommonJS: it has no types of its own.
const { load } = createRequire(import.meta.url)('js-yaml') as { load(text: string): unknown };

const source = fileURLToPath(new URL('../../../functions/openapi.yaml', import.meta.url));
const target = fileURLToPath(new URL('../openapi.json', import.meta.url));
const problemJson = 'application/problem+json';

/** What is written of problems. */
interface Written {
  readonly components: {
    readonly schemas: { readonly Code: object };
    readonly examples: Record<
      string,
      { value: { readonly title: string; readonly status: number; readonly detail: string } }
    >;
    readonly responses: Record<
      string,
      { readonly content?: Record<string, { readonly 'x-codes'?: readonly string[] }> }
    >;
  };
}

/** The document of a text in YAML, with all that follows from the code of a problem. */
export function makeDocument(text: string): object {
  const document = load(text) as Written;
  const { examples, responses, schemas } = document.components;
  Object.assign(schemas.Code, { enum: Object.keys(examples) });
  for (const { content } of Object.values(responses)) {
    const codes = content?.[problemJson]?.['x-codes'];
    if (codes) Object.assign(content, { [problemJson]: answerOf(codes, examples[String(codes[0])]?.value.status) });
  }
  for (const [code, example] of Object.entries(examples)) {
    const type = `/problems#${code.toLowerCase().replaceAll('_', '-')}`;
    example.value = Object.assign({ type }, example.value, { instance: '5b1f0c9d7a3e48b6a1c2d3e4f5061728', code });
  }
  return document;
}

/** What is answered with one of these codes, all of the same status. */
function answerOf(codes: readonly string[], status: number | undefined): object {
  const code = codes.length === 1 ? { const: codes[0] } : { enum: codes };
  return {
    schema: { allOf: [{ $ref: '#/components/schemas/Problem' }, { properties: { status: { const: status }, code } }] },
    examples: Object.fromEntries(codes.map((one) => [one, { $ref: `#/components/examples/${one}` }])),
  };
}

/** The document as one line of JSON. */
export function readDocument(): string {
  return JSON.stringify(makeDocument(readFileSync(source, 'utf8')));
}

if (process.argv[1]?.endsWith('/document.js')) writeFileSync(target, readDocument());
