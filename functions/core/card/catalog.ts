import { join } from 'node:path';
import { type Digest, digestMeanwhile, digestOfFile, readTextFile } from '../files.ts';
import {
  asList,
  asObject,
  type CardRules,
  faultsOfCard,
  type Json,
  ModelError,
  type ModelSpec,
  portable,
} from './card.ts';

/**
 * The files of a model folder that a processor of these instruction sets may run, best first and the portable one last. The card
 * and the labels are read and judged as a whole; of the files nothing is read: see `verifyFiles`.
 * @throws ModelError that lists every fault
 */
export function listCandidates<Details>(
  modelsDir: string,
  folder: string,
  rules: CardRules<Details>,
  instructions: readonly string[],
): readonly [ModelSpec<Details>, ...ModelSpec<Details>[]] {
  const place = join(modelsDir, folder);
  const cardPath = join(place, 'model.json');
  const json = readJson(cardPath);
  const faults = faultsOfCard(json, rules, folder, cardPath);
  if (faults.length > 0) throw new ModelError(faults.join('\n'));

  const card = asObject(json);
  const known = new Map<string, unknown>(); // all graphs of a card may name the same labels
  const read = (file: string) => {
    const path = join(place, file);
    if (!known.has(path)) known.set(path, readJson(path));
    return { path, json: known.get(path) };
  };
  const toSpec = (graph: Json, variant: string): ModelSpec<Details> => ({
    folder,
    name: String(card.name),
    version: String(card.version),
    variant,
    path: join(place, String(graph.file)),
    files: [graph, ...asList(graph.externalData)].map(({ file, sha256 }) => ({
      path: join(place, String(file)),
      sha256: String(sha256),
    })),
    optimizedBy: (graph.optimizedBy ?? null) as string | null,
    input: { name: String(asObject(graph.input).name) },
    output: { name: String(asObject(graph.output).name) },
    details: rules.details(card, graph, read),
  });
  const variants = asList(card.variants);
  const specs = [...variants.map((variant) => toSpec(variant, String(variant.name))), toSpec(card, portable)];
  const suited = specs.filter((_, index) => {
    const variant = variants[index];
    return variant === undefined || instructions.includes(String(variant.instructions));
  });
  return suited as [ModelSpec<Details>, ...ModelSpec<Details>[]];
}

/**
 * Reads the graph's files and compares their SHA-256 with the card's.
 * @param read gives a file's digest, undefined where there is none
 * @throws ModelError that lists every fault
 */
export function verifyFiles({ files }: Pick<ModelSpec, 'files'>, read = digestOfFile): void {
  const faults = files.flatMap(({ path, sha256 }) => {
    const found = tellDigest(path, read);
    return found.sha256 === sha256
      ? []
      : [`${path}: Expected SHA-256 ${sha256} for its bytes but received ${found.told}`];
  });
  if (faults.length > 0) throw new ModelError(faults.join('\n'));
}

/** The same beside other work. Rejects with the ModelError. */
export async function verifyFilesMeanwhile({ files }: Pick<ModelSpec, 'files'>): Promise<void> {
  const ends = new Map<string, () => Digest | undefined>();
  for (const { path } of files) {
    const end = await digestMeanwhile(path).then(
      (digest) => () => digest,
      (fault) => () => {
        throw fault;
      },
    );
    ends.set(path, end);
  }
  verifyFiles({ files }, (path) => ends.get(path)?.());
}

/**
 * The best of `listCandidates` whose files are as the card says.
 * @throws ModelError that lists every fault when there is none
 */
export function readModelSpec<Details>(
  modelsDir: string,
  folder: string,
  rules: CardRules<Details>,
  instructions: readonly string[] = [],
): ModelSpec<Details> {
  const faults: string[] = [];
  for (const spec of listCandidates(modelsDir, folder, rules, instructions)) {
    try {
      verifyFiles(spec);
      return spec;
    } catch (fault) {
      faults.push((fault as ModelError).message);
    }
  }
  throw new ModelError(faults.join('\n'));
}

/** What is found in place of a file's SHA-256, in words. */
function tellDigest(path: string, read: typeof digestOfFile): Partial<Digest> & { readonly told: string } {
  try {
    const digest = read(path);
    if (digest === undefined) return { told: 'no file' };
    return { ...digest, told: `${digest.sha256} (${digest.bytes} bytes)` };
  } catch (fault) {
    return { told: tellSystemError(fault) };
  }
}

/** @throws ModelError */
function readJson(path: string): unknown {
  let text: string | undefined;
  try {
    text = readTextFile(path);
  } catch (cause) {
    throw new ModelError(`${path}: Expected a file that can be read but received ${tellSystemError(cause)}`, { cause });
  }
  if (text === undefined) throw new ModelError(`${path}: Expected a file but received nothing`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelError(`${path}: Expected JSON but received a fault: ${(cause as Error).message}`, { cause });
  }
}

/** @throws whatever is no error of the system */
function tellSystemError(fault: unknown): string {
  const { code } = fault as NodeJS.ErrnoException;
  if (code === undefined) throw fault;
  return code === 'EACCES' ? 'EACCES: no permission to read it' : code;
}
