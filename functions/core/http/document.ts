import { fileURLToPath } from 'node:url';
import { readTextFile } from '../files.ts';

const path = fileURLToPath(new URL('../../openapi.json', import.meta.url));

/** The API's document, which the build has made: read anew each time, since few ever ask. @throws Error where the build did not */
export function readDocument(): string {
  const text = readTextFile(path);
  if (text === undefined) throw new Error(`Expected the API's document at ${path} but received none: npm run build`);
  return text;
}
