/** A picture within a larger one whose other pixels have a color of their own. */
export interface Inset {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Red, green and blue. */
  readonly ground: readonly [number, number, number];
}

/** Cyan, magenta, yellow and black as red, green and blue. */
export function inkToRgb(ink: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((ink.length / 4) * 3);
  for (let from = 0, to = 0; from < ink.length; from += 4, to += 3) {
    const light = 255 - (ink[from + 3] as number);
    for (let channel = 0; channel < 3; channel++) {
      const product = light * (ink[from + channel] as number) + 128;
      rgb[to + channel] = light - ((product + (product >> 8)) >> 8); // product / 255, rounded
    }
  }
  return rgb;
}

/** Video's black of 16 becomes 0, its white of 235 becomes 255, in place. */
export function expandRange(pixels: Uint8Array): void {
  const levels = Uint8ClampedArray.from({ length: 256 }, (_, level) => ((level - 16) * 255) / 219);
  for (let i = 0; i < pixels.length; i++) pixels[i] = levels[pixels[i] as number] as number;
}

/** Paints what lies around the inset in the RGB pixels of a region, `first.width` pixels wide from `first` on, in place. */
export function paintAround(
  pixels: Uint8Array,
  { left, top, width, height, ground }: Inset,
  first: { readonly left: number; readonly top: number; readonly width: number },
): void {
  const clip = (column: number) => Math.min(first.width, Math.max(0, column - first.left));
  const [from, to] = [clip(left), clip(left + width)];
  const blank = Uint8Array.from({ length: first.width * 3 }, (_, i) => ground[i % 3] as number);
  for (let at = 0, y = first.top; at < pixels.length; at += blank.length, y++) {
    const isBeside = y >= top && y < top + height;
    pixels.set(isBeside ? blank.subarray(0, from * 3) : blank, at);
    if (isBeside) pixels.set(blank.subarray(to * 3), at + to * 3);
  }
}
