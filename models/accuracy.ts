import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from './labeled.ts';

/** An entry of a card's list `accuracy`, as far as one is told from another. */
export interface Entry {
  readonly data: string;
  readonly variant?: string;
}

/**
 * Replaces the list `accuracy` of a folder's card by what `change` makes of it; the rest of the text stays as it is.
 * @throws DataError about a card without that list
 */
export function changeAccuracy(place: string, change: (former: readonly Entry[]) => readonly Entry[]): void {
  const path = join(place, 'model.json');
  const text = readFileSync(path, 'utf8');
  const entries = change(JSON.parse(text).accuracy ?? []);
  const block = JSON.stringify(entries, undefined, 2).replaceAll('\n', '\n  ');
  const written = text.replace(/"accuracy":\s*\[[^\]]*\]/, () => `"accuracy": ${block}`);
  if (written === text && !text.includes(block)) {
    throw new DataError(`Expected a list "accuracy" for ${path} but received none`);
  }
  writeFileSync(path, written);
}

/** A share of 1 as a card states it. */
export function roundShare(share: number): number {
  return Math.round(share * 10_000) / 10_000;
}
