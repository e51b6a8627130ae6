import type { CardRules } from '../../core/card/card.ts';
import { fields, numbers, positive, text, wholeNumber } from '../../core/card/schema.ts';
import type { GoldenLogits } from '../image/logits.ts';
import { frameSide } from './frame.ts';
import { digitCount } from './probabilities.ts';

/** What a card says of a model that reads digits. */
export interface DigitModel {
  /** What the generated golden picture must give. */
  readonly golden: GoldenLogits;
}

/**
 * The cards of models that take a digit in MNIST's form, float32 from 0 to 1, [1, 1, 28, 28], and give a logit for each digit and a last one
 * for what is no digit.
 */
export const digitCard: CardRules<DigitModel> = {
  input: fields({ name: text, side: wholeNumber(frameSide, frameSide) }),
  graph: {
    golden: fields({
      logits: numbers(`${digitCount + 1} numbers`, digitCount + 1),
      tolerance: positive,
    }),
  },
  card: {},
  details: (_card, { golden }) => ({ golden: golden as GoldenLogits }),
};
