import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { portable } from '../functions/core/card/card.ts';
import { scoresOf } from '../functions/tasks/classify/top.ts';
import { DataError } from './labeled.ts';

/** An image's logits and the index of its class. */
export interface Judged {
  readonly logits: Float32Array;
  readonly truth: number;
}

/** The score of a first prediction, and whether it was right. */
export interface Guess {
  readonly score: number;
  readonly isRight: boolean;
}

/** What a temperature does for a model, measured on other images than it was fitted on. */
export interface Calibration {
  readonly temperature: number;
  readonly fittedOn: number;
  readonly images: number;
  /** Expected calibration error without a temperature. */
  readonly before: number;
  readonly after: number;
}

const bins = 15;

/**
 * The expected calibration error (arXiv 1706.04599): how far the mean score of first predictions is from the share of them that are
 * right, in 15 bins of equal width, weighted by the guesses in each.
 */
export function calibrationError(guesses: readonly Guess[]): number {
  let error = 0;
  for (let bin = 0; bin < bins; bin += 1) {
    const binOf = ({ score }: Guess) => Math.min(bins - 1, Math.floor(score * bins));
    const inside = guesses.filter((guess) => binOf(guess) === bin);
    const excess = inside.reduce((sum, { score, isRight }) => sum + score - Number(isRight), 0);
    error += Math.abs(excess) / guesses.length;
  }
  return error;
}

/** Fits a temperature on every other image of a class and measures it on the rest. @throws DataError for too few images */
export function calibrate(images: readonly Judged[]): Calibration {
  const halves: [Judged[], Judged[]] = [[], []];
  const seen = new Map<number, number>();
  for (const image of images) {
    const before = seen.get(image.truth) ?? 0;
    seen.set(image.truth, before + 1);
    halves[before % 2 === 0 ? 0 : 1].push(image);
  }
  const [fitted, others] = halves;
  if (others.length === 0) throw new DataError('Expected two images of a class for --fit-temperature but received one');
  const temperature = Number(fitTemperature(fitted).toPrecision(4));
  const errorAt = (value: number) => calibrationError(others.map((image) => guessAt(image, value)));
  return {
    temperature,
    fittedOn: fitted.length,
    images: others.length,
    before: errorAt(1),
    after: errorAt(temperature),
  };
}

function guessAt({ logits, truth }: Judged, temperature: number): Guess {
  const scores = scoresOf(logits, { activation: 'softmax', temperature });
  const score = Math.max(...scores);
  return { score, isRight: scores.indexOf(score) === truth };
}

/** A model that is always wrong, or always right, would be given none or all of the certainty. */
const bounds = { least: 1 / 20, most: 20 };

/** The temperature under which the images' classes are likeliest: their mean logarithm has one maximum in 1 / temperature. */
export function fitTemperature(images: readonly Judged[]): number {
  const lossAt = (inverse: number) => {
    let loss = 0;
    for (const { logits, truth } of images) {
      // Not the logarithm of a score: one that is 0 to the last bit would make all losses alike.
      const highest = logits.reduce((most, logit) => Math.max(most, logit));
      const sum = logits.reduce((all, logit) => all + Math.exp((logit - highest) * inverse), 0);
      loss += Math.log(sum) - ((logits[truth] as number) - highest) * inverse;
    }
    return loss;
  };
  const golden = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [1 / bounds.most, 1 / bounds.least];
  let [left, right] = [high - golden * (high - low), low + golden * (high - low)];
  let [leftLoss, rightLoss] = [lossAt(left), lossAt(right)];
  while (high - low > 1e-4) {
    if (leftLoss < rightLoss) {
      [high, right, rightLoss] = [right, left, leftLoss];
      left = high - golden * (high - low);
      leftLoss = lossAt(left);
    } else {
      [low, left, leftLoss] = [left, right, rightLoss];
      right = low + golden * (high - low);
      rightLoss = lossAt(right);
    }
  }
  return 2 / (low + high);
}

/**
 * Writes a file's temperature behind its `output` in the card; the rest of the text stays as it is.
 * @throws DataError about a card in which that place is not to be found
 */
export function writeTemperature(place: string, variant: string, temperature: number): void {
  const path = join(place, 'model.json');
  const text = readFileSync(path, 'utf8');
  const card = JSON.parse(text);
  const graphs = [card, ...(card.variants ?? [])];
  const rank = variant === portable ? 0 : graphs.findIndex(({ name }, at) => at > 0 && name === variant);
  let at = -1; // the card's own output comes first, then those of the variants
  const written = text.replaceAll(
    /(\n?[ ]*)("output":\s*\{[^}]*\})(?:,\s*"temperature":\s*[\d.e+-]+)?/g,
    (former: string, indent: string, output: string) => {
      at += 1;
      return at === rank ? `${indent}${output},${indent}"temperature": ${temperature}` : former;
    },
  );
  if (rank !== -1) graphs[rank].temperature = temperature;
  if (rank === -1 || !isDeepStrictEqual(JSON.parse(written), card)) {
    throw new DataError(`Expected an "output" of ${variant} for ${path} but received none in its place`);
  }
  writeFileSync(path, written);
}
