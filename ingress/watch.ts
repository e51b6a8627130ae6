import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What is looked at costs some fifty calls of the system. */
const lookMs = 1000;

/**
 * Calls `onChange` when a model folder has changed and then stayed as it is from one look to the next, so that a copy is not read while it
 * is written. Looks and does not listen: that sees a folder that is renamed, a link that is turned, and a disk of another machine.
 * @param dir of the model folders
 */
export function watchModels(dir: string, onChange: () => void, everyMs = lookMs): void {
  let told = stateOf(dir);
  let seen = told;
  setInterval(() => {
    const now = stateOf(dir);
    if (now === seen && now !== told) {
      told = now;
      onChange();
    }
    seen = now;
  }, everyMs).unref();
}

/** Tells any two states of the model folders apart; a folder without a card is none. */
function stateOf(dir: string): string {
  const folders = namesIn(dir).filter((folder) => namesIn(join(dir, folder)).includes('model.json'));
  return folders
    .flatMap((folder) => namesIn(join(dir, folder)).map((file) => fileState(join(dir, folder, file))))
    .join();
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // no folder, or gone meanwhile
  }
}

function fileState(path: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(path);
    return [path, ino, size, mtimeMs, ctimeMs].join(':');
  } catch (fault) {
    return `${path}:${(fault as NodeJS.ErrnoException).code}`; // gone meanwhile, a link in a circle, a disk that answers no more
  }
}
