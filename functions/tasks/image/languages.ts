import { ModelError } from '../../core/card/card.ts';
import { checked, isFileName } from '../../core/card/schema.ts';

/** The labels in one language other than English. */
export interface Language {
  /** As the card writes it, such as `de` or `pt-BR`. */
  readonly tag: string;
  /** By class; one that is missing stays in English. */
  readonly labels: ReadonlyMap<string, string>;
}

type Read = (file: string) => { readonly path: string; readonly json: unknown };

const isTag = (tag: string) => /^[a-z]{2,3}(-[a-z0-9]{2,8})*$/i.test(tag) && !/^en(-|$)/i.test(tag);

/** A card's `languages`: a file of labels for each language. */
export const languageFiles = checked(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(([tag, file]) => isTag(tag) && isFileName(file)),
  'an object of language tags other than en, and file names',
);

/** @throws ModelError about a file that is no object of labels by class */
export function readLanguages(files: Readonly<Record<string, string>>, read: Read): readonly Language[] {
  return Object.entries(files).map(([tag, file]) => {
    const { path, json } = read(file);
    const isObject = typeof json === 'object' && json !== null && !Array.isArray(json);
    const labels = Object.entries(isObject ? json : {});
    if (!isObject || !labels.every(([, label]) => typeof label === 'string' && label !== '')) {
      throw new ModelError(`${path}: Expected an object of labels by class for ${tag} but received something else`);
    }
    return { tag, labels: new Map(labels) };
  });
}
