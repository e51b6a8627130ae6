import type { ImageModel, Label } from '../image/card.ts';

/** One guess: `index` of the logit, `class` and `label` for it, `score` 0 to 1, by the card's activation. */
export interface Prediction {
  readonly index: number;
  readonly class: string;
  readonly label: string;
  readonly score: number;
}

/** The `count` best predictions by falling score; of equal logits the lower index comes first. */
export function topPredictions(
  logits: Float32Array,
  { labels, activation }: Pick<ImageModel, 'labels' | 'activation'>,
  count: number,
): readonly Prediction[] {
  const best = indicesOfHighest(logits, count);
  const scoreOf = scoring[activation](logits, logits[best[0] as number] as number);
  return best.map((index) => ({
    index,
    ...(labels[index] as Label),
    score: scoreOf(logits[index] as number),
  }));
}

type Scoring = (logits: Float32Array, highest: number) => (logit: number) => number;

/** Each rises with the logit, so that the order of scores is that of logits. */
const scoring: Readonly<Record<ImageModel['activation'], Scoring>> = {
  softmax(logits, highest) {
    const weightOf = (logit: number) => Math.exp(logit - highest);
    let sum = 0;
    for (const logit of logits) sum += weightOf(logit);
    return (logit) => weightOf(logit) / sum;
  },
  sigmoid: () => (logit) => 1 / (1 + Math.exp(-logit)),
  none: () => (score) => Math.min(Math.max(score, 0), 1), // a graph's rounding may leave 1.0000001
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
