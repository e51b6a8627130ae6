import type { Label } from '../image/card.ts';

/** One guess: `index` of the logit, `class` and `label` for it, `score` its softmax over all labels, 0 to 1. */
export interface Prediction {
  readonly index: number;
  readonly class: string;
  readonly label: string;
  readonly score: number;
}

/** The `count` best predictions by falling score; of equal logits the lower index comes first. */
export function topPredictions(logits: Float32Array, labels: readonly Label[], count: number): readonly Prediction[] {
  const best = indicesOfHighest(logits, count);
  const highest = logits[best[0] as number] as number;
  const weightOf = (logit: number) => Math.exp(logit - highest);
  let sum = 0;
  for (const logit of logits) sum += weightOf(logit);
  return best.map((index) => {
    return { index, ...(labels[index] as Label), score: weightOf(logits[index] as number) / sum };
  });
}

/** Not by sorting all of them: of a thousand logits five are asked for. */
function indicesOfHighest(logits: Float32Array, count: number): readonly number[] {
  const best: number[] = [];
  for (let index = 0; index < logits.length; index += 1) {
    const isHigher = (other: number) => (logits[index] as number) > (logits[other] as number);
    if (best.length === count && !isHigher(best[count - 1] as number)) continue;
    const place = best.findIndex(isHigher);
    best.splice(place === -1 ? best.length : place, 0, index);
    best.length = Math.min(best.length, count);
  }
  return best;
}
