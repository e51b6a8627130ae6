/** The logits of a model: one for each digit, then one for what is no digit. */
export const digitCount = 10;

/** Share of all eleven from which on a picture is refused: no digit is likelier. */
const leastDoubt = 0.5;

/** The digit with the largest logit; of equal ones the lowest. */
export function likeliest(logits: Float32Array): number {
  const digits = logits.subarray(0, digitCount);
  return digits.indexOf(Math.max(...digits));
}

/** For each digit 0 to 1, provided that the picture shows one: 1 in sum. */
export function probabilitiesOf(logits: Float32Array): readonly number[] {
  return softmax(logits.subarray(0, digitCount));
}

export function isNoDigit(logits: Float32Array): boolean {
  return (softmax(logits)[digitCount] as number) >= leastDoubt;
}

function softmax(logits: Float32Array): readonly number[] {
  const highest = Math.max(...logits);
  const weights = Array.from(logits, (logit) => Math.exp(logit - highest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
