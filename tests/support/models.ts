import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createService, type Service } from '../../functions/core/chain/service.ts';
import { loadConfig } from '../../functions/core/config.ts';
import type { Log } from '../../functions/core/observe/log.ts';
import { createMetrics } from '../../functions/core/observe/metrics.ts';
import type { Task } from '../../functions/core/task.ts';
import { classify } from '../../functions/tasks/classify/task.ts';

/** `real` is the shipped model, `portable` the same without its variants; the others are of tests/models/make.py. */
export type ModelKind = 'real' | 'portable' | 'moody' | 'strange' | 'future';

/** A new MODELS_DIR with the named folders. The caller removes it. */
export function makeModelsDir(folders: Readonly<Record<string, ModelKind>>): string {
  const dir = mkdtempSync(join(tmpdir(), 'understudy-models-'));
  for (const [name, kind] of Object.entries(folders)) copyModel(join(dir, name), name, kind);
  return dir;
}

/** The models of a fallback in this very process. The caller closes it. */
export function serveModels(dir: string, task: Task = classify as Task, log: Log = () => {}): Service {
  return createService({
    tier: 'fallback',
    task,
    choices: [{ folder: 'mobilenet', embedded: 'mobilenet' }],
    instructions: [],
    config: loadConfig(task, 2, { MODELS_DIR: dir }),
    log,
    metrics: createMetrics(),
    onLost: () => {},
  });
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

/** Puts another folder in the place of one, as an operator would: in two renames, or in one where there is none. */
export function replaceModel(dir: string, name: string, kind: ModelKind, change: (folder: string) => void): void {
  const [folder, next, former] = [join(dir, name), join(dir, `${name}.next`), join(dir, `${name}.former`)];
  copyModel(next, name, kind);
  change(next);
  if (existsSync(folder)) renameSync(folder, former);
  renameSync(next, folder);
  rmSync(former, { recursive: true, force: true });
}

function copyModel(folder: string, name: string, kind: ModelKind): void {
  mkdirSync(folder);
  const isShipped = kind === 'real' || kind === 'portable';
  cpSync(isShipped ? join('models', name) : join('tests/models', kind), folder, { recursive: true });
  changeCard(folder, (card) => ({ ...card, name, variants: kind === 'real' ? card.variants : [] }));
}
