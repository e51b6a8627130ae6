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

/** The document as one line of JSON. */
export function readDocument(): string {
  return JSON.stringify(load(readFileSync(source, 'utf8')));
}

if (process.argv[1]?.endsWith('/document.js')) writeFileSync(target, readDocument());
