import { cutOutsideQuotes, readPair } from './header.ts';

/**
 * What a client prefers (RFC 7240): preferences are separated by commas, the first of a name counts, parameters follow a semicolon. ''
 * for one without a value, undefined for one that is not there.
 */
export function readPreference(prefer: string | string[] | undefined, name: string): string | undefined {
  const preferences = cutOutsideQuotes(String(prefer ?? ''), ',').map((text) => cutOutsideQuotes(text, ';')[0] ?? '');
  return preferences.map(readPair).find(([known]) => known === name)?.[1];
}
