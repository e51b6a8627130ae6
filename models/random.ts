/** Numbers that are the same for the same seed and turn. */
export interface Random {
  /** From `least` to below `most`. */
  between(least: number, most: number): number;
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number;
  /** True `share` of the times. */
  chance(share: number): boolean;
  pick<T>(list: readonly T[]): T;
  /** Of a bell curve around 0, with this standard deviation. */
  stray(deviation: number): number;
}

/** G. Marsaglia's xorshift of 32 bits; its state is mixed from both, so that each turn can be repeated alone. */
export function createRandom(seed: number, turn: number): Random {
  let state = Math.imul(seed ^ Math.imul(turn + 1, 0x9e3779b1), 0x85ebca6b) | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 8; i++) next();
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    between: (least, most) => least + (most - least) * next(),
    below,
    chance: (share) => next() < share,
    pick: (list) => list[below(list.length)] as never,
    // Four even numbers have a deviation of 1 / sqrt(3) and are near enough to a bell.
    stray: (deviation) => deviation * Math.sqrt(3) * (next() + next() + next() + next() - 2),
  };
}
