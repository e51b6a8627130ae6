import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A new MODELS_DIR with the named folders: `real` copies the shipped model, `moody` puts the test model of
 * tests/models/make.py in its place. The caller removes it.
 */
export function makeModelsDir(folders: Readonly<Record<string, 'real' | 'moody'>>): string {
  const dir = mkdtempSync(join(tmpdir(), 'understudy-models-'));
  for (const [name, kind] of Object.entries(folders)) {
    const folder = join(dir, name);
    mkdirSync(folder);
    cpSync(kind === 'real' ? join('models', name) : 'tests/models/moody', folder, { recursive: true });
    changeCard(folder, (card) => ({ ...card, name }));
  }
  return dir;
}

/** Rewrites a folder's model.json. */
// biome-ignore lint/suspicious/noExplicitAny: a card is whatever the test makes of it
export function changeCard(folder: string, change: (card: any) => object): void {
  const path = join(folder, 'model.json');
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
}
