import { type CardRules, ModelError, type ModelSpec, portable } from '../card/card.ts';
import { listCandidates, verifyFiles } from '../card/catalog.ts';
import { type ModelChoice, nameOf } from '../config.ts';
import type { Log } from '../observe/log.ts';

export interface ChoosingOptions {
  readonly choices: readonly ModelChoice[];
  readonly modelsDir: string;
  /** Instruction-set classes of the processor. */
  readonly instructions: readonly string[];
  readonly card: CardRules<unknown>;
  readonly log: Log;
}

/** Which files may be served, and why others are not. */
export interface Choosing {
  /** The files to try for a choice, the best first; none is read before its turn comes. */
  list(choice: ModelChoice): Generator<ModelSpec, undefined>;
  /** Takes note of a file that turned out not to be what its card says. */
  refuse(spec: Pick<ModelSpec, 'folder' | 'variant'>, cause: string): void;
  /** Everything that was refused so far. */
  fault(): ModelError;
}

export function createChoosing({ choices, modelsDir, instructions, card, log }: ChoosingOptions): Choosing {
  const faults: string[] = [];

  function refuse({ folder, variant }: Pick<ModelSpec, 'folder' | 'variant'>, cause: string): void {
    faults.push(cause);
    if (variant === portable) log('error', 'model refused', { model: folder, cause });
    else log('warn', 'variant refused', { model: folder, variant, cause });
  }

  /** What `read` gives; undefined where it says that a folder or file must not be served. */
  function unlessRefused<T>(spec: Pick<ModelSpec, 'folder' | 'variant'>, read: () => T): T | undefined {
    try {
      return read();
    } catch (fault) {
      if (!(fault instanceof ModelError)) throw fault;
      refuse(spec, fault.message);
      return undefined;
    }
  }

  function* listOf(folder: string): Generator<ModelSpec, undefined> {
    const read = () => listCandidates(modelsDir, folder, card, instructions);
    for (const spec of unlessRefused({ folder, variant: portable }, read) ?? []) {
      const isIntact = unlessRefused(spec, () => {
        verifyFiles(spec);
        return true;
      });
      if (isIntact) yield spec;
    }
    return undefined;
  }

  return {
    *list(choice) {
      const { folder, embedded } = choice;
      yield* listOf(folder);
      const isServedAnyway = choices.some((other) => other !== choice && nameOf(other.folder) === embedded);
      if (folder === embedded || isServedAnyway) return undefined;
      log('warn', 'embedded model instead', { model: folder, embedded });
      return yield* listOf(embedded);
    },
    refuse,
    fault: () => new ModelError(faults.join('\n')),
  };
}
