import { createRequire } from 'node:module';

// As CommonJS: it has no types of its own.
export const { load, loadAll } = createRequire(import.meta.url)('js-yaml') as {
  load(text: string): unknown;
  loadAll(text: string): unknown[];
};
