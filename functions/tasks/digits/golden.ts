import type { Picture } from '../image/whole.ts';

const side = 64;

/** The generated picture of a card's golden case: a 4 in blue ink on paper that grows darker to the right, 64x64 RGB. */
export function goldenPicture(): Picture {
  const data = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const isSlope = Math.abs(48 * (x - 34) + 44 * (y - 10)) <= 120 * 1.5 && y >= 10 && y <= 38;
      const isBar = y >= 36 && y <= 40 && x >= 8 && x <= 50;
      const isStem = x >= 34 && x <= 38 && y >= 8 && y <= 56;
      const isInk = isSlope || isBar || isStem;
      const ink = [40, 60, 150];
      for (let channel = 0; channel < 3; channel++) {
        data[3 * (y * side + x) + channel] = isInk ? (ink[channel] as number) : 230 - x;
      }
    }
  }
  return { data, width: side, height: side };
}
