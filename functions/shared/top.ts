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
  const weights = new Float64Array(logits.length);
  let sum = 0;
  for (const index of weights.keys()) {
    const weight = Math.exp((logits[index] as number) - highest);
    weights[index] = weight;
    sum += weight;
  }
  const score = (index: number) => (weights[index] as number) / sum;
  const indices = [...weights.keys()].sort((one, other) => score(other) - score(one) || one - other).slice(0, count);
  return indices.map((index) => ({ index, ...(labels[index] as Label), score: score(index) }));
}
