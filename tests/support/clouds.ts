import { cpSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { documentedFetch } from './documented.ts';
import { changeCard } from './models.ts';

/** `weather` is of tests/models/make_clouds.py; `index` is the shipped test. */
export type CloudsKind = 'weather' | 'index';

/** A new MODELS_DIR with the named folders, each with what `change` makes of its card's input. The caller removes it. */
export function makeCloudsModels(
  folders: Readonly<Record<string, CloudsKind>>,
  change: Record<string, object> = {},
): string {
  const dir = mkdtempSync(join(tmpdir(), 'understudy-clouds-'));
  for (const [name, kind] of Object.entries(folders)) {
    const folder = join(dir, name);
    mkdirSync(folder);
    cpSync(kind === 'index' ? 'models/clouds-index' : 'tests/models/weather', folder, { recursive: true });
    changeCard(folder, (card) => ({ ...card, name, input: { ...card.input, ...change[name] } }));
  }
  return dir;
}

export interface Inferred {
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends a file to POST /infer as a raw body. */
export function infer(
  { url }: { readonly url: string },
  file: Uint8Array,
  { query = '', headers = {} }: Inferred = {},
) {
  return documentedFetch(`${url}/infer${query}`, {
    method: 'POST',
    body: new Uint8Array(file),
    headers: { 'content-type': 'image/tiff', ...headers },
  });
}
