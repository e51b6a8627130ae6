import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCommand } from '../ingress/command.ts';
import { DataError } from './labeled.ts';
import { runTool } from './tool.ts';

const usage = `Usage: node dist/models/ancestors.js FOLDER...
       node dist/models/ancestors.js --wordnet FOLDER --ids FILE [--ids FILE...]

What the classes of a model have in common, for ?broader=1: "beagle" and "collie" are dogs.

  FOLDER            a model folder whose classes are WordNet ids: writes ancestors.json and names it in model.json
  --wordnet FOLDER  makes the table that this is taken from anew, from WordNet 3.0's own files (data.noun) ...
  --ids FILE        ... for the ids that stand in these files
  --table FILE      the table (default models/pipeline/ancestors.json)`;

/** So general that they tell nothing of a picture: entity, physical entity, abstraction, thing, object, whole, matter. */
const tooGeneral = ['n00001740', 'n00001930', 'n00002137', 'n00002452', 'n00002684', 'n00003553', 'n00020827'];

/** An ancestor as a file holds it. */
interface Entry {
  readonly class: string;
  readonly label: string;
  readonly narrower: readonly string[];
}

type Graph = ReadonlyMap<string, Pick<Entry, 'label' | 'narrower'>>;

function readOptions() {
  const { values, positionals } = readCommand(usage, {
    options: {
      wordnet: { type: 'string' },
      ids: { type: 'string', multiple: true, default: [] },
      table: { type: 'string', default: 'models/pipeline/ancestors.json' },
    },
    allowPositionals: true,
  });
  if (values.wordnet === undefined && (positionals.length === 0 || values.ids.length > 0)) {
    throw new TypeError('Expected model folders, or --wordnet with --ids, but received neither');
  }
  if (values.wordnet !== undefined && (positionals.length > 0 || values.ids.length === 0)) {
    throw new TypeError('Expected files of ids for --ids and no folders beside --wordnet but received others');
  }
  return { ...values, folders: positionals };
}

async function work({ wordnet, ids, table, folders }: ReturnType<typeof readOptions>): Promise<void> {
  if (wordnet !== undefined) {
    const classes = new Set(ids.flatMap((file) => readFileSync(file, 'utf8').match(/\bn\d{8}\b/g) ?? []));
    writeEntries(table, informative(readWordNet(join(wordnet, 'data.noun'), classes), classes));
    return;
  }
  const entries: readonly Entry[] = JSON.parse(readFileSync(table, 'utf8'));
  const graph = new Map(entries.map((entry) => [entry.class, entry]));
  for (const folder of folders) addToFolder(folder, graph);
}

/** @throws DataError */
function addToFolder(folder: string, graph: Graph): void {
  const path = join(folder, 'model.json');
  if (!existsSync(path)) throw new DataError(`Expected a model folder for FOLDER but received "${folder}"`);
  const text = readFileSync(path, 'utf8');
  const card = JSON.parse(text);
  const labels: readonly Pick<Entry, 'class'>[] = JSON.parse(readFileSync(join(folder, card.labels), 'utf8'));
  const found = informative(graph, new Set(labels.map((label) => label.class)));
  if (found.length === 0) {
    throw new DataError(
      `Expected classes with an ancestor in common for ${folder} but received ${labels.length} others`,
    );
  }
  writeEntries(join(folder, 'ancestors.json'), found);
  if (card.ancestors !== undefined) return;
  // In front: `labels` may be the last field.
  writeFileSync(path, text.replace(/([ \t]*)"labels":\s*"[^"]*"/, '$1"ancestors": "ancestors.json",\n$&'));
}

/** The ancestors of the classes, each with what is directly below it, by the pointers of WordNet's nouns to their hypernyms. */
function readWordNet(file: string, classes: ReadonlySet<string>): Graph {
  const nouns = new Map<string, { readonly label: string; readonly hypernyms: readonly string[] }>();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (!/^\d/.test(line)) continue; // the license
    const cells = line.split(' ');
    const pointers = 4 + 2 * Number.parseInt(String(cells[3]), 16);
    const hypernyms = Array.from({ length: Number(cells[pointers]) }, (_, i) => pointers + 1 + 4 * i)
      .filter((at) => cells[at] === '@' || cells[at] === '@i')
      .map((at) => `n${cells[at + 1]}`);
    nouns.set(`n${cells[0]}`, { label: String(cells[4]).replaceAll('_', ' '), hypernyms });
  }
  const graph = new Map<string, { label: string; narrower: string[] }>();
  const climbed = new Set<string>();
  const climb = (id: string) => {
    if (climbed.has(id)) return;
    climbed.add(id);
    for (const hypernym of nouns.get(id)?.hypernyms ?? []) {
      const entry = graph.get(hypernym) ?? { label: nouns.get(hypernym)?.label ?? hypernym, narrower: [] };
      entry.narrower.push(id);
      graph.set(hypernym, entry);
      climb(hypernym);
    }
  };
  for (const id of classes) climb(id);
  return graph;
}

/** The ancestors that have several of the classes below them, and more than any ancestor below them has; the narrowest first. */
function informative(graph: Graph, classes: ReadonlySet<string>): readonly Entry[] {
  const known = new Map<string, ReadonlySet<string>>();
  const below = (id: string): ReadonlySet<string> => {
    const found =
      known.get(id) ??
      new Set([
        ...(classes.has(id) ? [id] : []),
        ...(graph.get(id)?.narrower ?? []).flatMap((next) => [...below(next)]),
      ]);
    known.set(id, found);
    return found;
  };
  const isKept = (id: string): boolean => {
    const { size } = below(id);
    const isSame = (next: string) => below(next).size === size;
    return size > 1 && !tooGeneral.includes(id) && graph.get(id)?.narrower.some(isSame) === false;
  };
  const nearest = (id: string): readonly string[] => {
    const all = (graph.get(id)?.narrower ?? []).flatMap((next) => {
      if (below(next).size === 0) return [];
      return isKept(next) || classes.has(next) ? [next] : nearest(next);
    });
    const others = [...new Set(all)];
    const isBelow = (one: string, other: string) => one !== other && isKept(other) && reaches(graph, other, one);
    return others.filter((one) => !others.some((other) => isBelow(one, other))).sort();
  };
  const ids = [...graph.keys()].filter(isKept);
  ids.sort((one, other) => below(one).size - below(other).size || one.localeCompare(other));
  return ids.map((id) => ({ class: id, label: graph.get(id)?.label ?? id, narrower: nearest(id) }));
}

function reaches(graph: Graph, from: string, to: string): boolean {
  return graph.get(from)?.narrower.some((next) => next === to || reaches(graph, next, to)) ?? false;
}

/** One a line. */
function writeEntries(path: string, entries: readonly Entry[]): void {
  const lines = entries.map(({ class: id, label, narrower }) => {
    const below = narrower.map((next) => JSON.stringify(next)).join(', ');
    return `  { "class": "${id}", "label": ${JSON.stringify(label)}, "narrower": [${below}] }`;
  });
  writeFileSync(path, `[\n${lines.join(',\n')}\n]\n`);
}

await runTool(usage, readOptions, work);
