import type { LabeledImage } from './labeled.ts';

/**
 * At most `limit` of the images, as evenly over their classes as they allow, in the order in which they came. The same seed
 * (a whole number) chooses the same ones.
 */
export function sampleEvenly<T extends Pick<LabeledImage, 'class'>>(
  images: readonly T[],
  limit: number,
  seed: number,
): readonly T[] {
  if (images.length <= limit) return images;
  const random = randomNumbers(seed);
  const byClass = new Map<string, number[]>();
  for (const [place, image] of images.entries()) {
    const places = byClass.get(image.class);
    if (places === undefined) byClass.set(image.class, [place]);
    else places.push(place);
  }
  const piles = shuffle([...byClass.values()], random).map((places) => shuffle(places, random));
  const chosen: number[] = [];
  for (let round = 0; chosen.length < limit; round++) {
    chosen.push(...piles.flatMap((places) => places.slice(round, round + 1)));
  }
  return chosen
    .slice(0, limit)
    .sort((one, other) => one - other)
    .map((place) => images[place] as T);
}

/** Fisher and Yates' shuffle of a copy. */
function shuffle<T>(values: readonly T[], random: () => number): readonly T[] {
  const shuffled = [...values];
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [shuffled[last], shuffled[other]] = [shuffled[other] as T, shuffled[last] as T];
  }
  return shuffled;
}

/** From 0 to below 1. A linear congruential generator modulo 2^32 (Knuth's factor): the low bits are poor, the high ones do. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
