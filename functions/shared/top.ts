interface Label {
  readonly class: string;
  readonly label: string;
}

/** One guess: `index` of the logit, `class` and `label` for it, `score` its softmax over all labels, 0 to 1. */
export interface Prediction {
  readonly index: number;
  readonly class: string;
  readonly label: string;
  readonly score: number;
}

/** The `count` best predictions by falling score; of equal scores the lower index comes first. */
export function topPredictions(logits: Float32Array, labels: readonly Label[], count: number): readonly Prediction[] {
  const highest = logits.reduce((max, logit) => Math.max(max, logit), Number.NEGATIVE_INFINITY);
  const weights = new Float64Array(logits).map((logit) => Math.exp(logit - highest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const scores = weights.map((weight) => weight / sum);
  return indicesOfHighest(scores, count).map((index) => {
    return { index, ...(labels[index] as Label), score: scores[index] as number };
  });
}

/** Not by sorting all of them: of a thousand scores five are asked for. */
function indicesOfHighest(scores: Float64Array, count: number): readonly number[] {
  const best: number[] = [];
  for (const [index, score] of scores.entries()) {
    const isHigher = (other: number) => score > (scores[other] as number);
    if (best.length === count && !isHigher(best.at(-1) as number)) continue;
    const place = best.findIndex(isHigher);
    best.splice(place === -1 ? best.length : place, 0, index);
    best.length = Math.min(best.length, count);
  }
  return best;
}
