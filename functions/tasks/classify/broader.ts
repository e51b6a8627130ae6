import type { Ancestor } from '../image/ancestors.ts';
import type { Label } from '../image/card.ts';

/** What a picture shows less precisely, with the summed scores of all classes below. */
export interface Broader extends Label {
  readonly score: number;
}

/**
 * The ancestor with the fewest classes below it whose summed score is at least the threshold; of equally narrow ones the one of the
 * higher score. None where a single class is as sure as that, or no ancestor is.
 */
export function findBroader(
  scores: Float64Array,
  ancestors: readonly Ancestor[],
  threshold: number,
): Broader | undefined {
  if (scores.some((score) => score >= threshold)) return undefined;
  let found: (Broader & { readonly width: number }) | undefined;
  for (const { class: id, label, indices } of ancestors) {
    if (found && indices.length > found.width) break; // the narrowest come first
    const score = indices.reduce((sum, index) => sum + (scores[index] as number), 0);
    if (score >= threshold && score > (found?.score ?? 0)) {
      found = { class: id, label, score: Math.min(1, score), width: indices.length };
    }
  }
  return found && { class: found.class, label: found.label, score: found.score };
}
