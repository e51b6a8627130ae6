import type { Label } from '../functions/tasks/image/card.ts';
import { DataError, readNamedFile } from './labeled.ts';

/** What a file of labels says. */
export interface LabelFile {
  /** In the order of the outputs. */
  readonly labels: readonly Label[];
  /** Whether it says that classes do not exclude each other. */
  readonly isMultiLabel: boolean;
}

/**
 * Names of classes in the forms that people have. Text: a name a line; with `0 ` before the first, `1 ` before the second (Teachable
 * Machine); with a WordNet id before each. JSON: a list of names or of `{class, label}`; an object from number to name, to
 * `[class, name]` (Keras' class_index) or the other way round (class_indices); such an object as `id2label` (Hugging Face's config.json).
 * @throws DataError
 */
export function readLabelFile(path: string): LabelFile {
  const text = readNamedFile(path)
    .toString()
    .replace(/^\uFEFF/, '');
  const refuse = (received: string): never => {
    throw new DataError(`Expected a name for each class for ${path} but received ${received}`);
  };
  if (!/^\s*[[{]/.test(text)) return { labels: readLines(text, refuse), isMultiLabel: false };
  const json = parse(text, refuse);
  const named = isObject(json) && isObject(json.id2label) ? json.id2label : json;
  return {
    labels: (Array.isArray(named) ? named : readNumbered(named as object, refuse)).map((entry, index) =>
      toLabel(entry, index, refuse),
    ),
    isMultiLabel: isObject(json) && json.problem_type === 'multi_label_classification',
  };
}

type Refuse = (received: string) => never;

function readLines(text: string, refuse: Refuse): readonly Label[] {
  const lines = text
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => line.trim());
  const empty = lines.indexOf('');
  if (empty !== -1) return refuse(`none in line ${empty + 1}`);
  if (lines.every((line, index) => line.startsWith(`${index} `) && line.length > `${index} `.length)) {
    return lines.map((line, index) => toLabel(line.slice(`${index} `.length).trim(), index, refuse));
  }
  const ids = lines.map((line) => /^(n\d{8})[\s_-]+(.+)$/.exec(line));
  return lines.map((line, index) => toLabel(ids.every(Boolean) ? ids[index]?.slice(1) : line, index, refuse));
}

function parse(text: string, refuse: Refuse): unknown {
  try {
    return JSON.parse(text);
  } catch (fault) {
    return refuse(`JSON with a fault: ${(fault as Error).message}`);
  }
}

/** The values of `{"0": …, "1": …}`, or the keys of `{"cat": 0, "dog": 1}`, in the order of the numbers. */
function readNumbered(json: object, refuse: Refuse): readonly unknown[] {
  const entries = Object.entries(json);
  const isInverse = entries.length > 0 && entries.every(([, value]) => Number.isInteger(value));
  const named = new Map(entries.map(([key, value]) => (isInverse ? [String(value), key] : [key, value])));
  return entries.map((_, index) => (named.has(String(index)) ? named.get(String(index)) : refuse(`none for ${index}`)));
}

/** A name, [class, name] or {class, label}. */
function toLabel(entry: unknown, index: number, refuse: Refuse): Label {
  const [id, label] = Array.isArray(entry) ? entry : isObject(entry) ? [entry.class, entry.label] : [entry, entry];
  const isName = (name: unknown): name is string => typeof name === 'string' && name !== '';
  return isName(id) && isName(label) ? { class: id, label } : refuse(`${JSON.stringify(entry)} for ${index}`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
