import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { classify } from '../../functions/tasks/classify/task.ts';

/** `real` is the shipped model, `portable` the same without its variants; the others are of tests/models/make.py. */
export type ModelKind = 'real' | 'portable' | 'moody' | 'strange' | 'future';

/** A new MODELS_DIR with the named folders. The caller removes it. */
export function makeModelsDir(folders: Readonly<Record<string, ModelKind>>): string {
  const dir = mkdtempSync(join(tmpdir(), 'understudy-models-'));
  for (const [name, kind] of Object.entries(folders)) {
    const folder = join(dir, name);
    mkdirSync(folder);
    const isShipped = kind === 'real' || kind === 'portable';
    cpSync(isShipped ? join('models', name) : join('tests/models', kind), folder, { recursive: true });
    changeCard(folder, (card) => ({ ...card, name, variants: kind === 'real' ? card.variants : [] }));
  }
  return dir;
}

/** The versions of the models that classify ships, each with its number of classes. */
export function shippedVersions(): ReadonlyMap<string, number> {
  const read = (folder: string, file: string) => JSON.parse(readFileSync(join('models', folder, file), 'utf8'));
  return new Map(
    classify.models.map(({ embedded }) => [
      read(embedded, 'model.json').version as string,
      (read(embedded, 'labels.json') as unknown[]).length,
    ]),
  );
}

/** Rewrites a folder's model.json. */
// biome-ignore lint/suspicious/noExplicitAny: a card is whatever the test makes of it
export function changeCard(folder: string, change: (card: any) => object): void {
  const path = join(folder, 'model.json');
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
}
