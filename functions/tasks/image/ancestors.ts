import { ModelError } from '../../core/card/card.ts';
import type { Label } from './card.ts';

/** What several classes of a model are, such as n02084071, dog. */
export interface Ancestor extends Label {
  /** Indices of the logits of all classes below it. */
  readonly indices: readonly number[];
}

interface Entry extends Label {
  /** Classes and other ancestors that are directly below it. */
  readonly narrower: readonly string[];
}

/**
 * The ancestors in a file of `[{"class", "label", "narrower"}, ...]`, each with all the classes below it, those with the fewest first and
 * an ancestor before those above it.
 * @throws ModelError
 */
export function readAncestors(
  { path, json }: { readonly path: string; readonly json: unknown },
  labels: readonly Label[],
): readonly Ancestor[] {
  const refuse = (expected: string, received: string): never => {
    throw new ModelError(`${path}: Expected ${expected} but received ${received}`);
  };
  if (!areEntries(json)) return refuse('a list of {"class", "label", "narrower"} for ancestors', 'something else');
  const entries = new Map(json.map((entry) => [entry.class, entry]));
  const twice = json.find((entry, place) => json.findIndex((other) => other.class === entry.class) !== place);
  if (twice) refuse('each class once for ancestors', `"${twice.class}" again`);
  const indices = new Map(labels.map((label, index) => [label.class, index]));
  const found = new Map<string, ReadonlySet<number>>();
  const below = (id: string, above: readonly string[]): ReadonlySet<number> => {
    if (above.includes(id)) return refuse('classes in no circle for narrower', `"${id}" below itself`);
    const entry = entries.get(id);
    const index = indices.get(id);
    if (entry === undefined && index === undefined) {
      return refuse('classes of the labels or of this file for narrower', `"${id}"`);
    }
    const known = found.get(id);
    if (known !== undefined) return known;
    const parts = entry?.narrower.map((narrower) => [...below(narrower, [...above, id])]) ?? [];
    const all = new Set([...(index === undefined ? [] : [index]), ...parts.flat()]);
    found.set(id, all);
    return all;
  };
  for (const id of entries.keys()) below(id, []);
  const ancestors = [...found].flatMap(([id, indices]) => {
    const entry = entries.get(id);
    return entry ? [{ class: id, label: entry.label, indices: [...indices].sort((one, other) => one - other) }] : [];
  });
  return ancestors.sort((one, other) => one.indices.length - other.indices.length);
}

function areEntries(value: unknown): value is readonly Entry[] {
  const isText = (entry: unknown) => typeof entry === 'string' && entry !== '';
  const isEntry = (entry: Partial<Entry> | null) =>
    isText(entry?.class) &&
    isText(entry?.label) &&
    Array.isArray(entry?.narrower) &&
    entry.narrower.length > 0 &&
    entry.narrower.every(isText);
  return Array.isArray(value) && value.every(isEntry);
}
