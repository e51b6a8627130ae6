import { type CardRules, ModelError, type ModelSpec } from '../functions/core/card/card.ts';
import { listCandidates, verifyFiles } from '../functions/core/card/catalog.ts';
import { allowedInstructions } from '../functions/core/card/instructions.ts';
import { type Answer, answerBy, loadModel, type Model, prove } from '../functions/core/pool/session.ts';
import type { TaskInput, TaskThread } from '../functions/core/task.ts';
import { DataError } from './labeled.ts';

/** A model that has passed its golden case. */
export interface Proven<Details> {
  readonly spec: ModelSpec<Details>;
  readonly model: Model;
  readonly answer: Answer;
}

export interface ProvenOptions<Details, Output, Input extends TaskInput> {
  readonly modelsDir: string;
  readonly folder: string;
  readonly card: CardRules<Details>;
  readonly thread: TaskThread<Details, Output, Input>;
  /** Which of the folder's files. @default what the service would choose */
  readonly variant?: string | undefined;
}

/** The first file of a folder that loads and passes its golden case, as the service would choose. @throws ModelError | DataError */
export async function loadProven<Details, Output, Input extends TaskInput>({
  modelsDir,
  folder,
  card,
  thread,
  variant,
}: ProvenOptions<Details, Output, Input>): Promise<Proven<Details>> {
  const candidates = listCandidates(modelsDir, folder, card, allowedInstructions());
  const wanted = candidates.filter((spec) => variant === undefined || spec.variant === variant);
  if (wanted.length === 0) {
    const names = candidates.map((spec) => spec.variant).join(', ');
    throw new DataError(`Expected one of ${names} of ${folder} for --variant but received "${variant}"`);
  }
  const faults: string[] = [];
  for (const spec of wanted) {
    try {
      verifyFiles(spec);
      const model = await loadModel(spec);
      const answer = answerBy(model, thread, spec.details);
      await prove(answer, thread, spec.details);
      return { spec, model, answer };
    } catch (fault) {
      const { message } = fault as Error;
      faults.push(fault instanceof ModelError ? message : `${spec.path}: ${message}`);
      if (spec !== wanted.at(-1)) process.stderr.write(`${faults.at(-1)}\n`);
    }
  }
  throw new ModelError(faults.join('\n'));
}

/** The names of --models. @throws TypeError about the command line */
export function readModelNames(text: string): readonly string[] {
  const names = text.split(',');
  if (names.every((name, index) => /^[\w-][\w.@-]*$/.test(name) && names.indexOf(name) === index)) return names;
  throw new TypeError(`Expected different names, separated by commas, for --models but received "${text}"`);
}
