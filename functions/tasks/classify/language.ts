/** A language that a client would have, and how much: 0, not at all, to 1. */
export interface Preference {
  /** A language tag in lower case, or `*` for any. */
  readonly range: string;
  readonly quality: number;
}

/** In which the labels of every model are, as far as a client can rely on it. */
export const english = 'en';

const rangeForm = /^(?:\*|[a-z]{1,8}(?:-[a-z0-9]{1,8})*)$/;
const qualityForm = /^q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/**
 * What `Accept-Language` (RFC 9110 12.5.4) asks for, the best first. Pieces that are none of its form are passed over, as the RFC
 * advises: any language is better than no answer.
 */
export function readPreferences(header: string | undefined): readonly Preference[] {
  const pieces = (header ?? '').toLowerCase().split(',');
  const preferences = pieces.flatMap((piece) => {
    const [range = '', weight = 'q=1', ...rest] = piece.split(';').map((part) => part.trim());
    const quality = qualityForm.exec(weight)?.[1];
    return rangeForm.test(range) && quality !== undefined && rest.length === 0
      ? [{ range, quality: Number(quality) }]
      : [];
  });
  return preferences.sort((one, other) => other.quality - one.quality);
}

/** The tag to answer in: English, or the one of `offered` that is preferred to it (RFC 4647 3.4, "lookup"). */
export function chooseLanguage(preferences: readonly Preference[], offered: readonly string[]): string {
  const refused = preferences.filter(({ quality }) => quality === 0).map(({ range }) => range);
  const isRefused = (tag: string) => refused.some((range) => range === tag || tag.startsWith(`${range}-`));
  const allowed = [english, ...offered].filter((tag) => !isRefused(tag.toLowerCase()));
  for (const { range, quality } of preferences) {
    if (quality === 0) break;
    if (range === '*' && allowed[0] !== undefined) return allowed[0];
    for (let tag = range; tag !== ''; tag = tag.slice(0, Math.max(0, tag.lastIndexOf('-')))) {
      const found = allowed.find((other) => other.toLowerCase() === tag);
      if (found !== undefined) return found;
    }
  }
  return english;
}
