import type { ImageModel, Label } from '../image/card.ts';

/** One guess: `index` of the logit, `class` and `label` for it, `score` as `scoresOf` gives it. */
export interface Prediction {
  readonly index: number;
  readonly class: string;
  readonly label: string;
  readonly score: number;
}

/** What makes scores of logits; without a temperature they are taken as they are. */
type Scale = Pick<ImageModel, 'activation'> & Partial<Pick<ImageModel, 'temperature'>>;

/** The `count` best predictions by falling score; of equal logits the lower index comes first. */
export function topPredictions(
  logits: Float32Array,
  model: Pick<ImageModel, 'labels'> & Scale,
  count: number,
): readonly Prediction[] {
  const scores = scoresOf(logits, model);
  return indicesOfHighest(logits, count).map((index) => {
    return { index, ...(model.labels[index] as Label), score: scores[index] as number };
  });
}

/** A score for each label, 0 to 1, by the card's activation of the logits, divided by its temperature. */
export function scoresOf(logits: Float32Array, { activation, temperature = 1 }: Scale): Float64Array {
  return scoring[activation](Float64Array.from(logits), temperature);
}

/** Each rises with the logit, so that the order of scores is that of logits. */
const scoring: Readonly<Record<ImageModel['activation'], (logits: Float64Array, temperature: number) => Float64Array>> =
  {
    softmax(logits, temperature) {
      const highest = logits.reduce((one, other) => Math.max(one, other));
      const weights = logits.map((logit) => Math.exp((logit - highest) / temperature));
      const sum = weights.reduce((one, other) => one + other, 0);
      return weights.map((weight) => weight / sum);
    },
    sigmoid: (logits, temperature) => logits.map((logit) => 1 / (1 + Math.exp(-logit / temperature))),
    none: (scores) => scores.map((score) => Math.min(Math.max(score, 0), 1)), // a graph's rounding may leave 1.0000001
  };

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
