import { type CardRules, ModelError, type ModelSpec, portable } from '../card/card.ts';
import { listCandidates, verifyFiles, verifyFilesMeanwhile } from '../card/catalog.ts';
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
  /** The files that the folder of a choice has now, the best first, for a model that is served meanwhile; no other folder is read. */
  again(choice: ModelChoice): AsyncGenerator<ModelSpec, undefined>;
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

  /** For what says that a folder or file must not be served. */
  function refuseFor(spec: Pick<ModelSpec, 'folder' | 'variant'>, fault: unknown): void {
    if (!(fault instanceof ModelError)) throw fault;
    refuse(spec, fault.message);
  }

  function candidatesOf(folder: string): readonly ModelSpec[] {
    try {
      return listCandidates(modelsDir, folder, card, instructions);
    } catch (fault) {
      refuseFor({ folder, variant: portable }, fault);
      return [];
    }
  }

  function isIntact(spec: ModelSpec): boolean {
    try {
      verifyFiles(spec);
      return true;
    } catch (fault) {
      refuseFor(spec, fault);
      return false;
    }
  }

  function* listOf(folder: string): Generator<ModelSpec, undefined> {
    for (const spec of candidatesOf(folder)) if (isIntact(spec)) yield spec;
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
    async *again({ folder }) {
      for (const spec of candidatesOf(folder)) {
        const proven = await verifyFilesMeanwhile(spec).then(
          () => spec,
          (fault) => refuseFor(spec, fault),
        );
        if (proven) yield proven;
      }
      return undefined;
    },
    refuse,
    fault: () => new ModelError(faults.join('\n')),
  };
}
